"""What RabbitMQ, or the wire to it, refuses of a message before looking where it goes, and makes of the rest.

On the wire a header is a field of a table (AMQP 0-9-1, 4.2.5.5), so a tuple arrives as a list, a time in whole seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum

from amqptasks.errors import MessageTooLarge, PublishRejected
from amqptasks.memory.messages import Message
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import REPLY_TO, Headers, Properties
from amqptasks.untrusted.field_table import Timestamp, field_size

#: Bytes of AMQP's short string: a routing key, the name of a header, most properties.
SHORT_STRING = 255

#: Bytes of the properties of a message: what a frame of RabbitMQ's default `frame_max` (128 KiB) has for them, beside
#: its own 8 bytes and the 12 of the header frame.
LARGEST_PROPERTIES = 128 * 1024 - 8 - 12

#: Bytes before the fields of a table, and before a text in it: its length; its type and its length.
LENGTH, TEXT = 4, 5

#: Bytes of the flags of the properties, and of those that are numbers: delivery mode, priority, timestamp.
_FLAGS, _OCTETS = 2, 10

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


class TooLarge(ValueError):
    """The properties do not fit into a frame."""


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
    except TooLarge as error:
        raise MessageTooLarge(f"the headers are too large: {error}", identity) from None
    except (ValueError, TypeError, AttributeError) as error:
        raise PublishRejected(f"the message cannot be encoded: {error}", identity) from None
    for name in ("CC", "BCC"):
        if kept.headers and name in kept.headers and not isinstance(kept.headers[name], list):
            raise PublishRejected(f"406 PRECONDITION_FAILED - header '{name}' is no array of routing keys", identity)
    if kept.expiration is not None and not kept.expiration.isdecimal():
        raise PublishRejected(f"406 PRECONDITION_FAILED - invalid expiration '{kept.expiration}'", identity)
    if kept.reply_to == REPLY_TO:
        if replies is None:
            raise PublishRejected("406 PRECONDITION_FAILED - fast reply consumer does not exist", identity)
        kept.reply_to = replies
    return Message(outgoing.exchange, outgoing.routing_key, outgoing.body, kept)


def _carried(properties: Properties) -> Properties:
    size = _FLAGS + _OCTETS
    for name in _SHORT_STRINGS:
        text = getattr(properties, name)
        if text is not None:
            size += _short(name, text)
    if properties.priority is not None and not 0 <= properties.priority <= 255:
        raise ValueError(f"priority is {properties.priority}: it must be from 0 to 255")
    if properties.headers is None:
        return replace(properties)
    headers, size_of_headers = _table(properties.headers)
    size += size_of_headers
    if size > LARGEST_PROPERTIES:
        raise TooLarge(f"{size} bytes of headers, the limit is {LARGEST_PROPERTIES}")
    return replace(properties, headers=headers)


def _short(name: str, text: str) -> int:
    """Bytes of a short string."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))
    if size > SHORT_STRING:
        raise ValueError(f"{name} {text[:20]!r}... has more than {SHORT_STRING} bytes")
    return 1 + size


def _table(fields: Mapping[str, object]) -> tuple[Headers, int]:
    """The fields as they arrive, and their bytes. One look at each: this runs on the link's thread."""
    table: Headers = {}
    size = LENGTH
    for name, value in fields.items():
        # ASCII texts, truths and None are most of all headers, and need no look.
        if type(value) is str and value.isascii():
            size += _short("the name of header", name) + TEXT + len(value)
            table[name] = value
        elif type(value) is bool or value is None:
            size += _short("the name of header", name) + (1 if value is None else 2)
            table[name] = value
        else:
            size += field_size(name, value)  # raises for what cannot be written
            table[name] = value if type(value) is int else _arrived(value)
    return table, size


def _arrived(value: object) -> object:
    """As the receiver reads it."""
    match value:
        case Enum():
            return _arrived(value.value)
        case str():
            return str.__str__(value)
        case None | bool() | bytes() | float() | Decimal() | Timestamp():
            return value
        case int():
            return int(value)
        case bytearray():
            return bytes(value)
        case datetime():
            moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
            return moment.astimezone(UTC).replace(microsecond=0)
        case Mapping():
            return {str(name): _arrived(field) for name, field in value.items()}
        case Sequence():
            return [_arrived(item) for item in value]
    raise ValueError(f"a {type(value).__name__} cannot travel in a header")
