"""The bytes of a content header to message properties (AMQP 0-9-1, 4.2.6.1): the way back from `tables.py`.

Takes whatever the broker hands over. pika's own decoder raises at a timestamp in milliseconds (year 57,000) or at deep
nesting, and its connection breaks each time such a message is delivered, for ever; and it cuts 1.5 down to 1.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from amqptasks.messages.properties import Properties
from amqptasks.untrusted.field_table import Timestamp

#: Levels of tables and arrays that are decoded; what lies deeper stays bytes. Python's stack ends at some hundreds,
#: a frame has room for 26,000, and nobody reads more than three.
DEEPEST = 50

_LONG = struct.Struct(">I").unpack_from
_LONG_LONG = struct.Struct(">Q").unpack_from
_DECIMAL = struct.Struct(">Bi").unpack_from

#: Field types of fixed size, as RabbitMQ has them: https://www.rabbitmq.com/amqp-0-9-1-errata
_FIXED: dict[int, struct.Struct] = {
    ord(octet): struct.Struct(f">{code}")
    for octet, code in {
        "I": "i",
        "l": "q",
        "L": "q",
        "b": "b",
        "B": "B",
        "s": "h",
        "U": "h",
        "u": "H",
        "i": "I",
        "f": "f",
        "d": "d",
        "t": "?",
    }.items()
}

_STRING, _BYTES, _TABLE, _ARRAY, _TIMESTAMP, _NOTHING, _DECIMAL_OCTET = b"SxFATVD"

#: The properties behind the flags, from the highest bit down: the order in which they follow, and that of the fields of
#: `Properties`. Short strings where `_READERS` says nothing else. The last one is AMQP's reserved `cluster-id`.
_NAMES = (
    "content_type",
    "content_encoding",
    "headers",
    "delivery_mode",
    "priority",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "timestamp",
    "type",
    "user_id",
    "app_id",
    "cluster_id",
)


def decode_properties(data: bytes) -> Properties:
    """What `tables.encode_properties` made, or any other client. Raises `ValueError` for bytes that no broker sends."""
    found: list[Any] = [None] * len(_NAMES)
    offset = 2
    try:
        flags = data[0] << 8 | data[1]
        for position, reader in _PLANS.get(flags) or _plan(flags):
            found[position], offset = reader(data, offset)
    except (struct.error, IndexError) as error:
        raise ValueError(f"a content header ends early: {error}") from None
    return Properties(*found[:-1])


def table(data: bytes, offset: int, depth: int = 0) -> tuple[dict[str, Any], int]:
    """The field table at `offset`, and where it ends."""
    offset += 4
    end = offset + _LONG(data, offset - 4)[0]
    found: dict[str, Any] = {}
    while offset < end:
        name, offset = _short_string(data, offset)
        if data[offset] == _STRING:  # most fields are
            start = offset + 5
            offset = start + _LONG(data, offset + 1)[0]
            text = data[start:offset]
            try:
                found[name] = text.decode()
            except UnicodeDecodeError:
                found[name] = text
        else:
            found[name], offset = value(data, offset, depth)
    return found, end


def value(data: bytes, offset: int, depth: int = 0) -> tuple[Any, int]:
    """The field value at `offset`, its type octet in front, and where it ends."""
    kind = data[offset]
    offset += 1
    if kind == _STRING:
        start = offset + 4
        end = start + _LONG(data, offset)[0]
        text = data[start:end]
        try:
            return text.decode(), end
        except UnicodeDecodeError:
            return text, end
    fixed = _FIXED.get(kind)
    if fixed is not None:
        return fixed.unpack_from(data, offset)[0], offset + fixed.size
    if kind == _NOTHING:
        return None, offset
    if kind == _TIMESTAMP:
        return _moment(_LONG_LONG(data, offset)[0]), offset + 8
    if kind == _DECIMAL_OCTET:
        scale, digits = _DECIMAL(data, offset)
        return Decimal(digits).scaleb(-scale), offset + 5
    if kind in (_TABLE, _ARRAY) and depth < DEEPEST:
        return table(data, offset, depth + 1) if kind == _TABLE else _array(data, offset, depth + 1)
    if kind in (_BYTES, _TABLE, _ARRAY):
        end = offset + 4 + _LONG(data, offset)[0]
        return data[offset + 4 : end], end
    raise ValueError(f"a header has a field of the unknown type {bytes((kind,))!r}")


def _array(data: bytes, offset: int, depth: int) -> tuple[list[Any], int]:
    end = offset + 4 + _LONG(data, offset)[0]
    offset += 4
    found: list[Any] = []
    while offset < end:
        item, offset = value(data, offset, depth)
        found.append(item)
    return found, end


def _moment(seconds: int) -> datetime | int:
    """A number where no calendar reaches: clients that count milliseconds are many. It goes on as a number, which every
    client can read, unless it is too large for one: then it stays a timestamp."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return seconds if seconds < 2**63 else Timestamp(seconds)


def _short_string(data: bytes, offset: int) -> tuple[str, int]:
    """Bytes that are no UTF-8 become surrogates, which `tables.short_string` turns into the same bytes again."""
    start = offset + 1
    end = start + data[offset]
    text = data[start:end]
    try:
        return text.decode(), end
    except UnicodeDecodeError:
        return text.decode("utf-8", "surrogateescape"), end


def _octet(data: bytes, offset: int) -> tuple[int, int]:
    return data[offset], offset + 1


def _timestamp(data: bytes, offset: int) -> tuple[int, int]:
    return _LONG_LONG(data, offset)[0], offset + 8


_READERS: dict[str, Callable[[bytes, int], tuple[Any, int]]] = {
    "headers": table,
    "delivery_mode": _octet,
    "priority": _octet,
    "timestamp": _timestamp,
}

#: For each combination of flags seen so far, which properties follow and how each is read. Clients use a handful.
_PLANS: dict[int, tuple[tuple[int, Callable[[bytes, int], tuple[Any, int]]], ...]] = {}

#: Combinations that are kept: a client that tries them all must not fill the memory.
_KEPT_PLANS = 1000


def _plan(flags: int) -> tuple[tuple[int, Callable[[bytes, int], tuple[Any, int]]], ...]:
    plan = tuple(
        (position, _READERS.get(name, _short_string))
        for position, name in enumerate(_NAMES)
        if flags & 0x8000 >> position
    )
    if len(_PLANS) < _KEPT_PLANS:
        _PLANS[flags] = plan
    return plan
