"""A call: arguments and options become a message, and the message is published, singly, awaited or in bulk."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from amqptasks import message
from amqptasks.errors import ConfigurationError, PartlyPublished, PublishRejected, Unroutable
from amqptasks.moments import aware
from amqptasks.options import CallOptions, TaskOptions, check
from amqptasks.publisher import Progress
from amqptasks.request import Request
from amqptasks.results.result import AsyncResult
from amqptasks.retry import RETRY_OPTIONS
from amqptasks.routing import Router
from amqptasks.transport import REPLY_TO, Outgoing, Template, Templated
from amqptasks.uuid7 import task_id

if TYPE_CHECKING:
    from amqptasks.app import App
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
    if options or isinstance(task, str):
        return _make(app, task, args, kwargs, options)
    alike = app.alike.get(task)
    if alike is None:
        alike = app.alike[task] = Alike(app, task, options)
    return alike.make(args, kwargs)


def _make(app: App, task: Task[..., Any] | str, args: Any, kwargs: Any, options: CallOptions) -> Call:
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
        result = _without_reply(request.id, name)
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


#: Options with which all calls of a task still differ in nothing but their id and their arguments.
_SAME_FOR_ALL = frozenset(
    {
        "name",
        "bind",
        "typing",
        "throws",
        "acks_late",
        "queue",
        "exchange",
        "routing_key",
        "priority",
        "ignore_result",
        "headers",
        "shadow",
        "time_limit",
        "soft_time_limit",
        "timeout",
        *RETRY_OPTIONS,
    }
)


class Alike:
    """Calls of one task with the same options. The first is made as every call is; those that follow take over what it
    worked out, where they can differ in their id and arguments alone."""

    def __init__(self, app: App, task: Task[..., Any], options: CallOptions) -> None:
        self._app = app
        self._task = task
        self._options = options
        self._template: Template | None = None
        self._timeout = 0.0
        self._replies = False
        self._router: Router | None = None
        self._ignore_result = app.ignore_result
        self._uniform = app.codec.is_plain and task.options.keys() | options.keys() <= _SAME_FOR_ALL

    def make(self, args: Any, kwargs: Any) -> Call:
        template, app, task = self._template, self._app, self._task
        if template is None or self._router is not app.router or self._ignore_result is not app.ignore_result:
            return self._first(args, kwargs)
        task.check_arguments(args, kwargs)
        body = message.encode_arguments(task.name, args, kwargs)
        identity = task_id()
        result: AsyncResult[Any]
        result = app.replies.register(identity, task.name) if self._replies else _without_reply(identity, task.name)
        return Call(Templated(template, identity, body), result, self._timeout)

    def _first(self, args: Any, kwargs: Any) -> Call:
        call = _make(self._app, self._task, args, kwargs, self._options)
        if self._uniform:
            outgoing = call.outgoing
            self._template = Template(outgoing.exchange, outgoing.routing_key, outgoing.properties, outgoing.mandatory)
            self._timeout = call.timeout
            self._replies = outgoing.properties.reply_to is not None
            self._router = self._app.router
            self._ignore_result = self._app.ignore_result
        return call


def send(app: App, task: Task[..., Any] | str, args: Any, kwargs: Any, options: CallOptions) -> AsyncResult[Any]:
    """Publish a call and wait for the broker's confirm. Raises as `make`, and `BrokerError`."""
    call = make(app, task, args, kwargs, options)
    try:
        app.publisher.publish(call.outgoing, call.timeout)
    except (Unroutable, PublishRejected) as error:
        if not app.declare_again(error):
            raise
        app.publisher.publish(call.outgoing, call.timeout)
    app.tell_sent(call.result.task_name, call.result.id, call.outgoing)
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
    app.tell_sent(call.result.task_name, call.result.id, call.outgoing)
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
    results: list[AsyncResult[Any]] = []
    unsendable: list[tuple[int, BaseException]] = []
    alike = Alike(app, task, options)

    def outgoings() -> Iterator[Outgoing]:
        for position, (args, kwargs) in enumerate(calls):
            try:
                call = alike.make(args, kwargs)
            except (ConfigurationError, TypeError) as error:
                if not results:  # nothing is published yet: an option that is wrong is wrong for all
                    raise
                unsendable.append((position, error))
                continue
            results.append(call.result)
            yield call.outgoing

    timeout = options.get("timeout", app.publish_timeout)
    publisher = app.publisher
    failed = publisher.publish_many(outgoings(), timeout, progress)
    mendable = [one for one in failed if isinstance(one.error, Unroutable | PublishRejected)]
    if mendable and app.declare_again(cast("Unroutable | PublishRejected", mendable[0].error)):
        again = publisher.publish_many((one.outgoing for one in mendable), timeout)
        repeated = [one._replace(position=mendable[one.position].position) for one in again]
        failed = [one for one in failed if one not in mendable] + repeated
    if unsendable or failed:
        total = len(results) + len(unsendable)
        positions = _positions(total, {position for position, _ in unsendable})
        unsendable += [(positions[one.position], one.error) for one in failed]
        raise PartlyPublished(sorted(unsendable, key=lambda failure: failure[0]), total)
    return results


def _positions(total: int, unsendable: set[int]) -> list[int]:
    """Of what was handed to the publisher: which call it was."""
    return [position for position in range(total) if position not in unsendable]


def _without_reply(identity: str, name: str) -> AsyncResult[Any]:
    return AsyncResult.without_reply(identity, name, "ignore_result is set")


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
