"""Running a task here and now, as a worker would but for the broker: `task.apply()`.

`outcomes.classify` decides what an exception leads to, as in a worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from amqptasks import signals
from amqptasks.errors import ResultError, TaskRejected, TaskRevoked
from amqptasks.messages.exception_info import ExceptionInfo
from amqptasks.messages.ids import task_id
from amqptasks.messages.own_headers import SNOOZES
from amqptasks.messages.request import Request, current_request
from amqptasks.options import CALL, CallOptions, checked
from amqptasks.options.signatures import listed
from amqptasks.results.reply import Outcome as Answer
from amqptasks.results.result import AsyncResult
from amqptasks.tasks import hooks
from amqptasks.tasks.execution import attempt, attempt_async
from amqptasks.tasks.outcomes import (
    Failure,
    HandBack,
    Ignore,
    Outcome,
    Reject,
    Replaced,
    Requeue,
    Retry,
    Revoked,
    Snooze,
    Success,
    classify,
)

if TYPE_CHECKING:
    from amqptasks.tasks.task import Task


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
    request, outcome, raised = _run(task, request)
    answer = _answer(task, request, outcome)
    if throw and answer.exception is not None:
        raise raised or answer.exception
    result: AsyncResult[Any] = AsyncResult(request.id, task.name)
    result.resolve(answer)
    if answer.status == "SUCCESS":
        _follow(task, "link", options, (answer.value,), request)
    elif answer.status in ("FAILURE", "REJECTED"):
        _follow(task, "link_error", options, (request.id,), request)
    return result


def _run(task: Task[..., Any], request: Request) -> tuple[Request, Outcome, Exception | None]:
    """All attempts, one after the other without a pause: the last request, how it ended, and what it raised."""
    while True:
        outcome, raised = _attempt(task, request)
        hooks.run(hooks.after(task, request, outcome, ExceptionInfo, 0.0), task, request)
        match outcome:
            case Retry():
                request = outcome.again(request)
            case Snooze(times=times):
                request = replace(request, headers={**request.headers, SNOOZES: times})
            case Failure(cause) if isinstance(cause, Exception):
                return request, outcome, cause
            case _:
                return request, outcome, raised


def _attempt(task: Task[..., Any], request: Request) -> tuple[Outcome, Exception | None]:
    token = current_request.set(request)
    try:
        if signals.task_prerun:
            signals.task_prerun.send(task, task_id=request.id, task=task, args=request.args, kwargs=request.kwargs)
        value = asyncio.run(attempt_async(task, request)) if task.is_async else attempt(task, request)
    except Exception as error:
        return _classified(task, request, error)
    finally:
        current_request.reset(token)
    return Success(value), None


def _classified(task: Task[..., Any], request: Request, error: Exception) -> tuple[Outcome, Exception | None]:
    try:
        outcome = classify(error, task.retry_policy, request, task.options)
    except Exception as broken:  # as in a worker: an error of what the task asked for is its failure
        broken.__context__ = error
        return Failure(broken), broken
    match outcome:
        case Requeue(reason):  # there is no other worker here, and no queue that counts
            return Reject("rejected", reason), error
        case HandBack():  # nor a worker that stops
            return Failure(error), error
        case Ignore() | Replaced():
            return outcome, None
    return outcome, error


def _answer(task: Task[..., Any], request: Request, outcome: Outcome) -> Answer:
    """What the result says."""
    match outcome:
        case Success(value):
            return Answer("SUCCESS", value)
        case Failure(cause):
            shown = cause if isinstance(cause, Exception) else ResultError(f"{type(cause).__name__}: {cause}")
            return Answer("FAILURE", traceback=ExceptionInfo(cause).traceback, _exception=shown)
        case Reject(reason, detail):
            return Answer("REJECTED", _exception=TaskRejected(f"{reason}: {detail}"))
        case Revoked(detail):
            return Answer("REVOKED", _exception=TaskRevoked(detail))
        case Replaced(signature):
            root = request.root_id or request.id
            other = task.app.signature(signature).apply(task_id=request.id, root_id=root)
            value = other.result
            if isinstance(value, Exception):
                return Answer(other.state, traceback=other.traceback, _exception=value)
            return Answer(other.state, value)
    return Answer("IGNORED")


def _follow(
    task: Task[..., Any], name: str, options: Mapping[str, Any], args: tuple[Any, ...], request: Request
) -> None:
    for given in listed(options.get(name) or task.call_options.get(name)):
        task.app.signature(given).apply(args, parent_id=request.id, root_id=request.root_id or request.id)
