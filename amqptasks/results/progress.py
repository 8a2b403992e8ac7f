"""The state of a task on its way, for whoever waits for its result."""

from __future__ import annotations

from concurrent.futures import Future
from enum import Enum
from typing import TYPE_CHECKING, Any

from amqptasks.errors import ConfigurationError
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.messages.request import Request
from amqptasks.results.reply import FINAL_STATES
from amqptasks.runtime.log_queue import get_logger
from amqptasks.untrusted import bounds

if TYPE_CHECKING:
    from amqptasks.app.app import App

logger = get_logger(__name__)


def checked_state(state: object) -> str:
    """A state that a task may have on its way. Raises `ConfigurationError` for a state that would end its result, and
    for what is no name."""
    if isinstance(state, Enum):
        state = state.value
    try:
        name = str.__str__(bounds.name(state))
    except bounds.OutOfBounds as error:
        raise ConfigurationError(f"state {error}: give a name, as state='PROGRESS'") from None
    if name in FINAL_STATES:
        raise ConfigurationError(f"state {name!r} is an end: return, or raise, instead")
    return name


def tell_state(app: App, request: Request, state: str, meta: Any, expires: float | None = None) -> None:
    """Send a reply that is not the last one, and have it stored where the app has a result store, for `expires`
    seconds. Raises `ConfigurationError` for a `meta` that cannot be sent."""
    if app.results is not None and not request.ignore_result:
        record = app.results.recording.on_the_way(request, Properties(), state, meta, expires=expires)
        app.results.writer.put(record)
    if request.reply_to is not None:
        _reply(app, request, state, meta)


def _reply(app: App, request: Request, state: str, meta: Any) -> None:
    from amqptasks.results import reply

    serializer = app.codec.for_reply(Properties())
    properties = Properties(
        content_type=serializer.content_type,
        content_encoding=serializer.content_encoding,
        correlation_id=request.correlation_id or request.id,
        delivery_mode=1,
    )
    body = reply.on_the_way(request.id, state, meta, serializer)
    app.codec.sign_reply(properties, body, request)
    outgoing = Outgoing("", request.reply_to or "", body, properties, mandatory=False)

    def done(future: Future[None]) -> None:
        error = future.exception()
        if error is not None:
            logger.warning("the state of task %s could not be sent: %s", request.id, error)

    app.caller.publisher.submit(outgoing, app.publish_timeout).add_done_callback(done)
