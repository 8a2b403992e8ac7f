"""A call that is confirmed in the background: `task.submit()`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from typing import TYPE_CHECKING, Any

from amqptasks.calls import send, sent
from amqptasks.calls.call import Call
from amqptasks.errors import PublishRejected, PublishTimeout, Unroutable
from amqptasks.messages.request import Request, current_request
from amqptasks.options import CallOptions
from amqptasks.results.result import AsyncResult
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger

if TYPE_CHECKING:
    from amqptasks.app.app import App
    from amqptasks.app.connections import Submitting
    from amqptasks.tasks.task import Task

logger = get_logger("amqptasks.task")

#: How many confirms a task waits for at most, one after the other: that of a call, and once more where something was
#: gone and is declared again. Then the callbacks hold its calls up, and maybe wait for this very task.
CONFIRMS = 2


class Submission(Future[AsyncResult[Any]]):
    """Knows whether anybody asked how it ends: an error that nobody asked for is that of the task that runs here."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked = False

    def result(self, timeout: float | None = None) -> AsyncResult[Any]:
        self.is_asked = True
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self.is_asked = True
        return super().exception(timeout)

    def add_done_callback(self, fn: Callable[[Future[AsyncResult[Any]]], object]) -> None:
        self.is_asked = True
        super().add_done_callback(fn)

    @property
    def error(self) -> BaseException | None:
        """With which it has ended, without asking."""
        return super().exception(0) if self.done() else None


def submit(
    app: App, task: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], options: CallOptions
) -> Future[AsyncResult[Any]]:
    """`send.send` without waiting for the confirm: the future ends with the result, or with a `BrokerError`. What is
    known before that is raised here, an `AlreadyQueued` too: the claim is taken by the caller's thread."""
    made = send.opened(app, task, args, kwargs, options)
    until = monotonic() + made.timeout
    try:
        sent.record(app, made)
        with send.errors_of(made):
            ours = made.claim is not None and app.caller.claims.take(made.claim, until)
    except BaseException as error:
        send.not_published(app, made, error)
        raise
    future = Submission()
    future.set_running_or_notify_cancel()  # what is on its way cannot be called back
    try:
        with_these = app.caller.submitting(made.timeout)
    except BaseException as error:
        _give_back(app, made, ours, error)
        raise
    try:
        published = with_these.publisher.submit(made.outgoing, made.timeout)
    except BaseException as error:
        with_these.ending.forget()
        _give_back(app, made, ours, error)
        raise
    running = current_request.get()
    if running is not None:
        running.submitted = running.submitted or set()
        running.submitted.add(future)
    end = partial(_end, app, made, ours, with_these, future, running)
    published.add_done_callback(lambda done: with_these.ending.end(partial(end, done)))
    return future


def _end(
    app: App,
    made: Call,
    ours: bool,
    with_these: Submitting,
    future: Submission,
    running: Request | None,
    published: Future[None],
) -> None:
    try:
        try:
            _confirm(app, made, with_these, published)
        except BaseException as error:
            _give_back(app, made, ours, error)
            raise
        made.end()
        send.tell(app, made, with_these.emitter)
    except BaseException as error:
        future.set_exception(error)
    else:
        if running is not None and running.submitted is not None:
            running.submitted.discard(future)  # a task that submits a million calls need not keep them
        future.set_result(made.result)


def _confirm(app: App, made: Call, with_these: Submitting, published: Future[None]) -> None:
    try:
        published.result()
    except (Unroutable, PublishRejected) as error:
        again = send.Again(error, monotonic() + made.timeout)
        with again.telling(made):
            if not app.caller.declare_again(error, None, again.left):
                raise
            with_these.publisher.publish(made.outgoing, again.left)


def _give_back(app: App, made: Call, ours: bool, error: BaseException) -> None:
    """Its claim, too, is not held any more."""
    send.not_published(app, made, error)
    if ours and made.claim is not None:
        app.caller.claims.give_back(made.claim, error)


# In a task that runs: what it submitted is the broker's before the task is acknowledged.


def join(app: App, request: Request) -> None:
    """Wait for what a task submitted that has returned; raise the first error that nobody asked for."""
    errors = _joined(app, request)
    if errors:
        raise errors[0]


def join_failed(app: App, request: Request) -> None:
    """`join`, of a task that raised: that is its end, and further errors are told in the log."""
    for error in _joined(app, request):
        logger.error(
            "a call that task %s[%s] submitted was not published: %s",
            request.task,
            request.id,
            error,
            extra={"action": "submitted_lost", "task_name": request.task, "task_id": request.id},
        )


async def join_async(app: App, request: Request) -> None:
    """`join` for asyncio: the loop goes on meanwhile."""
    await asyncio.to_thread(join, app, request)


async def join_failed_async(app: App, request: Request) -> None:
    """`join_failed` for asyncio."""
    await asyncio.to_thread(join_failed, app, request)


def _joined(app: App, request: Request) -> list[BaseException]:
    submitted, request.submitted = list(request.submitted or ()), None
    wait(submitted, CONFIRMS * app.publish_timeout)
    late = PublishTimeout("a call that the task submitted has not ended: callbacks hold it up", request.id)
    ended = [(future.error if future.done() else late) for future in submitted if not future.is_asked]
    return [error for error in ended if error is not None]
