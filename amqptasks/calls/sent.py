"""Calls that the result store knows of before the broker does, where `track_sent` asks for it: their state is SENT."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from amqptasks.errors import BrokerError, StoreUnavailable
from amqptasks.messages.properties import Properties
from amqptasks.results.record import SENT
from amqptasks.results.reply import Outcome
from amqptasks.runtime.log_queue import get_logger

logger = get_logger(__name__)

if TYPE_CHECKING:
    from amqptasks.app.app import App
    from amqptasks.calls.call import Call
    from amqptasks.messages.request import Request
    from amqptasks.results.record import Record
    from amqptasks.tasks.task import Task


def is_tracked(app: App, task: Task[..., Any] | str) -> bool:
    """Whether calls of this task are recorded: as the task says, else as the app does."""
    if app.results is None:
        return False
    own = None if isinstance(task, str) else task.options.get("track_sent")
    return app.track_sent if own is None else bool(own)


def record_of(app: App, task: Task[..., Any] | str, request: Request) -> Record | None:
    """What the store is to know of this call; None where it is not tracked, or nobody wants its result."""
    is_wanted = request.reply_to is not None or request.ignore_result is False
    if not is_wanted or not is_tracked(app, task):
        return None
    assert app.results is not None
    known = None if isinstance(task, str) else task
    return app.results.recording.on_the_way(
        request,
        Properties(),
        SENT,
        None,
        expires=None if known is None else known.result_expires,
        names=() if known is None or known.arguments is None else known.arguments.names,
    )


def record(app: App, call: Call) -> None:
    """Have it stored. Raises `StoreUnavailable`: then the call is not published."""
    if call.sent is None:
        return
    assert app.results is not None
    app.results.store.write([call.sent])
    call.result.resolve(Outcome(SENT))


def record_follower(app: App, call: Call) -> None:
    """`record`, of a call that a worker makes for a task that ended: it is published, whatever its store does."""
    try:
        record(app, call)
    except StoreUnavailable as error:
        logger.warning(
            "task %s follows on another, and is published without a record that it was sent: %s",
            call.result.id,
            error,
            extra={"action": "sent_unrecorded", "task_id": call.result.id},
        )


async def record_async(app: App, call: Call) -> None:
    """`record`, for asyncio: the loop goes on meanwhile."""
    if call.sent is not None:
        await asyncio.to_thread(record, app, call)


def withdraw(app: App, call: Call, error: BaseException) -> None:
    """It was not published, for certain: the store forgets it, where it can."""
    if call.sent is None or not isinstance(error, BrokerError) or error.maybe_published:
        return
    assert app.results is not None
    with suppress(StoreUnavailable):
        app.results.forget([call.result.id])
