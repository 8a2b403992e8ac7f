"""A dead letter as a new message. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from amqptasks.dead_letters.dead_letter import DeadLetter
from amqptasks.dead_letters.home import Home, is_lost
from amqptasks.errors import ConfigurationError
from amqptasks.messages.codec import PLAIN, Codec
from amqptasks.messages.headers import Wrong
from amqptasks.messages.ids import task_id
from amqptasks.messages.middleware import NO_MIDDLEWARE, Middlewares
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.own_headers import SIGNATURE, carried
from amqptasks.messages.properties import PERSISTENT, REPLY_TO, Headers, Properties
from amqptasks.messages.request import Request
from amqptasks.messages.signing import signed_bytes
from amqptasks.runtime.clock import broker_time

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


def to_replay(
    letter: DeadLetter,
    to: Home,
    edit: Edit = AS_IT_WAS,
    codec: Codec = PLAIN,
    middleware: Middlewares = NO_MIDDLEWARE,
) -> Outgoing:
    """The message for `to`. Raises `ConfigurationError` naming the argument of `edit` that JSON cannot carry.

    Same id, same arguments, the headers of whoever published it, and nothing of what happened since; a delayed message
    that lost its target goes on as it was. An `expires` that is over is left out: it would die of it again. A signature
    that does not fit any more is made anew, where the old one was right; raises `ConfigurationError` where `codec` has
    no keys to do so. `middleware` may add headers, and what it raises is raised.
    """
    given = letter.delivery.properties
    headers = _kept(letter)
    expires = letter.content.expires if isinstance(letter.content, Request) else None
    if expires is not None and expires <= broker_time.utcnow():
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
    if middleware.publishes and isinstance(letter.content, Request):
        headers.update(middleware.added(replace(letter.content, retries=0)))
    _sign(letter, properties, body, codec)
    return Outgoing(to.exchange, to.routing_key, body, properties)


def _kept(letter: DeadLetter) -> Headers:
    """Its headers. What has not died keeps its retries and its claim (`unique=`), which only its begin releases."""
    headers = letter.delivery.properties.headers or {}
    if is_lost(letter.delivery):
        return carried(headers, "back")
    return {name: value for name, value in carried(headers, "replay").items() if name not in _OF_THE_OLD_LIFE}


def _sign(letter: DeadLetter, properties: Properties, body: bytes, codec: Codec) -> None:
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
