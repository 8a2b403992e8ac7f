"""A call: arguments and options become a message. `calls.send` publishes it; many at once: `bulk`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from amqptasks import signals
from amqptasks.calls import sent
from amqptasks.errors import ConfigurationError
from amqptasks.messages import protocol
from amqptasks.messages.ids import task_id
from amqptasks.messages.middleware import Begun, BegunAsync, check_headers
from amqptasks.messages.moments import aware
from amqptasks.messages.outgoing import Outgoing, Template, Templated
from amqptasks.messages.own_headers import UNIQUE
from amqptasks.messages.properties import REPLY_TO
from amqptasks.messages.request import Request, current_request
from amqptasks.messages.routing import Destination, Router
from amqptasks.options import CALL, CallOptions, checked, publish_timeout
from amqptasks.options.arguments import plain
from amqptasks.options.signatures import embedded
from amqptasks.options.unique import Claim, claim_of
from amqptasks.results.result import NOBODY_WANTS_IT, AsyncResult
from amqptasks.runtime.clock import broker_time
from amqptasks.untrusted import bounds

if TYPE_CHECKING:
    from amqptasks.app.app import App
    from amqptasks.results.record import Record
    from amqptasks.tasks.task import Task


#: Options with which a call carries a moment, which is written by the broker's clock.
MOMENTS = frozenset({"countdown", "eta", "expires"})


class Call:
    """A call that is ready to be published; `timeout` in seconds is how long to wait for the confirm. `request` is
    there where anybody may ask for it, `claim` where it is to be the only one of its kind, `around` where middleware
    has begun around its publish, `sent` where the result store is to know of it first."""

    __slots__ = ("around", "claim", "outgoing", "request", "result", "sent", "timeout")

    def __init__(
        self,
        request: Request | None,
        outgoing: Outgoing,
        result: AsyncResult[Any],
        timeout: float,
        claim: Claim | None = None,
        around: Begun | BegunAsync | None = None,
        sent: Record | None = None,
    ) -> None:
        self.around = around
        self.sent = sent
        self.claim = claim
        self.request = request
        self.outgoing = outgoing
        self.result = result
        self.timeout = timeout

    def end(self, error: BaseException | None = None) -> None:
        """What is around its publish ends: the broker has the call, or `error` says why not."""
        if self.around is not None:
            assert isinstance(self.around, Begun)
            self.around.end(error)

    async def end_async(self, error: BaseException | None = None) -> None:
        """`end`, of a call that `make_async` has made."""
        if self.around is not None:
            assert isinstance(self.around, BegunAsync)
            await self.around.end(error)


def make(
    app: App,
    task: Task[..., Any] | str,
    args: Any,
    kwargs: Any,
    options: CallOptions,
    *,
    sign: bool = True,
    kept: bool = False,
) -> Call:
    """Everything about one call but its publishing; `sign` False for a call that nobody of this app asked for, `kept`
    for one whose result is to be stored although nobody waits for a reply. Raises `UnknownOption`,
    `ConfigurationError`, `NoRoute`, and `TypeError` for arguments that do not fit."""
    if options or isinstance(task, str) or not sign:
        return _make(app, task, args, kwargs, options, sign=sign, kept=kept)
    alike = app.alike.get(task)
    if alike is None:
        alike = app.alike[task] = Alike(app, task, options)
    return alike.make(args, kwargs)


async def make_async(app: App, task: Task[..., Any] | str, args: Any, kwargs: Any, options: CallOptions) -> Call:
    """`make`, for asyncio: middleware may await."""
    if not app.middleware.publishes:
        return make(app, task, args, kwargs, options)
    draft = _draft(app, task, args, kwargs, options)
    around = await app.middleware.publish_async(draft.request)
    try:
        return _finish(app, draft, around)
    except Exception as error:
        await around.end(error)
        raise


def _make(
    app: App,
    task: Task[..., Any] | str,
    args: Any,
    kwargs: Any,
    options: CallOptions,
    *,
    sign: bool = True,
    kept: bool = False,
) -> Call:
    draft = _draft(app, task, args, kwargs, options, kept=kept)
    if not app.middleware.publishes:
        return _finish(app, draft, None, sign=sign)
    around = app.middleware.publish(draft.request)
    try:
        return _finish(app, draft, around, sign=sign)
    except Exception as error:
        around.end(error)
        raise


class Draft(NamedTuple):
    """A call before it is encoded, `delay` in seconds. What is around its publish may still change the headers of its
    request."""

    task: Task[..., Any] | str
    request: Request
    options: Mapping[str, Any]
    delay: float
    claim: Claim | None
    result: AsyncResult[Any]
    destination: Destination


def _draft(
    app: App, task: Task[..., Any] | str, args: Any, kwargs: Any, options: CallOptions, *, kept: bool = False
) -> Draft:
    if options:
        options = checked(options, CALL, "a call")
    own: Mapping[str, Any] = {}
    if isinstance(task, str):
        name = task
    else:
        task.check_arguments(args, kwargs)
        name, own = task.name, task.call_options
        if task.validates:
            args, kwargs = tuple(map(plain, args)), {key: plain(value) for key, value in kwargs.items()}
    merged: dict[str, Any] = {**own, **options} if options or own else {}
    if not MOMENTS.isdisjoint(merged):
        app.caller.know_the_time()
    request = Request(name, merged.get("task_id") or task_id(), args, kwargs)
    delay = _fill(request, merged) if merged else 0.0
    if request.callbacks or request.errbacks or request.chain or "reply_to" in merged:
        _refuse_what_workers_refuse(app, request, merged)
    claim = None
    if "unique" in merged or "unique_for" in merged:
        known = None if isinstance(task, str) else task.arguments
        claim = claim_of(name, known, args, kwargs, merged, request.id, delay, request.expires)
        if claim is not None and claim.released:
            request.headers = {**request.headers, UNIQUE: claim.header}
    _note_parent(app, request)
    if kept:
        request.ignore_result = False
    result = _result(app, request, merged)
    destination = app.router.destination(
        name,
        queue=merged.get("queue"),
        exchange=merged.get("exchange"),
        routing_key=merged.get("routing_key"),
        priority=merged.get("priority"),
    )
    request.priority = destination.priority
    return Draft(task, request, merged, delay, claim, result, destination)


def _finish(app: App, draft: Draft, around: Begun | BegunAsync | None, *, sign: bool = True) -> Call:
    task, request, merged, delay, claim, result, destination = draft
    if around is not None:
        check_headers(request.headers, request.task)
    body, properties = app.codec.encode(request, merged.get("serializer"), merged.get("compression"), sign=sign)
    outgoing = Outgoing(destination.exchange, destination.routing_key, body, properties)
    if signals.before_task_publish:
        policy = merged.get("retry_policy")
        signals.before_task_publish.send(request.task, **published(request, outgoing), declare=[], retry_policy=policy)
    if delay > 0:
        outgoing = app.caller.into_ladder(outgoing, delay)
    record = sent.record_of(app, task, request)
    return Call(request, outgoing, result, publish_timeout(merged, app.publish_timeout), claim, around, record)


def _note_parent(app: App, request: Request) -> None:
    """The task that runs here made this call; its result names it, where results are stored."""
    running = current_request.get()
    if running is None:
        return
    request.parent_id = request.parent_id or running.id
    request.root_id = request.root_id or running.root_id or running.id
    if app.results is not None:
        if running.children is None:
            running.children = []
        if len(running.children) < bounds.MOST_CHILDREN:
            running.children.append(request.id)


def _refuse_what_workers_refuse(app: App, request: Request, options: Mapping[str, Any]) -> None:
    """A worker would make a dead letter of it: the caller hears of it here. What is signed may go everywhere."""
    if app.codec.signing is not None:
        return
    reach, address = app.codec.reach, options.get("reply_to")
    problem = reach.problem(request.callbacks, request.errbacks, request.chain, trusted=False, read=False)
    if problem is None and address is not None:
        problem = reach.reply_problem(address)
    if problem is not None:
        raise ConfigurationError(f"task {request.task!r} cannot be sent: {problem}")


#: Options with which all calls of a task still differ in nothing but their id and their arguments.
_SAME_FOR_ALL = frozenset(
    {
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
        "retry",
        "retry_policy",
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
        self._uniform = (
            app.codec.is_plain
            and not task.validates
            and not app.middleware.publishes
            and not sent.is_tracked(app, task)
            and task.call_options.keys() | options.keys() <= _SAME_FOR_ALL
        )

    def make(self, args: Any, kwargs: Any) -> Call:
        template, app, task = self._template, self._app, self._task
        if template is None or self._router is not app.router or self._ignore_result is not app.ignore_result:
            return self._first(args, kwargs)
        if _is_special():
            return _make(app, task, args, kwargs, self._options)
        task.check_arguments(args, kwargs)
        body = protocol.encode_arguments(task.name, args, kwargs)
        identity = task_id()
        result: AsyncResult[Any]
        result = (
            app.caller.replies.register(identity, task.name)
            if self._replies
            else _without_reply(app, identity, task.name)
        )
        return Call(None, Templated(template, identity, body), result, self._timeout)

    def _first(self, args: Any, kwargs: Any) -> Call:
        call = _make(self._app, self._task, args, kwargs, self._options)
        if self._uniform and not _is_special():
            outgoing = call.outgoing
            self._template = Template(outgoing.exchange, outgoing.routing_key, outgoing.properties, outgoing.mandatory)
            self._timeout = call.timeout
            self._replies = outgoing.properties.reply_to is not None
            self._router = self._app.router
            self._ignore_result = self._app.ignore_result
        return call


def _is_special() -> bool:
    """True where a call is to be looked at: its signals are heard, or it is made in a task, which it then names."""
    return bool(current_request.get() is not None or signals.before_task_publish or signals.after_task_publish)


def _without_reply(app: App, identity: str, name: str) -> AsyncResult[Any]:
    return AsyncResult.without_reply(identity, name, NOBODY_WANTS_IT, app.caller.revoke)


def _result(app: App, request: Request, options: Mapping[str, Any]) -> AsyncResult[Any]:
    """What the caller gets, and the request's reply address with it."""
    if options.get("reply_to"):
        request.reply_to = options["reply_to"]
        if app.results is not None:
            return app.results.result(request.id, request.task)
        return AsyncResult.without_reply(
            request.id, request.task, f"its reply goes to {request.reply_to!r}", app.caller.revoke
        )
    if options.get("ignore_result", app.ignore_result):
        return _without_reply(app, request.id, request.task)
    request.reply_to = REPLY_TO
    return app.caller.replies.register(request.id, request.task)


def published(request: Request, outgoing: Outgoing) -> dict[str, Any]:
    """What the signals about a publish say of it. The body as Celery has it, before it is encoded."""
    workflow = {
        "callbacks": request.callbacks,
        "errbacks": request.errbacks,
        "chain": request.chain,
        "chord": request.chord,
    }
    return {
        "body": (request.args, request.kwargs, workflow),
        "exchange": outgoing.exchange,
        "routing_key": outgoing.routing_key,
        "headers": outgoing.properties.headers,
        "properties": outgoing.properties,
    }


def _fill(request: Request, options: Mapping[str, Any]) -> float:
    """Copy what the options say into the request; the delay in seconds that they ask for."""
    request.callbacks = embedded(options.get("link"))
    request.errbacks = embedded(options.get("link_error"))
    request.chain = embedded(options.get("chain"))
    request.shadow = options.get("shadow")
    request.root_id = options.get("root_id")
    request.parent_id = options.get("parent_id")
    request.time_limit = options.get("time_limit")
    request.soft_time_limit = options.get("soft_time_limit")
    headers = options.get("headers")
    if headers:
        request.headers = dict(headers)
    now = broker_time.utcnow()
    expires = options.get("expires")
    if isinstance(expires, datetime):
        request.expires = broker_time.from_own(aware(expires))
    elif expires is not None:
        request.expires = now + timedelta(seconds=expires)
    countdown, eta = options.get("countdown"), options.get("eta")
    if countdown is not None and eta is not None:
        raise ConfigurationError("a call has a countdown and an eta: give one of them")
    if eta is not None:
        countdown = (broker_time.from_own(aware(eta)) - now).total_seconds()
    if countdown is None or countdown <= 0:
        return 0.0
    request.eta = now + timedelta(seconds=countdown)
    return float(countdown)
