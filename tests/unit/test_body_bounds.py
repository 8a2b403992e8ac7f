"""Bodies that hold too many values are refused before they take the memory."""

from __future__ import annotations

import itertools
import threading
import time
import tracemalloc

import msgpack
import pytest

from amqptasks.messages.body import Reader
from amqptasks.messages.properties import Properties
from amqptasks.serializers import Serializer, Undecodable, json, msgpack as packed, yaml as written
from amqptasks.untrusted import bounds
from amqptasks.untrusted.bounds import OutOfBounds

MANY = bounds.MOST_VALUES + 10


@pytest.mark.parametrize(
    "body",
    [b"[" + b"[]," * MANY + b"[]]", b"[" + b"1," * MANY + b"1]", b"{" + b'"":0,' * MANY + b'"":0}', b"[" * MANY],
    ids=["lists", "numbers", "keys", "depth"],
)
def test_json_with_too_many_values_is_refused_in_little_memory(body: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Undecodable, match="more than"):
            json.decode(body)
        assert tracemalloc.get_traced_memory()[1] < 3 * len(body) + 10_000_000
    finally:
        tracemalloc.stop()


def test_json_with_one_long_text_full_of_commas_is_read() -> None:
    assert json.decode(b'["' + b"[," * MANY + b'"]')[0][:2] == "[,"


def test_a_text_full_of_commas_is_looked_at_in_little_memory() -> None:
    body = b'["' + b"," * (2 * MANY) + b'"]'
    tracemalloc.start()
    try:
        bounds.json_values(body)
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "value", [[[]] * MANY, [0] * MANY, dict.fromkeys(range(MANY)), [[[]] * 1000] * (MANY // 1000 + 1)]
)  # fmt: skip
def test_msgpack_with_too_many_values_is_refused(value: object) -> None:
    with pytest.raises(Undecodable):
        packed.SERIALIZER.decode(msgpack.packb(value))


def test_msgpack_with_one_long_text_is_read() -> None:
    assert len(packed.SERIALIZER.decode(msgpack.packb(["x" * MANY]))[0]) == MANY


def test_yaml_with_too_many_values_ends_at_the_first_too_many() -> None:
    body = b"[" + b"[]," * (3 * bounds.MOST_YAML_VALUES) + b"[]]"
    began = time.monotonic()
    with pytest.raises(Undecodable, match="more than"):
        written.SERIALIZER.decode(body)
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("at", [0, bounds.PIECE - 25, bounds.PIECE - 10, bounds.PIECE - 1, bounds.PIECE + 5])
def test_a_large_body_is_looked_at_in_pieces_and_means_the_same(at: int) -> None:
    """A number of more digits than a float has stands across two pieces, or beside them."""
    number = 12345678901234567890123
    text = b'["' + b"a" * at + b'",' + str(number).encode() + b',"' + b"b" * bounds.PIECE + b'"]'
    assert json.decode(text)[1] == number
    assert sum(map(len, bounds.pieces(text))) == len(text)
    many = b"[" + b"1," * bounds.MOST_VALUES + b"1]"
    with pytest.raises(OutOfBounds, match="values"):
        bounds.json_values(many)


def test_large_bodies_are_read_one_after_the_other_with_pauses() -> None:
    reading: list[tuple[float, float]] = []

    def decode(body: bytes) -> object:
        began = time.monotonic()
        if len(body) >= bounds.LARGE_BODY:
            time.sleep(0.05)
            reading.append((began, time.monotonic()))
        return None

    accept = {"slow": Serializer("slow", lambda _value: b"", decode, "slow")}
    large, small = bytes(bounds.LARGE_BODY), bytes(10)

    def read(body: bytes) -> None:
        Reader(accept).read(Properties("slow"), body)

    threads = [threading.Thread(target=read, args=(large,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    read(small)
    for thread in threads:
        thread.join()
    gaps = [after[0] - before[1] for before, after in itertools.pairwise(sorted(reading))]
    assert len(gaps) == 3
    assert min(gaps) >= 0.04
