"""Which tasks there are: those of an app, by name, and the shared ones, which every app has."""

from __future__ import annotations

import importlib
import weakref
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar, Unpack, overload

from amqptasks.errors import ConfigurationError
from amqptasks.options import NO_OPTIONS, TaskOptions, UnboundTaskOptions, check
from amqptasks.task import Task

if TYPE_CHECKING:
    from amqptasks.app import App

P = ParamSpec("P")
R = TypeVar("R")


def new_task(
    app: App | None, function: Callable[..., Any], name: str, options: TaskOptions, kind: type, defaults: TaskOptions
) -> Task[..., Any]:
    """A task of the class that `base` names, else of `kind`. Raises `UnknownOption`, `ConfigurationError`."""
    check(options, TaskOptions, f"task {name!r}")
    base = options.get("base", kind)
    if not isinstance(base, type) or not issubclass(base, Task):
        raise ConfigurationError(f"task {name!r} has base={base!r}: give a subclass of amqptasks.Task")
    return base(app, function, name, options, defaults)


def add(tasks: dict[str, Task[..., Any]], task: Task[..., Any]) -> None:
    """Raises `ConfigurationError` for a name that another function has."""
    known = tasks.get(task.name)
    if known is not None and _place(known.function) != _place(task.function):
        raise ConfigurationError(f"two functions want the task name {task.name!r}: give one of them name=")
    tasks[task.name] = task


def _place(function: Callable[..., Any]) -> tuple[str, str]:
    return function.__module__, function.__qualname__


# Shared tasks

_shared: dict[str, Task[..., Any]] = {}
#: The apps, in the order in which they were made, with those that are gone.
_apps: list[weakref.ref[App]] = []


@overload
def shared_task(function: Callable[P, R], /) -> Task[P, R]: ...


@overload
def shared_task(
    *, bind: Literal[True], **options: Unpack[UnboundTaskOptions]
) -> Callable[[Callable[Concatenate[Any, P], R]], Task[P, R]]: ...


@overload
def shared_task(**options: Unpack[TaskOptions]) -> Callable[[Callable[P, R]], Task[P, R]]: ...


def shared_task(*functions: Any, **options: Any) -> Any:
    """`@app.task` for a module that knows no app: a library's, or an installed package's.

    Every app of the process has the task, whether made before or later; called, it goes through the app made last.
    """

    def register(function: Callable[..., Any]) -> Task[..., Any]:
        name = options.get("name") or f"{function.__module__}.{function.__name__}"
        task = new_task(None, function, name, TaskOptions(**options), Task, NO_OPTIONS)  # type: ignore[typeddict-item]
        add(_shared, task)
        for reference in _apps:
            app = reference()
            if app is not None:
                _adopt(app, task)
        return task

    return register(*functions) if functions else register


def share_with(app: App) -> None:
    """Give a new app the shared tasks, those to come included."""
    _apps[:] = [*(known for known in _apps if known() is not None), weakref.ref(app)]
    for task in _shared.values():
        _adopt(app, task)


def _adopt(app: App, task: Task[..., Any]) -> None:
    add(app.tasks, task)
    task.belong_to(app)


# Modules with tasks


def discover(packages: Iterable[str], related_name: str) -> list[str]:
    """The modules named `related_name` in these packages, those that exist. Raises `ImportError` of a package."""
    return [f"{package}.{related_name}" for package in packages if find_spec(f"{package}.{related_name}") is not None]


def import_all(modules: Iterable[str]) -> None:
    """Import them: their tasks register themselves."""
    for module in modules:
        importlib.import_module(module)
