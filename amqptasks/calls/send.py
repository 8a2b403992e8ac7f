"""Publishing one call: it connects and declares where nobody has, takes its claim, and waits for the confirm.

Each step has what the call's deadline leaves it, and each `BrokerError` is an error of this call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from amqptasks import signals
from amqptasks.calls import sent
from amqptasks.calls.call import MOMENTS, Call, make, make_async, published
from amqptasks.calls.deadline import Deadline
from amqptasks.errors import BrokerError, PublishRejected, Unroutable
from amqptasks.messages.ids import task_id
from amqptasks.options import CALL, CallOptions, checked, publish_timeout
from amqptasks.options.unique import Claim
from amqptasks.results.result import AsyncResult
from amqptasks.runtime.clock import broker_time, monotonic

if TYPE_CHECKING:
    from amqptasks.app.app import App
    from amqptasks.events.emitter import Emitter
    from amqptasks.tasks.task import Task

#: Options of a call by which its caller names how long it may take.
_NAMES_TIME = frozenset({"timeout", "retry", "retry_policy"})

#: Seconds that a step of a call has at least, however late it comes: whether its time is over is told where it ends.
LEAST = 0.05


def send(app: App, task: Task[..., Any] | str, args: Any, kwargs: Any, options: CallOptions) -> AsyncResult[Any]:
    """Publish a call and wait for the broker's confirm. Raises as `make`, and `BrokerError`, after the call's `timeout`
    at the latest."""
    if app.caller.is_ready_for(delayed=True):
        call = make(app, task, args, kwargs, options)
    else:
        call = opened(app, task, args, kwargs, options)
    try:
        sent.record(app, call)
        _publish_any(app, call)
    except BaseException as error:
        not_published(app, call, error)
        raise
    call.end()
    tell(app, call)
    return call.result


def not_published(app: App, call: Call, error: BaseException) -> None:
    """The store forgets that it was sent, and what is around its publish ends."""
    sent.withdraw(app, call, error)
    call.end(error)


def _publish_any(app: App, call: Call) -> None:
    if call.claim is None:
        _publish(app, call)
    else:
        _publish_claimed(app, call, call.claim)


def opened(app: App, task: Task[..., Any] | str, args: Any, kwargs: Any, options: CallOptions) -> Call:
    """`make`, of a call that may be the first of its process, and then connects and declares before."""
    opening = _opening(app, task, args, kwargs, options)
    if opening is None:
        return make(app, task, args, kwargs, options)
    deadline, delayed, identified = opening
    try:
        app.connections.open(deadline, delayed=delayed)
    except BrokerError as error:
        raise error.of_call(identified["task_id"]) from error.__cause__
    return _within(make(app, task, args, kwargs, _timed(app, task, options, identified)), deadline)


def _timed(app: App, task: Task[..., Any] | str, options: CallOptions, identified: CallOptions) -> CallOptions:
    """The id of a first call is made before the broker's clock is known. Where the clocks differ it is made anew, for
    it tells when the call was made."""
    app.caller.know_the_time_soon()
    own: Mapping[str, Any] = {} if isinstance(task, str) else task.call_options
    if "task_id" in options or "task_id" in own or not broker_time.ahead():
        return identified
    return CallOptions(**{**identified, "task_id": task_id()})


def _opening(
    app: App, task: Task[..., Any] | str, args: Any, kwargs: Any, options: CallOptions
) -> tuple[Deadline, bool, CallOptions] | None:
    """None where nothing is to be opened for this call; else its deadline, whether it is delayed, and its options with
    the id, which an error needs that comes before the message is made. Raises for a call that is wrong in itself: that
    is told without a broker."""
    options = checked(options, CALL, "a call")
    own: Mapping[str, Any] = {} if isinstance(task, str) else task.call_options
    merged: dict[str, Any] = {**own, **options}
    delayed = is_delayed(merged)
    if app.caller.is_ready_for(delayed=delayed):
        return None
    if not isinstance(task, str):
        task.check_arguments(args, kwargs)
    name = task if isinstance(task, str) else task.name
    app.router.destination(name, **{key: merged.get(key) for key in ("queue", "exchange", "routing_key", "priority")})
    identified = CallOptions(**{**options, "task_id": merged.get("task_id") or task_id()})
    return app.connections.deadline(named_time(merged, app.publish_timeout)), delayed, identified


def is_delayed(options: Mapping[str, Any]) -> bool:
    """Whether a call with these options goes through the delay ladder."""
    return bool(options.get("countdown") or options.get("eta"))


def named_time(options: Mapping[str, Any], default: float) -> float | None:
    """Seconds that the caller named for the call; None: the app's own."""
    return publish_timeout(options, default) if _NAMES_TIME & options.keys() else None


def _within(call: Call, deadline: Deadline) -> Call:
    """The call with what its deadline leaves it."""
    call.timeout = min(call.timeout, max(LEAST, deadline.remaining))
    return call


def _publish(app: App, call: Call) -> None:
    began = monotonic()
    try:
        app.caller.publisher.publish(call.outgoing, call.timeout)
    except (Unroutable, PublishRejected) as error:
        again = Again(error, began + call.timeout)
        with again.telling(call):
            if not app.caller.declare_again(error, began, again.left):
                raise
            app.caller.publisher.publish(call.outgoing, again.left)


def _publish_claimed(app: App, call: Call, claim: Claim) -> None:
    until = monotonic() + call.timeout
    with errors_of(call):
        ours = app.caller.claims.take(claim, until)
    try:
        call.timeout = max(LEAST, until - monotonic())
        _publish(app, call)
    except BaseException as error:
        if ours:
            app.caller.claims.give_back(claim, error, until)
        raise


class Again:
    """A second try of a call, until its deadline; what the first one left in doubt stays so."""

    def __init__(self, error: BrokerError, until: float) -> None:
        self._maybe_published = error.maybe_published
        self._until = until

    @property
    def left(self) -> float:
        """Seconds."""
        return max(LEAST, self._until - monotonic())

    @contextmanager
    def telling(self, call: Call) -> Iterator[None]:
        try:
            yield
        except BrokerError as error:
            maybe = self._maybe_published or error.maybe_published
            raise error.of_call(call.result.id, maybe_published=maybe) from error.__cause__


@contextmanager
def errors_of(call: Call) -> Iterator[None]:
    """What the broker refuses in here is refused to this call."""
    try:
        yield
    except BrokerError as error:
        raise error.of_call(call.result.id, maybe_published=error.maybe_published) from error.__cause__


async def send_async(
    app: App, task: Task[..., Any] | str, args: Any, kwargs: Any, options: CallOptions
) -> AsyncResult[Any]:
    """`send` for asyncio: the loop goes on meanwhile."""
    if app.caller.is_ready_for(delayed=True):
        call = await make_async(app, task, args, kwargs, options)
    else:
        call = await _opened_async(app, task, args, kwargs, options)
    try:
        await _publish_any_async(app, call)
    except BaseException as error:
        await call.end_async(error)
        raise
    await call.end_async()
    tell(app, call)
    return call.result


async def _publish_any_async(app: App, call: Call) -> None:
    await sent.record_async(app, call)
    try:
        if call.claim is None:
            await _publish_async(app, call)
        else:
            await _publish_claimed_async(app, call, call.claim)
    except BrokerError as error:
        if call.sent is not None:
            await asyncio.to_thread(sent.withdraw, app, call, error)
        raise


async def _opened_async(app: App, task: Task[..., Any] | str, args: Any, kwargs: Any, options: CallOptions) -> Call:
    opening = await asyncio.to_thread(_opening, app, task, args, kwargs, options)  # it imports, and reads files
    if opening is None:
        own = () if isinstance(task, str) else task.call_options
        if not MOMENTS.isdisjoint((*options, *own)):
            await asyncio.to_thread(app.caller.know_the_time)
        return await make_async(app, task, args, kwargs, options)
    deadline, delayed, identified = opening
    try:
        await app.connections.open_async(deadline, delayed=delayed)
    except BrokerError as error:
        raise error.of_call(identified["task_id"]) from error.__cause__
    timed = _timed(app, task, options, identified)
    if app.middleware.publishes:
        return _within(await make_async(app, task, args, kwargs, timed), deadline)
    return _within(await asyncio.to_thread(make, app, task, args, kwargs, timed), deadline)


async def _publish_async(app: App, call: Call) -> None:
    began = monotonic()
    try:
        await app.caller.publisher.publish_async(call.outgoing, call.timeout)
    except (Unroutable, PublishRejected) as error:
        again = Again(error, began + call.timeout)
        with again.telling(call):
            if not await asyncio.to_thread(app.caller.declare_again, error, began, again.left):
                raise
            await app.caller.publisher.publish_async(call.outgoing, again.left)


async def _publish_claimed_async(app: App, call: Call, claim: Claim) -> None:
    until = monotonic() + call.timeout
    with errors_of(call):
        ours = await app.caller.claims.take_async(claim, until)
    try:
        call.timeout = max(LEAST, until - monotonic())
        await _publish_async(app, call)
    except BaseException as error:
        if ours:
            await asyncio.to_thread(app.caller.claims.give_back, claim, error, until)
        raise


def tell(app: App, call: Call, emitter: Emitter | None = None) -> None:
    """The event, by this emitter or else the app's, and the signal of a call that the broker has."""
    app.caller.tell_sent(call.result.task_name, call.result.id, call.outgoing, emitter)
    if signals.after_task_publish:
        tell_published(call)


def tell_published(call: Call) -> None:
    """Send the signal that the broker has it; not where nobody listened when the call was made."""
    if call.request is not None:
        signals.after_task_publish.send(call.request.task, **published(call.request, call.outgoing))
