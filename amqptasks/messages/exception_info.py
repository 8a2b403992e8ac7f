"""An exception as hooks, signals, dead letters and logs get it: itself, its class, its text, its traceback as text."""

from __future__ import annotations

import traceback as _traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

#: Characters of a traceback. One of 100 frames has some 10,000; more is an exception with a very long text.
LONGEST_TRACEBACK = 32_000


if TYPE_CHECKING:
    from functools import cached_property as kept
else:

    class kept:
        """A property that is worked out once, as by `functools.cached_property`, but without a lock. Python 3.11
        has one for all objects, and an exception's `__str__` may never return. Two threads may both work it out."""

        def __init__(self, method: Callable[[Any], Any]) -> None:
            self._method = method
            self.__doc__ = method.__doc__

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            if instance is None:
                return self
            value = instance.__dict__[self._method.__name__] = self._method(instance)
            return value


class ExceptionInfo:
    """`exception` and its `type`; `traceback` is its text, which is also `str(info)`.

    The names are those of Celery's `einfo`.
    """

    def __init__(self, exception: BaseException) -> None:
        self.exception = exception
        self.type = type(exception)

    def __repr__(self) -> str:
        return f"<ExceptionInfo of {self.name}>"

    def __str__(self) -> str:
        return self.traceback

    @property
    def name(self) -> str:
        """The class, as `module.Name`."""
        return f"{self.type.__module__}.{self.type.__qualname__}"

    @kept
    def message(self) -> str:
        """The exception's own text, whatever its `__str__` does."""
        return exception_text(self.exception)

    @kept
    def traceback(self) -> str:
        """As Python prints it; a very long one is cut in its middle."""
        try:
            return cut_middle("".join(_traceback.format_exception(self.exception)), LONGEST_TRACEBACK)
        except BaseException as broken:
            return f"<formatting the traceback raised {type(broken).__name__}>"


def let_go_of_frames(error: BaseException) -> None:
    """Have `error`, and all that led to it, keep no local variables. Its traceback stays, with files and lines.

    Frames and exceptions refer to each other, so that large values in them would stay until Python's garbage collector
    looks, which it seldom does in a worker."""
    waiting, seen = [error], {id(error)}
    while waiting:
        one = waiting.pop()
        _traceback.clear_frames(one.__traceback__)
        further = [one.__cause__, one.__context__, getattr(one, "cause", None)]
        if isinstance(one, BaseExceptionGroup):
            further.extend(one.exceptions)
        for other in further:
            if isinstance(other, BaseException) and id(other) not in seen:
                seen.add(id(other))
                waiting.append(other)


def exception_text(error: BaseException) -> str:
    """The text of an exception; it is the user's code, and may raise anything."""
    try:
        return str(error)
    except BaseException as broken:
        return f"<its text raised {type(broken).__name__}>"


def cut_middle(text: str, most: int) -> str:
    """At most about `most` characters, the beginning and the end, with a note in the middle."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters cut ...\n{text[-half:]}"
