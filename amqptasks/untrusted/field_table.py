"""Which values a header can hold, and how many bytes they take in AMQP's field table (0-9-1, 4.2.5.5).

A transport writes the bytes (`amqp/wire/tables.py`). This module answers before that whether it can, so that a message
is made of headers which can be written. A test holds both to the same answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from math import isfinite

#: Bytes of the name of a field: a short string (AMQP 0-9-1, 4.2.5.3).
SHORT_STRING = 255

#: Bytes of all headers of a message, at most. A header frame has 128 KiB with RabbitMQ's default `frame_max`, and the
#: other properties, each a short string, take up to 3 KiB of it.
LARGEST_HEADERS = 128 * 1024 - 4096

#: Bytes before the value of a text, a table, an array: its type, and its length.
_PREFIX = 5

#: Bytes of a number of 32 bits, and of 64, with its type in front.
_LONG, _LONG_LONG = 5, 9

#: Digits before the point, less one, that a number of 32 bits can have.
_DECIMAL_DIGITS = 9


class Timestamp(int):
    """Seconds since 1970 in a header, beyond what a whole number of AMQP can hold. It goes on as the timestamp that it
    was."""


def size(fields: Mapping[str, object]) -> int:
    """Bytes of a table with these fields, its length in front. Raises `ValueError` that names the field which cannot be
    written."""
    return 4 + sum(field_size(name, value) for name, value in fields.items())


def field_size(name: object, value: object) -> int:
    """Bytes of one field. Raises `ValueError` for what cannot be written."""
    if not isinstance(name, str):
        raise ValueError(f"header {name!r}: a name is a text, not a {type(name).__name__}")  # noqa: TRY004
    try:
        return _name_size(name) + _value_size(value)
    except RecursionError:
        raise ValueError(f"header {name[:20]!r}: it is nested too deeply") from None
    except (ValueError, ArithmeticError) as error:
        raise ValueError(f"header {name[:20]!r}: {error}") from None


def _name_size(name: str) -> int:
    length = len(name.encode("utf-8", "surrogateescape"))
    if length > SHORT_STRING:
        raise ValueError(f"its name has {length} bytes, the limit is {SHORT_STRING}")
    return 1 + length


def _value_size(value: object) -> int:  # noqa: PLR0912 - one case a type
    match value:
        case Enum():
            return _value_size(value.value)
        case None:
            return 1
        case bool():
            return 2
        case str():
            return _PREFIX + (len(value) if value.isascii() else len(value.encode()))
        case Timestamp():
            if not 0 <= value < 2**64:
                raise ValueError(f"{value} is no time since 1970")
            return _LONG_LONG
        case int():
            return _integer_size(value)
        case float():
            if not isfinite(value):
                raise ValueError(f"{value} is no number that AMQP knows")
            return _LONG_LONG
        case bytes() | bytearray():
            return _PREFIX + len(value)
        case datetime():
            moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
            if moment.timestamp() <= -1:
                raise ValueError(f"{value} is before 1970, where AMQP's time begins")
            return _LONG_LONG
        case Decimal():
            return _decimal_size(value)
        case Mapping():
            return 1 + size({str(name): field for name, field in value.items()})
        case Sequence():
            return _PREFIX + sum(_value_size(item) for item in value)
    raise ValueError(f"a {type(value).__name__} cannot travel in a header")


def _integer_size(value: int) -> int:
    if -(2**31) <= value < 2**31:
        return _LONG
    if -(2**63) <= value < 2**63:
        return _LONG_LONG
    raise ValueError("a whole number has more than 64 bits")


def _decimal_size(value: Decimal) -> int:
    """An octet for the scale, and a number of 32 bits."""
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"{value} is no number that AMQP knows")  # noqa: TRY004 - its type is right
    scale = max(0, -exponent)
    if scale > SHORT_STRING or value.adjusted() > _DECIMAL_DIGITS or not -(2**31) <= int(value.scaleb(scale)) < 2**31:
        raise ValueError(f"{value} has more digits than AMQP's decimals")
    return 6
