"""Compression under Celery's names, and bounds on what comes out."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import random
import zlib

import pytest
import zstandard
from hypothesis import given, settings, strategies as st
from kombu import compression as kombu_compression

from amqptasks.messages import compression
from amqptasks.messages.codec import Codec
from amqptasks.messages.compression import Unreadable
from amqptasks.messages.properties import Properties
from amqptasks.messages.protocol import Malformed
from amqptasks.messages.request import Request
from amqptasks.untrusted import bounds

NAMES = ("zlib", "zstd", "bzip2", "lzma")
LONG = ("text " * 2000,)


@pytest.mark.parametrize("name", [*NAMES, "gzip"])
def test_a_large_body_travels_compressed_and_arrives_whole(name: str) -> None:
    body, properties = Codec(compression=name).encode(Request("t", "1", LONG))
    assert len(body) < 1000
    assert Codec().decode(properties, body).args == LONG


@pytest.mark.parametrize("name", ["zlib", "gzip", "bzip2", "lzma"])
def test_celery_reads_it(name: str) -> None:
    body, properties = Codec(compression=name).encode(Request("t", "1", LONG))
    assert kombu_compression.decompress(body, properties.headers["compression"]).startswith(b'[["text ')
    assert kombu_compression.get_encoder(name)[1] == properties.headers["compression"]


def test_zstd_has_celerys_content_type_and_format() -> None:
    body, properties = Codec(compression="zstd").encode(Request("t", "1", LONG))
    assert properties.headers["compression"] == "application/zstd"
    assert zstandard.ZstdDecompressor().decompress(body).startswith(b'[["text ')


def test_a_small_body_and_one_that_does_not_shrink_stay_as_they_are() -> None:
    _, properties = Codec(compression="zlib").encode(Request("t", "1", ("short",)))
    assert "compression" not in properties.headers
    _, properties = Codec(compression="zlib", compression_min_size=0).encode(Request("t", "1", ("x",)))
    assert "compression" in properties.headers
    body, properties = Codec(compression="lzma", compression_min_size=0).encode(Request("t", "1", ("x",)))
    assert "compression" not in properties.headers
    assert Codec().decode(properties, body).args == ("x",)


def test_a_call_may_choose_for_itself() -> None:
    _, properties = Codec().encode(Request("t", "1", LONG), compression="zstd")
    assert properties.headers["compression"] == "application/zstd"


def properties(name: str) -> Properties:
    return Properties(content_type="application/json", headers={"task": "t", "id": "1", "compression": name})


BOMB = b" " * 3_000_000


@pytest.mark.parametrize(
    ("name", "body"),
    [("zlib", zlib.compress(BOMB)), ("gzip", gzip.compress(BOMB)), ("bzip2", bz2.compress(BOMB)),
     ("lzma", lzma.compress(BOMB)), ("zstd", zstandard.compress(BOMB)), ("application/x-bz2", bz2.compress(BOMB))],
)  # fmt: skip
def test_a_bomb_is_refused_and_its_neighbour_at_the_bound_is_not(name: str, body: bytes) -> None:
    with pytest.raises(Unreadable, match=r"more than 2999999 bytes"):
        compression.decompress(name, body, len(BOMB) - 1)
    assert compression.decompress(name, body, len(BOMB)) == BOMB


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [0, 1, 9_999, 10_000, 10_001, 20_005])
def test_a_body_is_the_same_whatever_piece_it_ends_in(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "PIECE", 10_000)
    plain = random.Random(size).randbytes(size // 2) + bytes(size - size // 2)
    assert compression.decompress(name, compression.find(name).shrink(plain), size) == plain


def test_a_body_is_expanded_in_pieces_so_that_other_threads_run_meanwhile() -> None:
    made: list[int] = []

    class Told:
        """Writes down what each call made."""

        def __init__(self) -> None:
            self._real = bz2.BZ2Decompressor()

        @property
        def eof(self) -> bool:
            return self._real.eof

        def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
            part = self._real.decompress(data, max_length)
            made.append(len(part))
            return part

    assert compression._expand(Told)(bz2.compress(BOMB), len(BOMB)) == BOMB
    assert max(made) <= bounds.PIECE
    assert sum(made) == len(BOMB)


def test_a_zstd_stream_that_does_not_say_its_size_is_bounded_too() -> None:
    written = io.BytesIO()
    with zstandard.ZstdCompressor().stream_writer(written, closefd=False) as stream:
        stream.write(BOMB)
    body = written.getvalue()
    assert zstandard.frame_content_size(body) == -1
    assert compression.decompress("zstd", body, len(BOMB)) == BOMB
    with pytest.raises(Unreadable, match="more than"):
        compression.decompress("zstd", body, 1_000_000)
    with pytest.raises(Unreadable, match="cut off"):
        compression.decompress("zstd", body[:-3], len(BOMB))


def test_the_bound_is_the_apps() -> None:
    body, properties = Codec(compression="zlib").encode(Request("t", "1", LONG))
    refused = Codec(largest_body=5000).decode(properties, body)
    assert refused == Malformed("compression", "the body has more than 5000 bytes")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_cut_off_or_changed_is_malformed(name: str) -> None:
    body = compression.find(name).shrink(BOMB[:1000])
    for wrong in (body[:-2], body[: len(body) // 2], b"", b"noise", b"\x00" + body):
        with pytest.raises(Unreadable):
            compression.decompress(name, wrong)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=100, deadline=None)
@given(noise=st.binary(max_size=100), place=st.integers(0, 100), value=st.integers(0, 255))
def test_noise_never_raises_past_the_door(name: str, noise: bytes, place: int, value: int) -> None:
    changed = bytearray(compression.find(name).shrink(noise))
    changed[place % len(changed)] = value
    for body in (noise, bytes(changed)):
        assert isinstance(Codec().decode(properties(name), body), Malformed | Request)
        with contextlib.suppress(Unreadable):
            assert len(compression.decompress(name, body, 1000)) <= 1000
