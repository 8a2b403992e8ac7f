"""What follows on a task: the calls of its `link`, of its `link_error`, the next step of its chain, or what takes its
place.

They are published before it is acknowledged, under ids that derive from its own: run again after a crash, it publishes
the same ids, and a duplicate is known as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from amqptasks.calls import call, sent
from amqptasks.canvas.signature import Signature
from amqptasks.errors import INTERRUPTIONS, ConfigurationError
from amqptasks.messages.exception_info import exception_text
from amqptasks.messages.ids import derived
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.own_headers import ERRBACK
from amqptasks.messages.request import Request
from amqptasks.options import CallOptions
from amqptasks.options.signatures import listed
from amqptasks.results import reply
from amqptasks.runtime.log_queue import get_logger
from amqptasks.untrusted.bounds import LARGEST_FOLLOWERS
from amqptasks.untrusted.printable import short

if TYPE_CHECKING:
    from amqptasks.app.app import App
    from amqptasks.messages.exception_info import ExceptionInfo

logger = get_logger(__name__)

#: Arguments of an error callback that wants to know more than an id.
_WHOLE = 3


class Followers:
    """Makes the calls that follow on tasks of `app`."""

    def __init__(self, app: App) -> None:
        self._app = app

    def check(self, request: Request) -> str | None:
        """Why what follows on this request cannot be run, before it runs; None when it can."""
        if request.chord:
            return "it is part of a chord, which is not run yet"
        followers = (request.callbacks, request.errbacks, request.chain)
        problem = self._app.codec.reach.problem(*followers, trusted=request.verified)
        if problem is not None:
            return problem
        try:
            for given in (*(request.callbacks or ()), *(request.errbacks or ()), *(request.chain or ())):
                Signature.read(given, self._app)
        except (ConfigurationError, ValueError) as error:
            return str(error)
        return None

    def after_success(self, request: Request, value: Any) -> tuple[Outgoing, ...]:
        """Its links, and the next step of its chain. Raises `ConfigurationError`, `NoRoute` for what cannot be sent."""
        made: list[Outgoing] = []
        for number, signature in enumerate(self._read(request.callbacks)):
            made.append(self._call(request, signature, (value,), f"link-{number}"))
            _refuse_too_large(made)
        if request.chain:
            *rest, step = request.chain  # the next step is the last of the list
            signature = Signature.read(step, self._app)
            if rest:
                signature["options"]["chain"] = rest
            made.append(self._call(request, signature, (value,), "chain"))
        return tuple(made)

    def in_place_of(self, request: Request, given: Mapping[str, Any]) -> tuple[Outgoing, ...]:
        """The call that takes the place of this one. Whoever waits hears of the last of its steps, under the id that
        they know. Raises as `after_success`."""
        replacement = Signature.read(given, self._app)
        steps = [Signature.read(step, self._app) for step in listed(replacement["options"].get("chain"))]
        last = steps[0] if steps else replacement
        for step in (*steps, replacement):
            step["options"]["link_error"] = [*listed(step["options"].get("link_error")), *(request.errbacks or ())]
        last["options"]["link"] = [*listed(last["options"].get("link")), *(request.callbacks or ())]
        last["options"]["task_id"] = request.id
        if request.reply_to and not request.ignore_result:
            last["options"]["reply_to"] = request.reply_to
        replacement["options"]["chain"] = [*(request.chain or ()), *steps]
        return (self._call(request, replacement, (), "replacement"),)

    def after_failure(self, request: Request, info: ExceptionInfo) -> tuple[Outgoing, ...]:
        """Its error callbacks. One that cannot be sent is left out, and logged: the failure is told all the same."""
        made: list[Outgoing] = []
        for number, given in enumerate(request.errbacks or ()):
            try:
                signature = Signature.read(given, self._app)
                made_call = self._error_call(request, signature, info, f"link-error-{number}")
                _refuse_too_large([*made, made_call])
                made.append(made_call)
            except INTERRUPTIONS:
                raise
            except Exception as error:
                logger.error(  # noqa: TRY400 - what it names came from outside, and one line tells it
                    "%s[%s] its error callback %s cannot be sent: %s: %s",
                    request.task,
                    request.id,
                    short(given.get("task")),
                    type(error).__name__,
                    exception_text(error),
                    extra={"action": "follower_failed", "task_name": request.task, "task_id": request.id},
                )
        return tuple(made)

    def _error_call(self, request: Request, signature: Signature[Any], info: ExceptionInfo, name: str) -> Outgoing:
        """As Celery calls it: with (request, exception, traceback) where the task is known here and takes that many,
        else with the id alone."""
        task = signature.type
        if task is None or task.bound or task.arguments is None or task.arguments.positional < _WHOLE:
            return self._call(request, signature, (request.id,), name)
        known: dict[str, Any] = {
            "task": request.task,
            "id": request.id,
            "args": list(request.args),
            "kwargs": request.kwargs,
            "retries": request.retries,
            "root_id": request.root_id,
            "parent_id": request.parent_id,
            "queue": request.queue,
        }
        signature["options"]["headers"] = {**signature["options"].get("headers", {}), ERRBACK: True}
        return self._call(request, signature, (known, reply.describe(info.exception), info.traceback), name)

    def _call(self, request: Request, signature: Signature[Any], args: tuple[Any, ...], name: str) -> Outgoing:
        own: Mapping[str, Any] = signature["options"]
        options: dict[str, Any] = {"ignore_result": "reply_to" not in own, **own}
        options.setdefault("task_id", derived(request.id, name))
        options["parent_id"] = request.parent_id if options["task_id"] == request.id else request.id
        options["root_id"] = request.root_id or request.id
        options["unique"] = False  # what follows must come, whatever waits
        merged = signature.merged(args)
        task = signature.type or signature["task"]
        sign = request.verified or self._app.codec.signing is None
        kept = self._app.results is not None and options["ignore_result"] and not own.get("ignore_result")
        made = call.make(self._app, task, *merged, cast(CallOptions, options), sign=sign, kept=kept)
        sent.record_follower(self._app, made)
        made.end()  # it is published when the run is settled
        return made.outgoing

    def _read(self, given: Iterable[Mapping[str, Any]] | None) -> list[Signature[Any]]:
        return [Signature.read(one, self._app) for one in given or ()]


def _refuse_too_large(made: list[Outgoing]) -> None:
    """Each of them holds the task's value once more."""
    if sum(len(one.body) for one in made) > LARGEST_FOLLOWERS:
        raise ConfigurationError(
            f"the calls that follow on it have more than {LARGEST_FOLLOWERS} bytes: pass an id, not a large value"
        )


def errback_arguments(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments of an error callback as it wants them: a `Request`, an exception, a traceback as text."""
    known, described, traceback, *rest = args
    request = Request(
        str(known.get("task")), str(known.get("id")), tuple(known.get("args") or ()), known.get("kwargs") or {}
    )
    for name in ("retries", "root_id", "parent_id", "queue"):
        setattr(request, name, known.get(name))
    return (request, reply.rebuild(described, None), traceback, *rest)
