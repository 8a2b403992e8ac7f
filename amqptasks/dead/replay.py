"""A dead letter as a new message. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from amqptasks.dead.letter import PREFIX, Letter
from amqptasks.message import CONTENT_ENCODING, CONTENT_TYPE, decode, encode_body
from amqptasks.request import Request
from amqptasks.routing import QUEUES_EXCHANGE
from amqptasks.topology.delays import clean
from amqptasks.transport import PERSISTENT, REPLY_TO, Outgoing, Properties
from amqptasks.uuid7 import task_id

#: Headers that spoke of the life that ended: how often it was retried, when it was due.
_OF_THE_OLD_LIFE = frozenset({"retries", "eta"})

#: Headers that speak of the bytes of the body; a body that is made anew is plain JSON.
_OF_THE_OLD_BODY = frozenset({"compression", "argsrepr", "kwargsrepr"})


@dataclass(frozen=True, slots=True)
class Edit:
    """What a replay changes. None leaves it as it was; for a message that holds no arguments, that means none."""

    task: str | None = None
    args: Sequence[Any] | None = None
    kwargs: Mapping[str, Any] | None = None


AS_IT_WAS = Edit()


def target(letter: Letter, queue: str) -> str:
    """The queue that a letter of the dead-letter queue `queue` goes back to."""
    return letter.queue or queue.removesuffix(".dead")


def to_replay(letter: Letter, queue: str, edit: Edit = AS_IT_WAS) -> Outgoing:
    """The message for `queue`. Raises `ConfigurationError` naming the argument of `edit` that JSON cannot carry.

    Same id, same arguments, the headers of whoever published it, and nothing of what happened since. An `expires`
    that is over is left out: it would die of it again.
    """
    given = letter.delivery.properties
    headers = {
        name: value
        for name, value in clean(given.headers or {}).items()
        if not name.startswith(PREFIX) and name not in _OF_THE_OLD_LIFE
    }
    expires = letter.content.expires if isinstance(letter.content, Request) else None
    if expires is not None and expires <= datetime.now(UTC):
        del headers["expires"]
    properties = replace(
        given,
        headers=headers,
        expiration=None,
        user_id=None,  # the broker refuses another's (406)
        delivery_mode=PERSISTENT,
        reply_to=None if given.reply_to == REPLY_TO else given.reply_to,
    )
    body = letter.delivery.body
    if edit.task is not None:
        headers["task"] = edit.task
        headers.setdefault("id", task_id())
    if edit.args is not None or edit.kwargs is not None:
        body = encode_body(_edited(properties, body, edit))
        for name in _OF_THE_OLD_BODY:
            headers.pop(name, None)
        properties.content_type, properties.content_encoding = CONTENT_TYPE, CONTENT_ENCODING
    return Outgoing(QUEUES_EXCHANGE, queue, body, properties)


def _edited(properties: Properties, body: bytes, edit: Edit) -> Request:
    found = decode(properties, body)
    # Of a message that holds none, the arguments alone count here: its headers stay as they are.
    known = found if isinstance(found, Request) else Request(edit.task or "?", "?")
    return replace(
        known,
        args=known.args if edit.args is None else tuple(edit.args),
        kwargs=known.kwargs if edit.kwargs is None else dict(edit.kwargs),
    )
