"""A dead letter as a new message. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from amqptasks.codec import PLAIN, Codec
from amqptasks.dead.letter import PREFIX, Letter
from amqptasks.errors import ConfigurationError
from amqptasks.headers import SIGNATURE, Wrong
from amqptasks.outgoing import Outgoing
from amqptasks.properties import PERSISTENT, REPLY_TO, Properties
from amqptasks.request import Request
from amqptasks.routing import QUEUES_EXCHANGE
from amqptasks.signing import signed_bytes
from amqptasks.topology.delays import clean
from amqptasks.uuid7 import task_id

#: Headers that spoke of the life that ended: how often it was retried, when it was due.
_OF_THE_OLD_LIFE = frozenset({"retries", "eta"})

#: Headers that show the arguments in words.
_OF_THE_OLD_BODY = frozenset({"argsrepr", "kwargsrepr"})


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


def to_replay(letter: Letter, queue: str, edit: Edit = AS_IT_WAS, codec: Codec = PLAIN) -> Outgoing:
    """The message for `queue`. Raises `ConfigurationError` naming the argument of `edit` that JSON cannot carry.

    Same id, same arguments, the headers of whoever published it, and nothing of what happened since. An `expires`
    that is over is left out: it would die of it again. A signature that does not fit any more is made anew, where the
    old one was right; raises `ConfigurationError` where `codec` has no keys to do so.
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
        body = codec.rewrite(_edited(properties, body, edit, codec), properties)
        for name in _OF_THE_OLD_BODY:
            headers.pop(name, None)
    _sign(letter, properties, body, codec)
    return Outgoing(QUEUES_EXCHANGE, queue, body, properties)


def _sign(letter: Letter, properties: Properties, body: bytes, codec: Codec) -> None:
    given = letter.delivery.properties
    signature = (given.headers or {}).get(SIGNATURE)
    if signature is None:  # and none is added: a replay does not make a stranger's message ours
        return
    assert properties.headers is not None
    properties.headers[SIGNATURE] = signature
    if _same_bytes_signed(given, letter.delivery.body, properties, body):
        return
    if codec.signing is None:
        raise ConfigurationError(
            f"letter {letter.id} is signed, and its replay changes what is signed: name the app that has the keys,"
            f" with -A MODULE"
        )
    try:
        codec.signing.verify(given, letter.delivery.body)
    except Wrong:
        return  # it keeps the signature that does not fit, and will be refused again
    codec.signing.sign(properties, body)


def _same_bytes_signed(given: Properties, given_body: bytes, properties: Properties, body: bytes) -> bool:
    try:
        return signed_bytes(given, given_body) == signed_bytes(properties, body)
    except ValueError:  # a header that cannot be signed at all
        return True


def _edited(properties: Properties, body: bytes, edit: Edit, codec: Codec) -> Request:
    found = codec.decode_unverified(properties, body)
    # Of a message that holds none, the arguments alone count here: its headers stay as they are.
    known = found if isinstance(found, Request) else Request(edit.task or "?", "?")
    return replace(
        known,
        args=known.args if edit.args is None else tuple(edit.args),
        kwargs=known.kwargs if edit.kwargs is None else dict(edit.kwargs),
    )
