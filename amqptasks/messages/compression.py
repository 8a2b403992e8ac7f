"""Bodies made smaller, under Celery's names, and read back within a bound.

The header `compression` carries the content type of `kombu/compression.py`. kombu calls zlib's format gzip, other
producers mean gzip by it: we write what Celery can read, zlib's, and read both.
"""

from __future__ import annotations

import bz2
import difflib
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from amqptasks.errors import INTERRUPTIONS, ConfigurationError
from amqptasks.untrusted import bounds

#: zlib's window size for "zlib or gzip, see the header". https://docs.python.org/3/library/zlib.html#zlib.decompress
_DETECT_FORMAT = 32 + zlib.MAX_WBITS

#: Bytes. The largest message that any supported broker takes by default; more than that is a bomb, not a task.
LARGEST_BODY = bounds.LARGEST_BODY

#: Bytes. Smaller bodies are sent as they are: below this, compressing costs more time than the broker saves.
MIN_SIZE = 1024

#: Bytes that a decompressor may hold at once, whatever the message says it needs.
_MOST_MEMORY = LARGEST_BODY


class Unreadable(Exception):
    """The body cannot be decompressed; the message says why."""


@dataclass(frozen=True, slots=True)
class Compression:
    """`name` is for options, `content_type` travels, `aliases` are read too. `expand(body, largest)` gives at most
    `largest` bytes, raises `Unreadable` for more, and what it likes for bytes that are not its own."""

    name: str
    content_type: str
    aliases: tuple[str, ...]
    shrink: Callable[[bytes], bytes]
    expand: Callable[[bytes, int], bytes | bytearray]


def find(name: str) -> Compression:
    """By name, alias or content type. Raises `ConfigurationError` where there is none, or it is not installed."""
    found = _BY_NAME.get(name)
    if found is None:
        names = [kind.name for kind in _KINDS]
        close = difflib.get_close_matches(str(name), names, n=1)
        suggestion = f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(names)}"
        raise ConfigurationError(f"there is no compression {name!r}; {suggestion}")
    if found is _ZSTD and _zstandard() is None:
        raise ConfigurationError("compression 'zstd' needs zstandard: pip install 'amqptasks[zstd]'")
    return found


def decompress(name: object, body: bytes, largest: int | None = None) -> bytes | bytearray:
    """The body as it was before, at most `largest` bytes (default: `LARGEST_BODY`). Raises `Unreadable` only, and what
    interrupts a worker's task from outside."""
    found = _BY_NAME.get(name) if isinstance(name, str) else None
    if found is None:
        known = ", ".join(kind.name for kind in _KINDS)
        raise Unreadable(f"compression {ascii(name)[:80]} is not known here; send one of {known}")
    try:
        return found.expand(body, LARGEST_BODY if largest is None else largest)
    except (Unreadable, *INTERRUPTIONS):
        raise
    except Exception as error:  # each library has its own, and MemoryError
        raise Unreadable(f"the body is not {name}: {error}") from None


class _Decompressor(Protocol):
    """What the decompressors of the standard library have in common."""

    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


def _expand(make: Callable[[], _Decompressor]) -> Callable[[bytes, int], bytes | bytearray]:
    """Piece by piece: these libraries let other threads run while they expand, and not while they join what they
    have."""

    def expand(body: bytes, largest: int) -> bytes | bytearray:
        stream, plain = make(), bytearray()
        for start in range(0, len(body), _INPUT):
            rest = body[start : start + _INPUT]
            while True:
                part = stream.decompress(rest, bounds.PIECE)
                if len(plain) + len(part) > largest:
                    raise _too_large(largest)
                if stream.eof and not plain:
                    return part
                plain += part
                if stream.eof:
                    return plain
                rest = getattr(stream, "unconsumed_tail", b"")
                if not rest and len(part) < bounds.PIECE:
                    break  # it waits for more
        raise Unreadable("the body is cut off")

    return expand


def _too_large(largest: int) -> Unreadable:
    return Unreadable(f"the body has more than {largest} bytes")


def _zstandard() -> Any:
    try:
        import zstandard
    except ModuleNotFoundError:
        return None
    return zstandard


def _shrink_zstd(body: bytes) -> bytes:
    data: bytes = _zstandard().ZstdCompressor().compress(body)
    return data


def _expand_zstd(body: bytes, largest: int) -> bytes | bytearray:
    zstandard = _zstandard()
    if zstandard is None:
        raise Unreadable("compression zstd needs zstandard here: pip install 'amqptasks[zstd]'")
    size = zstandard.frame_content_size(body)
    if size > largest:
        raise _too_large(largest)
    if size >= 0:
        data: bytes = zstandard.ZstdDecompressor().decompress(body, max_output_size=largest)
        return data
    # A stream does not say how large it is: read one byte more than is allowed.
    stream = zstandard.ZstdDecompressor(max_window_size=_MOST_MEMORY).decompressobj()
    plain = bytearray()
    for start in range(0, len(body), _PIECE):
        plain += stream.decompress(body[start : start + _PIECE])
        if len(plain) > largest:
            raise _too_large(largest)
    if not stream.eof:
        raise Unreadable("the body is cut off")
    return plain


#: Bytes that are given to a decompressor at once. zlib copies what it has not read yet each time.
_INPUT = 65_536

#: Bytes of a stream that are expanded at once: zstandard makes at most 30,000 times as much of them, 30 MiB.
_PIECE = 1024

_ZSTD = Compression("zstd", "application/zstd", ("zstandard",), _shrink_zstd, _expand_zstd)

_KINDS = (
    Compression(
        "zlib",
        "application/x-gzip",
        ("gzip", "application/gzip", "application/zlib"),
        zlib.compress,
        _expand(lambda: zlib.decompressobj(_DETECT_FORMAT)),
    ),
    _ZSTD,
    Compression("bzip2", "application/x-bz2", ("bzip",), bz2.compress, _expand(bz2.BZ2Decompressor)),
    Compression(
        "lzma",
        "application/x-lzma",
        ("xz",),
        lzma.compress,
        _expand(lambda: lzma.LZMADecompressor(memlimit=_MOST_MEMORY)),
    ),
)

_BY_NAME = {name: kind for kind in _KINDS for name in (kind.name, kind.content_type, *kind.aliases)}


def is_known(name: str) -> bool:
    return name in _BY_NAME
