"""A call: arguments and options become a message, and the message is published, singly, awaited or in bulk."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from amqptasks.errors import ConfigurationError, PartlyPublished, PublishRejected, Unroutable
from amqptasks.moments import aware
from amqptasks.options import CallOptions, TaskOptions, check
from amqptasks.publisher import Progress
from amqptasks.request import Request
from amqptasks.transport import REPLY_TO, Outgoing
from amqptasks.uuid7 import task_id

if TYPE_CHECKING:
    from amqptasks.app import App
    from amqptasks.results.result import AsyncResult
    from amqptasks.task import Task


class Call:
    """A call that is ready to be published; `timeout` in seconds is how long to wait for the confirm."""

    __slots__ = ("outgoing", "result", "timeout")

    def __init__(self, outgoing: Outgoing, result: AsyncResult[Any], timeout: float) -> None:
        self.outgoing = outgoing
        self.result = result
        self.timeout = timeout


def make(app: App, task: Task[..., Any] | str, args: Any, kwargs: Any, options: CallOptions) -> Call:
    """Everything about one call but its publishing. Raises `UnknownOption`, `ConfigurationError`, `NoRoute`, and
    `TypeError` for arguments that do not fit."""
    if options:
        check(options, CallOptions, "a call")
    own: TaskOptions = {}
    if isinstance(task, str):
        name = task
    else:
        task.check_arguments(args, kwargs)
        name, own = task.name, task.options
    merged: dict[str, Any] = {**own, **options} if options or own else {}
    request = Request(name, merged.get("task_id") or task_id(), args, kwargs)
    delay = _fill(request, merged)
    result: AsyncResult[Any]
    if merged.get("ignore_result", app.ignore_result):
        from amqptasks.results.result import AsyncResult

        result = AsyncResult.without_reply(request.id, name, "ignore_result is set")
    else:
        request.reply_to = REPLY_TO
        result = app.replies.register(request.id, name)
    destination = app.router.destination(
        name,
        queue=merged.get("queue"),
        exchange=merged.get("exchange"),
        routing_key=merged.get("routing_key"),
        priority=merged.get("priority"),
    )
    request.priority = destination.priority
    body, properties = app.codec.encode(request, merged.get("serializer"), merged.get("compression"))
    outgoing = Outgoing(destination.exchange, destination.routing_key, body, properties)
    if delay > 0:
        outgoing = app.into_ladder(outgoing, delay)
    return Call(outgoing, result, merged.get("timeout", app.publish_timeout))


def send(app: App, task: Task[..., Any] | str, args: Any, kwargs: Any, options: CallOptions) -> AsyncResult[Any]:
    """Publish a call and wait for the broker's confirm. Raises as `make`, and `BrokerError`."""
    call = make(app, task, args, kwargs, options)
    try:
        app.publisher.publish(call.outgoing, call.timeout)
    except (Unroutable, PublishRejected) as error:
        if not app.declare_again(error):
            raise
        app.publisher.publish(call.outgoing, call.timeout)
    return call.result


async def send_async(
    app: App, task: Task[..., Any] | str, args: Any, kwargs: Any, options: CallOptions
) -> AsyncResult[Any]:
    """`send` for asyncio: the loop goes on meanwhile."""
    if app.is_ready_for(delayed=bool(options.get("countdown") or options.get("eta"))):
        call = make(app, task, args, kwargs, options)
    else:
        call = await asyncio.to_thread(make, app, task, args, kwargs, options)  # connects, and declares
    try:
        await app.publisher.publish_async(call.outgoing, call.timeout)
    except (Unroutable, PublishRejected) as error:
        if not await asyncio.to_thread(app.declare_again, error):
            raise
        await app.publisher.publish_async(call.outgoing, call.timeout)
    return call.result


def send_many(
    app: App,
    task: Task[..., Any],
    calls: Iterable[tuple[Any, Any]],
    options: CallOptions,
    progress: Progress | None,
) -> list[AsyncResult[Any]]:
    """Publish one call for each args and kwargs in `calls`, with the pipeline kept full. Raises `PartlyPublished`."""
    if "task_id" in options:
        raise ConfigurationError("publish_many makes an id for each call: leave task_id out")
    sent: list[tuple[int, Call]] = []
    unsendable: list[tuple[int, BaseException]] = []

    def outgoings() -> Iterator[Outgoing]:
        for position, (args, kwargs) in enumerate(calls):
            try:
                call = make(app, task, args, kwargs, options)
            except (ConfigurationError, TypeError) as error:
                if not sent:  # nothing is published yet: an option that is wrong is wrong for all
                    raise
                unsendable.append((position, error))
                continue
            sent.append((position, call))
            yield call.outgoing

    timeout = options.get("timeout", app.publish_timeout)
    publisher = app.publisher
    failed = publisher.publish_many(outgoings(), timeout, progress)
    mendable = [(index, error) for index, error in failed if isinstance(error, Unroutable | PublishRejected)]
    if mendable and app.declare_again(mendable[0][1]):
        again = [index for index, _ in mendable]
        failed = [failure for failure in failed if failure[0] not in set(again)]
        repeated = publisher.publish_many((sent[index][1].outgoing for index in again), timeout)
        failed += [(again[index], error) for index, error in repeated]
    unsendable += [(sent[index][0], error) for index, error in failed]
    if unsendable:
        total = len(sent) + len(unsendable) - len(failed)
        raise PartlyPublished(sorted(unsendable, key=lambda failure: failure[0]), total)
    return [call.result for _, call in sent]


def _fill(request: Request, options: Mapping[str, Any]) -> float:
    """Copy what the options say into the request; the delay in seconds that they ask for."""
    if not options:
        return 0.0
    request.shadow = options.get("shadow")
    request.root_id = options.get("root_id")
    request.parent_id = options.get("parent_id")
    request.time_limit = options.get("time_limit")
    request.soft_time_limit = options.get("soft_time_limit")
    headers = options.get("headers")
    if headers:
        request.headers = dict(headers)
    now = datetime.now(UTC)
    expires = options.get("expires")
    if expires is not None:
        request.expires = aware(expires) if isinstance(expires, datetime) else now + timedelta(seconds=expires)
    countdown, eta = options.get("countdown"), options.get("eta")
    if countdown is not None and eta is not None:
        raise ConfigurationError("a call has a countdown and an eta: give one of them")
    if eta is not None:
        countdown = (aware(eta) - now).total_seconds()
    if countdown is None or countdown <= 0:
        return 0.0
    request.eta = now + timedelta(seconds=countdown)
    return float(countdown)
