"""Records as bytes: what was written is read, and whatever else is there is refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, strategies as st

from amqptasks.messages.properties import Properties
from amqptasks.results import record as records
from amqptasks.results.record import Record, UnreadableRecord, decode
from amqptasks.serializers import json
from tests.stores.conftest import record


@given(
    identity=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60),
    state=st.text("ABCXYZ_", min_size=1, max_size=20),
    body=st.binary(max_size=200),
    attempt=st.integers(0, 1_000_000),
    at=st.floats(0, 4e9),
    expires_at=st.none() | st.floats(0, 4e9),
)
def test_a_record_is_read_as_it_was_written(
    identity: str, state: str, body: bytes, attempt: int, at: float, expires_at: float | None
) -> None:
    made = Record(identity, state, body, Properties(correlation_id=identity), attempt, at, expires_at)
    assert decode(made.encode()) == made


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    with pytest.raises(UnreadableRecord):
        decode(data)


@given(data=st.data())
def test_a_record_with_changed_bytes_is_refused_or_read(data: st.DataObject) -> None:
    encoded = bytearray(record().encode())
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] = data.draw(st.integers(0, 255))
    try:
        found: object = decode(bytes(encoded))
    except UnreadableRecord as error:
        found = error
    assert isinstance(found, Record | UnreadableRecord)


def _with(**changed: object) -> bytes:
    """A record whose head has these values."""
    encoded = record().encode()
    start = len(records.MAGIC) + 5
    (length,) = struct.unpack_from("<I", encoded, start - 4)
    head = {**json.decode(encoded[start : start + length]), **changed}
    written = json.encode(head)
    return encoded[: start - 4] + struct.pack("<I", len(written)) + written + encoded[start + length :]


@pytest.mark.parametrize(
    "changed",
    [
        {"id": ""},
        {"id": None},
        {"id": "x" * 256},
        {"id": 5},
        {"state": "x" * 256},
        {"state": []},
        {"attempt": -1},
        {"attempt": 10**9},
        {"attempt": "1"},
        {"at": "now"},
        {"at": 1e300},
        {"expires_at": -1},
        {"expires_at": True},
        {"signature": "x" * 5000},
        {"compression": {}},
        {"content_type": 7},
        {"content_encoding": "x" * 300},
    ],
    ids=str,
)
def test_a_head_with_a_wrong_value_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(UnreadableRecord, match="head cannot be read"):
        decode(_with(**changed))


def test_a_record_of_a_newer_release_says_so() -> None:
    encoded = bytearray(record().encode())
    encoded[len(records.MAGIC)] = records.VERSION + 1
    with pytest.raises(UnreadableRecord, match="newer release"):
        decode(bytes(encoded))


def test_a_record_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records.bounds, "LARGEST_RESULT", 100)
    with pytest.raises(UnreadableRecord, match="at most"):
        decode(record(body=b"x" * 20_000).encode())


def test_the_first_version_is_read_for_ever() -> None:
    head = (
        b'{"id":"1","state":"SUCCESS","attempt":2,"at":5.0,"expires_at":6.5,"content_type":"application/json",'
        b'"content_encoding":"utf-8","compression":null,"signature":"v1:k:0"}'
    )
    kept = b"amqptasks-result\x01" + struct.pack("<I", len(head)) + head + b"{}"
    properties = Properties("application/json", "utf-8", {"x-amqptasks-signature": "v1:k:0"}, correlation_id="1")
    assert decode(kept) == Record("1", "SUCCESS", b"{}", properties, 2, 5.0, 6.5)
