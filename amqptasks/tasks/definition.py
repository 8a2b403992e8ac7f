"""Where a task is defined: to tell a second function of one name from a module that is executed anew."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

from amqptasks.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Definition:
    """`place` is the file and the line where `task` was called. `modules` are those that take part, by name, each with
    its spec, which is another one once the module is executed anew. `is_cell` is true in a `__main__` without a file,
    where a cell of a notebook is run again and again."""

    place: str
    modules: dict[str, Any]
    is_cell: bool

    def replaces(self, earlier: Definition) -> bool:
        """Whether it is the same definition once more: a module of both was executed anew in between."""
        return any(name in earlier.modules and earlier.modules[name] is not spec for name, spec in self.modules.items())


def definition(caller: FrameType, function: Callable[..., Any]) -> Definition:
    """That of `function`, by `caller`, the frame that called `task`."""
    names = caller.f_globals
    modules = {str(names.get("__name__")): _spec(names)}
    at: FrameType | None = caller
    while at is not None:  # the module that is being executed, also where a function of another module defines for it
        if at.f_code.co_name == "<module>":
            modules.setdefault(str(at.f_globals.get("__name__")), _spec(at.f_globals))
            break
        at = at.f_back
    home = sys.modules.get(getattr(function, "__module__", None) or "")
    if home is not None:
        modules.setdefault(home.__name__, _spec(vars(home)))
    is_cell = names.get("__name__") == "__main__" and "__file__" not in names
    return Definition(f"{caller.f_code.co_filename}:{caller.f_lineno}", modules, is_cell)


def _spec(names: dict[str, Any]) -> Any:
    """What tells one execution of a module from another; without a spec, its names."""
    spec = names.get("__spec__")
    return names if spec is None else spec


def function_name(function: object) -> tuple[str, str]:
    """Module and name of what is to become a task: of a partial, those of its function; of an object, those of its
    class. Raises `ConfigurationError` for what cannot be called."""
    if not callable(function):
        raise ConfigurationError(
            f"a task is made of a function, not of {function!r}: write @app.task above `def`, or @app.task(name=...)"
        )
    named: Any = function
    while isinstance(named, functools.partial):
        named = named.func
    if not hasattr(named, "__name__"):
        named = type(named)
    return named.__module__, named.__name__
