"""Running a task here and now, as a worker would but for the broker: `task.apply()`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from amqptasks import signals
from amqptasks.errors import Ignore, MaxRetriesExceeded, Reject, Replace, Snooze, TaskError, TaskRejected
from amqptasks.messages.exception_info import ExceptionInfo
from amqptasks.messages.ids import task_id
from amqptasks.messages.request import Request, current_request
from amqptasks.options import CALL, CallOptions, checked
from amqptasks.options.retry import RetryAfter, decide
from amqptasks.options.signatures import listed
from amqptasks.results.reply import Outcome
from amqptasks.results.result import AsyncResult
from amqptasks.tasks import hooks
from amqptasks.tasks.execution import attempt, attempt_async

if TYPE_CHECKING:
    from amqptasks.tasks.task import Task

#: How often a task may snooze here, where no time passes between: more is a task that waits for something else.
MOST_SNOOZES = 100


def apply(
    task: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], options: CallOptions, *, throw: bool
) -> AsyncResult[Any]:
    """Its result, ready. `throw`: raise what the task raised. Raises `UnknownOption`, and `TypeError` for arguments
    that do not fit. Where an event loop runs, await an `async def` task instead."""
    options = checked(options, CALL, "a call")
    task.check_arguments(args, kwargs)
    request = Request(task.name, options.get("task_id") or task_id(), args, kwargs)
    request.is_eager = True
    request.root_id = options.get("root_id") or request.id
    request.parent_id = options.get("parent_id")
    request.headers = dict(options.get("headers") or {})
    state, value = _run(task, request)
    if throw and isinstance(value, Exception):
        raise value
    result: AsyncResult[Any] = AsyncResult(request.id, task.name)
    if isinstance(value, Exception):
        info = ExceptionInfo(value)
        shown = TaskRejected(value.reason) if isinstance(value, Reject) else value
        result.resolve(Outcome(state, traceback=info.traceback, _exception=shown))
        if state == "FAILURE":
            _follow(task, "link_error", options, (request.id,), request)
    else:
        result.resolve(Outcome(state, value))
        if state == "SUCCESS":
            _follow(task, "link", options, (value,), request)
    return result


def _run(task: Task[..., Any], request: Request) -> tuple[str, Any]:
    """All attempts, one after the other without a pause: the state, and the value or the exception."""
    snoozes = 0
    while True:
        state, value = _attempt(task, request)
        info = ExceptionInfo(value) if isinstance(value, BaseException) else None
        hooks.run(hooks.told(task, state, request, value, info, 0.0), task, request)
        if state == "RETRY":
            again = value if isinstance(value, TaskError) else None
            request = replace(
                request,
                retries=request.retries + 1,
                args=getattr(again, "call_args", None) or request.args,
                kwargs=getattr(again, "call_kwargs", None) or request.kwargs,
            )
        elif isinstance(value, Snooze):
            snoozes += 1
            if snoozes > MOST_SNOOZES:
                return "FAILURE", MaxRetriesExceeded(f"snoozed {snoozes} times")
        else:
            return state, value


def _attempt(task: Task[..., Any], request: Request) -> tuple[str, Any]:
    token = current_request.set(request)
    try:
        if signals.task_prerun:
            signals.task_prerun.send(task, task_id=request.id, task=task, args=request.args, kwargs=request.kwargs)
        value = asyncio.run(attempt_async(task, request)) if task.is_async else attempt(task, request)
    except Exception as error:
        value = error
    finally:
        current_request.reset(token)
    if not isinstance(value, Exception):
        return "SUCCESS", value
    if isinstance(value, Ignore):
        return "IGNORED", None
    if isinstance(value, Replace):
        result = task.app.signature(value.signature).apply(task_id=request.id, root_id=request.root_id or request.id)
        return result.state, result.result
    if isinstance(value, Reject):
        return "REJECTED", value
    if isinstance(value, Snooze):
        return "SNOOZED", value
    decision = decide(task.retry_policy, request.retries, value)
    return ("RETRY", value) if isinstance(decision, RetryAfter) else ("FAILURE", decision.cause)


def _follow(
    task: Task[..., Any], name: str, options: Mapping[str, Any], args: tuple[Any, ...], request: Request
) -> None:
    for given in listed(options.get(name) or task.call_options.get(name)):
        task.app.signature(given).apply(args, parent_id=request.id, root_id=request.root_id or request.id)
