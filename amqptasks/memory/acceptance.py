"""What RabbitMQ, or the wire to it, refuses of a message before looking where it goes, and makes of the rest.

On the wire a header is a field of a table (AMQP 0-9-1, 4.2.5.5), so a tuple arrives as a list, a time in whole seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from amqptasks.errors import MessageTooLarge, PublishRejected
from amqptasks.memory.messages import Message
from amqptasks.outgoing import Outgoing
from amqptasks.properties import REPLY_TO, Headers, Properties

#: Bytes of AMQP's short string: a routing key, the name of a header, most properties.
SHORT_STRING = 255

_SHORT_STRINGS = (
    "content_type",
    "content_encoding",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "type",
    "user_id",
    "app_id",
)


def accepted(outgoing: Outgoing, replies: str | None, limit: int) -> Message:
    """The message as the broker keeps it: nothing in it is the publisher's own object. `replies` is the publisher's
    address for direct replies, where it has one, `limit` the most bytes of a body.

    Raises `MessageTooLarge` or `PublishRejected`.
    """
    properties = outgoing.properties
    identity = properties.correlation_id
    size = len(outgoing.body)
    if size > limit:
        raise MessageTooLarge(f"the body has {size} bytes, this broker takes {limit}", identity)
    try:
        _short("the routing key", outgoing.routing_key)
        kept = _carried(properties)
    except ValueError as error:
        raise PublishRejected(f"the message cannot be encoded: {error}", identity) from None
    if kept.expiration is not None and not kept.expiration.isdecimal():
        raise PublishRejected(f"406 PRECONDITION_FAILED - invalid expiration '{kept.expiration}'", identity)
    if kept.reply_to == REPLY_TO:
        if replies is None:
            raise PublishRejected("406 PRECONDITION_FAILED - fast reply consumer does not exist", identity)
        kept.reply_to = replies
    return Message(outgoing.exchange, outgoing.routing_key, outgoing.body, kept)


def _carried(properties: Properties) -> Properties:
    for name in _SHORT_STRINGS:
        text = getattr(properties, name)
        if text is not None:
            _short(name, text)
    if properties.priority is not None and not 0 <= properties.priority <= 255:
        raise ValueError(f"priority is {properties.priority}: it must be from 0 to 255")
    return replace(properties, headers=None if properties.headers is None else _table(properties.headers))


def _short(name: str, text: str) -> None:
    if len(text) * 4 > SHORT_STRING and len(text.encode()) > SHORT_STRING:
        raise ValueError(f"{name} {text[:20]!r}... has more than {SHORT_STRING} bytes")


def _table(fields: Mapping[str, object]) -> Headers:
    table: Headers = {}
    for name, value in fields.items():
        key = str(name)
        _short("the name of header", key)
        kind = type(value)
        # Texts, truths and None are most of all headers, and need no look.
        table[key] = value if kind is str or kind is bool or value is None else _field(key, value)
    return table


def _field(name: str, value: object) -> object:
    match value:
        case None | bool() | bytes() | float() | Decimal():
            return value
        case str():
            return str(value)
        case int():
            if not -(2**63) <= value < 2**63:
                raise ValueError(f"header {name!r}: {value} has more than 64 bits")
            return int(value)
        case bytearray():
            return bytes(value)
        case datetime():
            moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
            return moment.astimezone(UTC).replace(microsecond=0)
        case Mapping():
            return _table(value)
        case Sequence():
            return [_field(name, item) for item in value]
    raise ValueError(f"header {name!r}: a {type(value).__name__} cannot travel in a header")
