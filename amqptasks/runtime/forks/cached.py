"""A property that is worked out once, as by `functools.cached_property`, without harm to a forked child.

Python 3.11 holds a lock meanwhile, one for all objects. A child that is forked in that moment by another thread waits
for it for ever. Here the lock is `forks.loading`, for which a fork waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from amqptasks.runtime.forks import loading

if TYPE_CHECKING:
    from functools import cached_property as cached
else:

    class cached:
        """Decorator of a method without arguments; see above. The object keeps the value in its `__dict__`."""

        def __init__(self, method: Callable[[Any], Any]) -> None:
            self._method = method
            self._name = method.__name__
            self.__doc__ = method.__doc__

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            if instance is None:
                return self
            values = instance.__dict__
            with loading:
                if self._name not in values:
                    values[self._name] = self._method(instance)
                return values[self._name]


__all__ = ["cached"]
