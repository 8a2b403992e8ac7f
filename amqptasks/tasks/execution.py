"""One run of a task: its arguments as it wants them, `before_start`, its function, and the confirms of what that
submitted.

What asks for another end (`Snooze`, `Reject`, `Retry`, `Ignore`) is raised, also where it was returned.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from amqptasks import errors
from amqptasks.calls import submit
from amqptasks.messages.request import Request
from amqptasks.options import arguments

if TYPE_CHECKING:
    from amqptasks.tasks.task import Task


def attempt(task: Task[..., Any], request: Request) -> Any:
    """The value of a plain function; raises what that raises."""
    try:
        value = _run(task, request)
    except errors.INTERRUPTIONS:
        raise
    except Exception:
        if type(request.submitted) is set and request.submitted:  # whatever its task has put there
            submit.join_failed(task.app, request)
        raise
    if type(request.submitted) is set and request.submitted:  # whatever its task has put there
        submit.join(task.app, request)
    return value


async def attempt_async(task: Task[..., Any], request: Request) -> Any:
    """`attempt`, of an `async def` task."""
    try:
        value = await _run_async(task, request)
    except errors.INTERRUPTIONS:
        raise
    except Exception:
        if type(request.submitted) is set and request.submitted:  # whatever its task has put there
            await submit.join_failed_async(task.app, request)
        raise
    if type(request.submitted) is set and request.submitted:  # whatever its task has put there
        await submit.join_async(task.app, request)
    return value


def _run(task: Task[..., Any], request: Request) -> Any:
    request.instance = task
    if task.is_plain:
        return _value(task, task.function(*request.args, **request.kwargs))
    if task.middleware is not None:
        return task.middleware.run(request, lambda: _called(task, request))
    return _called(task, request)


def _called(task: Task[..., Any], request: Request) -> Any:
    args, kwargs = _arguments(task, request)
    if task.has_before_start:
        left = task.before_start(request.id, args, kwargs)
        if isinstance(left, _UNDONE):
            raise _undone(task, left, "has a before_start that gave")
    return _value(task, task(*args, **kwargs))


async def _run_async(task: Task[..., Any], request: Request) -> Any:
    request.instance = task
    if task.is_plain:
        return _value(task, await task.function(*request.args, **request.kwargs))
    if task.middleware is not None:
        return await task.middleware.run_async(request, lambda: _called_async(task, request))
    return await _called_async(task, request)


async def _called_async(task: Task[..., Any], request: Request) -> Any:
    args, kwargs = _arguments(task, request)
    if task.has_before_start:
        left = task.before_start(request.id, args, kwargs)
        if inspect.isawaitable(left):
            await left
    return _value(task, await task(*args, **kwargs))


def _undone(task: Task[..., Any], value: Any, does: str) -> errors.NotAwaited:
    """The error for a task whose lines did not run."""
    close = getattr(value, "close", None) if isinstance(value, Coroutine | Generator) else None
    if close is not None:
        close()  # else Python complains later that it was never awaited
    kind = type(value).__name__.replace("_", " ")
    if isinstance(value, Coroutine | asyncio.Future):
        way_out = "make the function (and each wrapper around it) `async def`, and await what it calls"
    else:
        way_out = "go through it, and return a list"
    return errors.NotAwaited(f"task {task.name} {does} a {kind}, so its lines have not run: {way_out}")


def _arguments(task: Task[..., Any], request: Request) -> tuple[Any, Any]:
    if task.validates and task.arguments is not None:
        return task.arguments.validated(request.args, request.kwargs)
    return request.args, request.kwargs


#: Types of most values, which need no second look.
_DATA = frozenset({type(None), bool, int, float, str, bytes, list, tuple, dict})

#: What does nothing before somebody awaits it or goes through it.
_UNDONE = (Coroutine, Generator, AsyncGenerator, asyncio.Future, map, filter)


def _value(task: Task[..., Any], value: Any) -> Any:
    if type(value) in _DATA:
        return value
    if isinstance(value, errors.TaskError):
        raise value
    if isinstance(value, _UNDONE):
        raise _undone(task, value, "returned")
    return arguments.plain(value) if task.validates else value
