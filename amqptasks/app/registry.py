"""Which tasks there are: those of an app, by name, and the shared ones, which every app has."""

from __future__ import annotations

import importlib
import os
import sys
import weakref
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from types import FrameType
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar, Unpack, overload

from amqptasks.errors import ConfigurationError
from amqptasks.options import NO_OPTIONS, TASK, TaskOptions, UnboundTaskOptions, checked
from amqptasks.runtime.log_queue import get_logger
from amqptasks.tasks.definition import definition, function_name
from amqptasks.tasks.task import Task

if TYPE_CHECKING:
    from amqptasks.app.app import App

logger = get_logger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


def new_task(
    app: App | None, function: Callable[..., Any], name: str, options: TaskOptions, kind: type, defaults: TaskOptions
) -> Task[..., Any]:
    """A task of the class that `base` names, else of `kind`. Raises `UnknownOption`, `ConfigurationError`."""
    options = checked(options, TASK, f"task {name!r}")
    base = options.get("base", kind)
    if not isinstance(base, type) or not issubclass(base, Task):
        raise ConfigurationError(f"task {name!r} has base={base!r}: give a subclass of amqptasks.Task")
    return base.of(app, function, name, options, defaults)


def add(tasks: dict[str, Task[..., Any]], task: Task[..., Any]) -> None:
    """Raises `ConfigurationError` for a name that another task has. A module that is executed anew replaces its tasks,
    and so does a cell of a notebook, with a warning."""
    known = tasks.get(task.name)
    if known is not None and known is not task:
        old, new = known.definition, task.definition
        if old is None or new is None:
            raise ConfigurationError(f"two tasks want the name {task.name!r}: give one of them name=")
        if not new.replaces(old):
            if not (new.is_cell and old.is_cell):
                raise ConfigurationError(
                    f"two tasks want the name {task.name!r}, one at {old.place}, another at {new.place}:"
                    f" give one of them name=, or keep the function's own name by functools.wraps"
                )
            logger.warning(
                "task %s is defined again at %s; it replaces the one from %s", task.name, new.place, old.place
            )
    tasks[task.name] = task


def named(function: Any, options: dict[str, Any], module: str | None = None) -> str:
    """The name of a task, from its options or else its function; `module` stands for `__main__`. Raises
    `ConfigurationError`."""
    home, own = function_name(function)
    return options.get("name") or f"{module if module is not None and home == '__main__' else home}.{own}"


def decorated(functions: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """What `task` was called with: a function, or None where it comes later; and the options. A text is the name, as in
    `@app.task("shop.send")`. Raises `ConfigurationError` for more than one."""
    if len(functions) > 1:
        raise ConfigurationError(
            f"a task is made of one function, and {len(functions)} values were given: name the options"
        )
    if functions and isinstance(functions[0], str):
        if "name" in options:
            raise ConfigurationError(f"a task has one name: {functions[0]!r} and name={options['name']!r} were given")
        return None, {**options, "name": functions[0]}
    if functions:
        function_name(functions[0])
        return functions[0], options
    return None, options


def define(app: App, functions: tuple[Any, ...], options: dict[str, Any], caller: FrameType) -> Any:
    """What `App.task` does, called by `caller` with these: the task, or the decorator that makes it."""
    given, options = decorated(functions, options)

    def register(function: Callable[..., Any]) -> Task[..., Any]:
        name = named(function, options, app.name)
        kept = TaskOptions(**options)  # type: ignore[typeddict-item]
        task = new_task(app, function, name, kept, app.task_class, app.task_defaults)
        task.definition = definition(caller, function)
        add(app.tasks, task)
        return task

    return register if given is None else register(given)


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

    caller = sys._getframe(1)
    given, options = decorated(functions, options)

    def register(function: Callable[..., Any]) -> Task[..., Any]:
        name = named(function, options)
        task = new_task(None, function, name, TaskOptions(**options), Task, NO_OPTIONS)  # type: ignore[typeddict-item]
        task.definition = definition(caller, function)
        add(_shared, task)
        for reference in _apps:
            app = reference()
            if app is not None:
                _adopt(app, task)
        return task

    return register if given is None else register(given)


def share_with(app: App) -> None:
    """Give a new app the shared tasks, those to come included."""
    _apps[:] = [*(known for known in _apps if known() is not None), weakref.ref(app)]
    for task in _shared.values():
        _adopt(app, task)


def _adopt(app: App, task: Task[..., Any]) -> None:
    add(app.tasks, task)
    task.belong_to(app)


# Modules with tasks


def installed_apps() -> list[str]:
    """The packages of Django's `INSTALLED_APPS`, once Django is set up."""
    from django.apps import apps  # type: ignore[import-not-found, unused-ignore]

    return [config.name for config in apps.get_app_configs()]


def packages_to_discover(packages: Iterable[str] | Callable[[], Iterable[str]] | None) -> Any:
    """What `autodiscover_tasks` was given: names, one name, or a function that knows them. None: Django's apps. Raises
    `ConfigurationError` where there is no Django."""
    if packages is not None:
        return (packages,) if isinstance(packages, str) else packages
    if "django" not in sys.modules and "DJANGO_SETTINGS_MODULE" not in os.environ:
        raise ConfigurationError(
            "autodiscover_tasks() without packages finds those of Django, and there is none here:"
            " name them, as in app.autodiscover_tasks(['shop', 'mail'])"
        )
    return installed_apps


def discover(packages: Iterable[str], related_name: str | None) -> list[str]:
    """The modules named `related_name` in these packages, those that exist; None: the packages themselves. Raises
    `ImportError` of a package."""
    if related_name is None:
        return list(packages)
    return [f"{package}.{related_name}" for package in packages if find_spec(f"{package}.{related_name}") is not None]


def import_all(modules: Iterable[str]) -> None:
    """Import them: their tasks register themselves."""
    for module in modules:
        importlib.import_module(module)
