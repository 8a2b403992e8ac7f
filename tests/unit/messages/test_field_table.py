"""Whether a header can be written, and how large it is, is answered as the encoder of AMQP does it."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from amqptasks.amqp.wire.content_header import decode_properties
from amqptasks.amqp.wire.tables import encode_properties, table
from amqptasks.messages.properties import Properties
from amqptasks.untrusted.field_table import Timestamp, field_size, size


class Colour(str, enum.Enum):  # noqa: UP042 - the older way, whose `str()` is another text
    RED = "red"


class Size(enum.Enum):
    BIG = "big"
    HUGE = 2**64


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**31),
        2**31,
        2**63 - 1,
        1.5,
        "",
        "plain",
        "é\U0001f600",
        b"\xff\x00",
        bytearray(b"ab"),
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(1970, 1, 1),
        Timestamp(2**64 - 1),
        Decimal("1.25"),
        Decimal(2**31 - 1),
        [1, "two", [3.0, None]],
        (1, 2),
        {"a": {"b": [1]}},
        {1: 2},
        Colour.RED,
        Size.BIG,
        [Size.BIG],
    ],
)
def test_the_size_of_a_header_is_what_the_encoder_writes(value: Any) -> None:
    assert size({"a header": value, "b": 1}) == len(table({"a header": value, "b": 1}))


@pytest.mark.parametrize(
    "value",
    [
        2**63,
        -(2**63) - 1,
        float("nan"),
        float("-inf"),
        "half \ud800 a pair",
        {1, 2},
        UUID(int=1),
        date(2026, 1, 1),
        datetime(1969, 1, 1, tzinfo=UTC),
        Decimal("NaN"),
        Decimal("1e30"),
        Decimal("1e1000000"),
        Decimal("1e-300"),
        Timestamp(2**64),
        [1, [float("inf")]],
        {"x" * 300: 1},
        {"a": object()},
        Size.HUGE,
    ],
)
def test_a_header_that_the_encoder_refuses_has_no_size(value: Any) -> None:
    with pytest.raises(ValueError, match="header 'mine'"):
        field_size("mine", value)
    with pytest.raises(ValueError, match="header 'mine'"):
        table({"mine": value})


@pytest.mark.parametrize("name", ["x" * 256, "é" * 128, 5, None, "half \ud800"])
def test_a_name_of_a_header_that_cannot_be_written_has_no_size(name: Any) -> None:
    with pytest.raises(ValueError, match="header"):
        field_size(name, 1)
    with pytest.raises((ValueError, TypeError, AttributeError)):
        table({name: 1})


def test_a_header_that_contains_itself_has_no_size() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="nested too deeply"):
        field_size("mine", endless)


def test_a_timestamp_larger_than_any_number_goes_on_as_the_same_bytes() -> None:
    sent = encode_properties(Properties(headers={"odd": Timestamp(2**64 - 1), "list": [Timestamp(2**63)]}))
    received = decode_properties(sent)
    assert received.headers == {"odd": 2**64 - 1, "list": [2**63]}
    assert encode_properties(received) == sent


def test_a_timestamp_beyond_every_calendar_goes_on_as_a_number() -> None:
    received = decode_properties(encode_properties(Properties(headers={"late": Timestamp(10**15)})))
    assert encode_properties(received) == encode_properties(Properties(headers={"late": 10**15}))


def test_a_header_with_a_text_enum_carries_its_value() -> None:
    received = decode_properties(encode_properties(Properties(headers={"colour": Colour.RED, "size": Size.BIG})))
    assert received.headers == {"colour": "red", "size": "big"}
