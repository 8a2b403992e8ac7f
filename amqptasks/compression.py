"""Undo the compression of a body, named by the header `compression` as kombu writes it."""

from __future__ import annotations

import zlib

#: kombu calls zlib's format gzip (`kombu/compression.py`); other producers mean gzip by it. zlib tells them apart.
_ZLIB_OR_GZIP = frozenset({"application/x-gzip", "application/gzip", "application/zlib", "gzip", "zlib"})

#: zlib's window size for "zlib or gzip, see the header". https://docs.python.org/3/library/zlib.html#zlib.decompress
_DETECT_FORMAT = 32 + zlib.MAX_WBITS

#: Bytes. The largest message that any supported broker takes by default; more than that is a bomb, not a task.
LARGEST_BODY = 128 * 1024 * 1024


class Unreadable(Exception):
    """The body cannot be decompressed; the message says why."""


def decompress(name: object, body: bytes) -> bytes:
    """The body as it was before. Raises `Unreadable` only."""
    if not isinstance(name, str) or name not in _ZLIB_OR_GZIP:
        raise Unreadable(f"compression {ascii(name)[:80]} is not known here; send zlib or gzip")
    stream = zlib.decompressobj(_DETECT_FORMAT)
    try:
        plain = stream.decompress(body, LARGEST_BODY)
    except zlib.error as error:
        raise Unreadable(f"the body is not {name}: {error}") from None
    if not stream.eof:
        raise Unreadable(
            f"the body has more than {LARGEST_BODY} bytes" if stream.unconsumed_tail else "the body is cut off"
        )
    return plain
