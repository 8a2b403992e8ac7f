"""Properties and field tables, there and back, and against pika's own decoder and encoder."""

from __future__ import annotations

import math
import struct
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st
from pika import BasicProperties

from amqptasks.amqp.wire.content_header import DEEPEST, decode_properties
from amqptasks.amqp.wire.properties import EncodedProperties
from amqptasks.amqp.wire.tables import encode_properties, table
from amqptasks.messages.properties import Properties

SHORT = st.text(max_size=60)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=0)
)
DECIMALS = st.builds(
    lambda digits, scale: Decimal(digits).scaleb(-scale), st.integers(-(2**31), 2**31 - 1), st.integers(0, 9)
)
PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.text(max_size=300),
    st.binary(max_size=50),
    MOMENTS,
    DECIMALS,
)
NESTED = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SHORT, inner, max_size=4), max_leaves=12
)


def through_pika(headers: dict[str, Any]) -> Any:
    properties = BasicProperties()
    properties.decode(encode_properties(Properties(headers=headers)))
    return properties.headers


def ours(theirs: BasicProperties) -> Properties:
    return Properties(**{field.name: getattr(theirs, field.name) for field in fields(Properties)})


def there_and_back(headers: dict[str, Any]) -> Any:
    return decode_properties(encode_properties(Properties(headers=headers))).headers


@given(st.dictionaries(SHORT, NESTED, max_size=6))
def test_a_table_is_read_by_pika_and_by_us_as_it_was_written(headers: dict[str, Any]) -> None:
    assert through_pika(headers) == headers
    assert there_and_back(headers) == headers


@given(st.dictionaries(SHORT, st.floats(allow_nan=False, allow_infinity=False), max_size=3))
def test_a_fraction_keeps_its_fraction(headers: dict[str, float]) -> None:
    """pika's decoder makes 1 of 1.5."""
    assert there_and_back(headers) == headers


@given(
    st.builds(
        Properties,
        content_type=st.none() | SHORT,
        content_encoding=st.none() | SHORT,
        headers=st.none() | st.dictionaries(SHORT, PLAIN, max_size=3),
        delivery_mode=st.none() | st.integers(0, 255),
        priority=st.none() | st.integers(0, 255),
        correlation_id=st.none() | SHORT,
        reply_to=st.none() | SHORT,
        expiration=st.none() | SHORT,
        message_id=st.none() | SHORT,
        timestamp=st.none() | st.integers(0, 2**64 - 1),
        type=st.none() | SHORT,
        user_id=st.none() | SHORT,
        app_id=st.none() | SHORT,
    )
)
def test_all_thirteen_properties_come_back(properties: Properties) -> None:
    data = encode_properties(properties)
    assert decode_properties(data) == properties
    theirs = BasicProperties()
    theirs.decode(data)
    assert ours(theirs) == properties
    assert b"".join(EncodedProperties(properties).encode()) == data


@given(st.dictionaries(SHORT, NESTED, max_size=4), st.none() | SHORT)
def test_we_read_what_pika_writes(headers: dict[str, Any], correlation_id: str | None) -> None:
    theirs = BasicProperties(headers=headers, correlation_id=correlation_id, delivery_mode=2)
    found = decode_properties(b"".join(theirs.encode()))
    assert (found.headers, found.correlation_id, found.delivery_mode) == (headers, correlation_id, 2)


@pytest.mark.parametrize(
    ("octet", "code", "number"),
    [
        ("b", "b", -5),
        ("B", "B", 250),
        ("s", "h", -30000),
        ("U", "h", -30000),
        ("u", "H", 60000),
        ("I", "i", -(2**31)),
        ("i", "I", 2**32 - 1),
        ("l", "q", -(2**63)),
        ("L", "q", 2**63 - 1),
        ("f", "f", 0.5),
        ("d", "d", 2.25),
        ("t", "?", True),
    ],
)
def test_every_fixed_type_that_other_clients_send_is_read(octet: str, code: str, number: float) -> None:
    field = b"\x01n" + octet.encode() + struct.pack(f">{code}", number) + b"\x05afterI\0\0\0\x07"
    assert decode_properties(b"\x20\x00" + struct.pack(">I", len(field)) + field).headers == {"n": number, "after": 7}


def test_a_timestamp_in_milliseconds_is_a_number() -> None:
    """Clients that count so are many; pika's decoder raises, and the connection with it."""
    field = b"\x01nT" + struct.pack(">Q", 1_763_838_000_000)
    assert decode_properties(b"\x20\x00" + struct.pack(">I", len(field)) + field).headers == {"n": 1_763_838_000_000}


@pytest.mark.parametrize("octet", [b"A", b"F"])
def test_what_is_nested_too_deep_stays_bytes(octet: bytes) -> None:
    field = b""
    for _ in range(20_000):
        name = b"\x01n" if octet == b"F" and field else b""
        field = octet + struct.pack(">I", len(name + field)) + name + field
    field = b"\x01n" + field
    found: Any = decode_properties(b"\x20\x00" + struct.pack(">I", len(field)) + field).headers
    levels = 0
    while not isinstance(found, bytes):
        found = found["n"] if isinstance(found, dict) else found[0]
        levels += 1
    assert levels == DEEPEST + 1
    assert len(found) > 90_000


def test_bytes_that_are_no_utf_8_are_sent_on_as_they_came() -> None:
    field = b"\x02\xff\xfeS" + struct.pack(">I", 2) + b"\xc3\x28"
    data = b"\x24\x00" + struct.pack(">I", len(field)) + field + b"\x03\xe4bc"
    properties = decode_properties(data)
    assert properties.headers == {"\udcff\udcfe": b"\xc3\x28"}
    assert properties.correlation_id == "\udce4bc"
    again = encode_properties(properties)
    assert again.endswith(b"\x03\xe4bc")
    assert b"\x02\xff\xfe" in again


def test_bytes_that_are_no_content_header_are_named_so() -> None:
    with pytest.raises(ValueError, match="ends early"):
        decode_properties(b"\x20\x00\x00\x00\x00\x09\x01nI")
    with pytest.raises(ValueError, match="unknown type b'!'"):
        decode_properties(b"\x20\x00\x00\x00\x00\x03\x01n!")


def test_a_naive_moment_is_utc_and_another_zone_is_converted() -> None:
    naive = datetime(2026, 1, 2, 3, 4, 5)
    zoned = datetime(2026, 1, 2, 4, 4, 5, tzinfo=timezone(timedelta(hours=1)))
    assert through_pika({"a": naive, "b": zoned}) == {"a": naive.replace(tzinfo=UTC), "b": naive.replace(tzinfo=UTC)}


def test_subclasses_travel_as_what_they_are() -> None:
    class Text(str): ...

    class Number(int): ...

    assert through_pika({"t": Text("x"), "n": Number(5), "tuple": (1, "a"), "array": bytearray(b"b")}) == {
        "t": "x",
        "n": 5,
        "tuple": [1, "a"],
        "array": b"b",
    }


def test_a_short_string_may_have_255_bytes_and_no_more() -> None:
    assert decode_properties(encode_properties(Properties(reply_to="é" * 127))).reply_to == "é" * 127
    with pytest.raises(ValueError, match=r"has 256 bytes, the limit is 255"):
        encode_properties(Properties(reply_to="é" * 128))
    assert through_pika({"n" * 255: 1}) == {"n" * 255: 1}
    with pytest.raises(ValueError, match=r"header 'nnnnnnnnnnnnnnnnnnnn': .* has 256 bytes"):
        table({"n" * 256: 1})


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (object(), "header 'h': a object cannot travel in a header"),
        ({1, 2}, "header 'h': a set cannot travel in a header"),
        (2**63, "header 'h': 9223372036854775808 has more than 64 bits"),
        (-(2**63) - 1, "has more than 64 bits"),
        (math.nan, "header 'h': nan is no number that AMQP knows"),
        (-math.inf, "header 'h': -inf is no number that AMQP knows"),
        (Decimal("NaN"), "header 'h': NaN is no number that AMQP knows"),
        (Decimal(10) ** 12, "header 'h'"),
        (datetime(1969, 1, 1, tzinfo=UTC), "header 'h'"),
        ("\ud800", "header 'h'"),
        ({"inner": object()}, "header 'h': header 'inner': a object"),
        ([1, [object()]], "header 'h': a object"),
    ],
)
def test_what_cannot_travel_is_refused_with_the_name_of_its_header(bad: object, words: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words are what matters, below
        encode_properties(Properties(headers={"good": 1, "h": bad}))
    assert words in str(caught.value)


@pytest.mark.parametrize("number", [-1, 256])
@pytest.mark.parametrize("name", ["priority", "delivery_mode"])
def test_an_octet_out_of_range_is_refused_by_name(name: str, number: int) -> None:
    with pytest.raises(ValueError, match=f"{name} is {number}: it must be from 0 to 255"):
        encode_properties(Properties(**{name: number}))
