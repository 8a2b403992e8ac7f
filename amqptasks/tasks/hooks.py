"""Who is told of a run: the task's own hooks, then the signals. What they raise is logged, and changes nothing: also
what would end the process, for a pool's threads, its loop and its children are not one task's to end.

The order is Celery's: `task_prerun`, `before_start`, the run; then by the outcome `on_success` and `task_success`,
`on_retry` and `task_retry`, or `on_failure` and `task_failure`; then `after_return` and `task_postrun`.

A hook may be `async def` in an `async def` task: it is awaited. Outside of one, nothing awaits it.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

from amqptasks import errors, signals
from amqptasks.messages.exception_info import ExceptionInfo
from amqptasks.runtime.log_queue import get_logger
from amqptasks.tasks.outcomes import (
    Failure,
    Ignore,
    Outcome,
    Reject,
    Replaced,
    Requeue,
    Retry,
    Revoked,
    Snooze,
    Success,
)

if TYPE_CHECKING:
    from amqptasks.messages.request import Request
    from amqptasks.tasks.task import Task

logger = get_logger("amqptasks.task")

#: What is to be called, in turn: each step may give an awaitable.
Steps = Iterator[Callable[[], object]]

#: The hooks of a task, but the one that is part of the run.
AFTER = ("on_success", "on_failure", "on_retry", "after_return")


def after(
    task: Task[..., Any],
    request: Request,
    outcome: Outcome,
    described: Callable[[BaseException], ExceptionInfo],
    runtime: float,
) -> Steps:
    """All that is to be called after a run of `runtime` seconds that ended so. `described` makes the `einfo` of an
    exception."""
    match outcome:
        case Success(value):
            return _told(task, "SUCCESS", request, value, None, runtime)
        case Failure(cause):
            return _told(task, "FAILURE", request, cause, described(cause), runtime)
        case Retry(delay, cause):
            why = cause if cause is not None else errors.Retry(delay)
            return _told(task, "RETRY", request, why, described(why), runtime)
        case Revoked(detail):
            ended = errors.TaskRevoked(detail)
            return _told(task, "REVOKED", request, ended, described(ended), runtime)
    state = _STATES.get(type(outcome), "ABORTED")  # the worker stops, and took it back
    return _told(task, state, request, None, None, runtime)


def _told(
    task: Task[..., Any], state: str, request: Request, value: Any, info: ExceptionInfo | None, runtime: float
) -> Steps:
    args, kwargs = request.args, request.kwargs
    if state == "SUCCESS":
        if "on_success" in task.hooks:
            yield lambda: task.on_success(value, request.id, args, kwargs)
        if signals.task_success:
            yield lambda: signals.task_success.send(task, result=value, runtime=runtime)
    elif info is not None and state == "RETRY":
        if "on_retry" in task.hooks:
            yield lambda: task.on_retry(info.exception, request.id, args, kwargs, info)
        if signals.task_retry:
            yield lambda: signals.task_retry.send(task, request=request, reason=info.exception, einfo=info)
    elif info is not None and state == "FAILURE":
        if "on_failure" in task.hooks:
            yield lambda: task.on_failure(info.exception, request.id, args, kwargs, info)
        if signals.task_failure:
            yield lambda: signals.task_failure.send(
                task,
                task_id=request.id,
                exception=info.exception,
                args=args,
                kwargs=kwargs,
                traceback=info.exception.__traceback__,
                einfo=info,
            )
    if "after_return" in task.hooks and state in _RETURNED:
        yield lambda: task.after_return(state, value, request.id, args, kwargs, info)
    if signals.task_postrun:
        yield lambda: signals.task_postrun.send(
            task, task_id=request.id, task=task, args=args, kwargs=kwargs, retval=value, state=state
        )


def run(steps: Steps, task: Task[..., Any], request: Request) -> None:
    """Call them all."""
    for step in steps:
        try:
            left = step()
            if inspect.iscoroutine(left):
                left.close()
                _broken(TypeError("a hook of a plain task cannot be async: nothing would await it"), task, request)
        except BaseException as error:
            if request.is_eager and isinstance(error, KeyboardInterrupt):  # in the caller's program, not in a worker
                raise
            _broken(error, task, request)


async def run_async(steps: Steps, task: Task[..., Any], request: Request) -> None:
    """Call them all, and await those that are async. Raises `CancelledError` when this run is cancelled; one that a
    hook made itself is logged."""
    for step in steps:
        try:
            left = step()
            if isinstance(left, Awaitable):
                await left
        except BaseException as error:
            if _is_cancelled(error):
                raise
            _broken(error, task, request)


def _is_cancelled(error: BaseException) -> bool:
    """True where `error` is how this run itself is ended: a hook may as well have awaited what others cancelled."""
    if isinstance(error, GeneratorExit):
        return True
    running = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and running is not None and running.cancelling() > 0


def _broken(error: BaseException, task: Task[..., Any], request: Request) -> None:
    logger.error(
        "%s[%s] a hook raised; the outcome of the task stays what it was",
        task.name,
        request.id,
        exc_info=error,
        extra={"action": "hook_failed", "task_name": task.name, "task_id": request.id},
    )
    if signals.task_internal_error:
        signals.task_internal_error.send(
            task,
            task_id=request.id,
            args=request.args,
            kwargs=request.kwargs,
            request=request,
            exception=error,
            einfo=ExceptionInfo(error),
        )


#: States of outcomes that have no value and no exception. They are ours, as Celery has no word for them.
_STATES: dict[type[Outcome], str] = {
    Ignore: "IGNORED",
    Replaced: "REPLACED",
    Reject: "REJECTED",
    Requeue: "REQUEUED",
    Snooze: "SNOOZED",
}

#: The states after which `after_return` is called: Celery leaves out those that a task asks for itself.
_RETURNED = frozenset({"SUCCESS", "FAILURE", "RETRY", "REVOKED"})
