"""Message properties to the bytes of a content header (AMQP 0-9-1, 4.2.6.1), field tables included (4.2.5.5).

pika's own encoder knows no floating-point numbers, which other clients send and we must be able to send on, and costs
three times as much. Table types are those that RabbitMQ reads: https://www.rabbitmq.com/amqp-0-9-1-errata
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from math import isfinite

from amqptasks.messages.properties import Properties
from amqptasks.untrusted.field_table import Timestamp

_SHORT = struct.Struct(">H").pack
_LONG = struct.Struct(">I").pack
_SIGNED_LONG = struct.Struct(">ci").pack
_SIGNED_LONG_LONG = struct.Struct(">cq").pack
_LONG_LONG = struct.Struct(">Q").pack
_DOUBLE = struct.Struct(">cd").pack
_DECIMAL = struct.Struct(">cBi").pack
_TIMESTAMP = struct.Struct(">cQ").pack

#: A short string's length is one octet (AMQP 0-9-1, 4.2.5.3).
SHORT_STRING = 255

#: Digits before the point, less one, that a number of 32 bits can have.
_DECIMAL_DIGITS = 9

# The property flags, one bit each from the highest down, in the order in which the properties follow.
_CONTENT_TYPE, _CONTENT_ENCODING, _HEADERS, _DELIVERY_MODE = 0x8000, 0x4000, 0x2000, 0x1000
_PRIORITY, _CORRELATION_ID, _REPLY_TO, _EXPIRATION = 0x0800, 0x0400, 0x0200, 0x0100
_MESSAGE_ID, _TIMESTAMP_FLAG, _TYPE, _USER_ID, _APP_ID = 0x0080, 0x0040, 0x0020, 0x0010, 0x0008


def encode_properties(properties: Properties) -> bytes:  # noqa: PLR0912 - a loop over thirteen would cost twice
    """Flags and values, as they follow the body size in a header frame. Raises `ValueError` for what AMQP cannot
    carry, with the name of the header."""
    flags = 0
    pieces: list[bytes] = [b""]
    if properties.content_type is not None:
        flags |= _CONTENT_TYPE
        pieces.append(_repeated(properties.content_type))
    if properties.content_encoding is not None:
        flags |= _CONTENT_ENCODING
        pieces.append(_repeated(properties.content_encoding))
    if properties.headers is not None:
        flags |= _HEADERS
        pieces.append(table(properties.headers))
    if properties.delivery_mode is not None:
        flags |= _DELIVERY_MODE
        pieces.append(_octet("delivery_mode", properties.delivery_mode))
    if properties.priority is not None:
        flags |= _PRIORITY
        pieces.append(_octet("priority", properties.priority))
    if properties.correlation_id is not None:
        flags |= _CORRELATION_ID
        pieces.append(short_string(properties.correlation_id))
    if properties.reply_to is not None:
        flags |= _REPLY_TO
        pieces.append(short_string(properties.reply_to))
    if properties.expiration is not None:
        flags |= _EXPIRATION
        pieces.append(short_string(properties.expiration))
    if properties.message_id is not None:
        flags |= _MESSAGE_ID
        pieces.append(short_string(properties.message_id))
    if properties.timestamp is not None:
        flags |= _TIMESTAMP_FLAG
        pieces.append(_moment(properties.timestamp))
    if properties.type is not None:
        flags |= _TYPE
        pieces.append(short_string(properties.type))
    if properties.user_id is not None:
        flags |= _USER_ID
        pieces.append(short_string(properties.user_id))
    if properties.app_id is not None:
        flags |= _APP_ID
        pieces.append(short_string(properties.app_id))
    pieces[0] = _SHORT(flags)
    return b"".join(pieces)


def short_string(text: str | bytes) -> bytes:
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    if len(data) > SHORT_STRING:
        raise ValueError(f"{data[:20]!r}... has {len(data)} bytes, the limit is {SHORT_STRING}")
    return bytes((len(data),)) + data


#: Content types and the names of headers: few, and the same with every message. Bounded, for names can be made up.
_repeated = lru_cache(1000)(short_string)


def table(fields: Mapping[str, object]) -> bytes:
    """A field table with its size in front. Raises `ValueError` naming the field."""
    pieces: list[bytes] = []
    for name, field in fields.items():
        try:
            pieces.append(_repeated(name))
            if type(field) is str:  # most fields are
                text = field.encode()
                pieces.append(b"S" + _LONG(len(text)))
                pieces.append(text)
            else:
                pieces.append(value(field))
        except (ValueError, struct.error, OverflowError) as error:
            raise ValueError(f"header {name[:20]!r}: {error}") from None
    data = b"".join(pieces)
    return _LONG(len(data)) + data


def value(given: object) -> bytes:  # noqa: PLR0912 - one case a type
    """A field value with its type octet in front."""
    kind = type(given)
    if kind is str:
        data = str(given).encode()
        return b"S" + _LONG(len(data)) + data
    if kind is int:
        return _integer(given)  # type: ignore[arg-type]
    if given is None:
        return b"V"
    if kind is bool:
        return b"t\x01" if given else b"t\x00"
    match given:
        case Enum():
            return value(given.value)
        case float():
            return _double(given)
        case str():
            return value(str.__str__(given))
        case Timestamp():
            return _TIMESTAMP(b"T", given)
        case int():
            return _integer(int(given))
        case bytes() | bytearray():
            return b"x" + _LONG(len(given)) + bytes(given)
        case datetime():
            moment = given if given.tzinfo is not None else given.replace(tzinfo=UTC)
            return _TIMESTAMP(b"T", int(moment.timestamp()))
        case Decimal():
            return _decimal(given)
        case Mapping():
            return b"F" + table({str(name): field for name, field in given.items()})
        case Sequence():
            data = b"".join(value(item) for item in given)
            return b"A" + _LONG(len(data)) + data
    raise ValueError(f"a {kind.__name__} cannot travel in a header")


def _integer(given: int) -> bytes:
    if -(2**31) <= given < 2**31:
        return _SIGNED_LONG(b"I", given)
    if -(2**63) <= given < 2**63:
        return _SIGNED_LONG_LONG(b"l", given)
    raise ValueError(f"{given} has more than 64 bits")


def _double(given: float) -> bytes:
    if not isfinite(given):  # RabbitMQ has no such number, and closes the connection (541)
        raise ValueError(f"{given} is no number that AMQP knows")
    return _DOUBLE(b"d", given)


def _decimal(given: Decimal) -> bytes:
    exponent = given.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"{given} is no number that AMQP knows")  # noqa: TRY004 - its type is right
    scale = max(0, -exponent)
    if given.adjusted() > _DECIMAL_DIGITS:  # before it becomes a whole number of a million digits
        raise ValueError(f"{given} has more digits than AMQP's decimals")
    return _DECIMAL(b"D", scale, int(given.scaleb(scale)))


def _moment(given: int) -> bytes:
    if not 0 <= given < 2**64:
        raise ValueError(f"timestamp is {given}: it must be from 0 to 2^64 - 1")
    return _LONG_LONG(int(given))


def _octet(name: str, given: int) -> bytes:
    if not 0 <= given <= SHORT_STRING:
        raise ValueError(f"{name} is {given}: it must be from 0 to 255")
    return bytes((given,))
