"""A large JSON body means the same, read piece by piece, and no piece is large."""

from __future__ import annotations

import json as standard
import math
import random
from decimal import Decimal
from typing import Any

import pytest

from amqptasks.serializers import Undecodable, json, json_pieces
from amqptasks.untrusted import bounds

WORDS = (
    "a", '"', "\\", "ö", "☃", "😀", "\ud83d", "\udc00", "\x00", "{", "[", ",", ":", "}", "\\u00", "ud83d", "__type__",
    " ", "1" * 25,
)  # fmt: skip

#: What a body is changed by.
WRONG = [bytes([one]) for one in b',[]{}":\\ a1\xc3'] + [b"", b'"",', b'""']


def value(source: random.Random, depth: int = 0) -> Any:
    kind = source.randrange(12)
    if kind < 2 or depth > 5:
        return source.choice([0, 1, -5, 1.5, 2**70, -(2**63), 1e300, True, None, math.inf])
    if kind < 6:
        return "".join(source.choices(WORDS, k=source.randrange(source.choice([3, 60]))))
    if kind < 9:
        return [value(source, depth + 1) for _ in range(source.randrange(6))]
    if kind == 9:
        return {"__type__": "decimal", "__value__": "1.5", **({"x": 1} if source.random() < 0.5 else {})}
    names = ["a", "b", "ö", "xxx", "", '"', "__type__", "__value__"]
    return {source.choice(names): value(source, depth + 1) for _ in range(source.randrange(5))}


def body(source: random.Random) -> bytes:
    """JSON, or nearly so."""
    spaces = source.choice([None, None, 1, 3])
    separators = source.choice([None, (",", ":"), (" , ", " : ")])
    text = standard.dumps(
        [value(source), value(source)], ensure_ascii=source.random() < 0.5, indent=spaces, separators=separators
    )
    found = bytearray(text.encode("utf-8", "surrogatepass"))
    for _ in range(source.choice([0, 0, 1, 2])):
        at = source.randrange(len(found) + 1)
        found[at : at + source.randrange(2)] = source.choice(WRONG)
    return bytes(found)


def read(data: bytes, piece: int) -> str:
    try:
        pieces = (json._read, json._read_text, json._restored, piece)
        found = json_pieces.decode(data, *pieces) if piece else json._read(data)
    except Undecodable:
        return "refused"
    return repr(found)  # NaN is no equal of itself


@pytest.mark.parametrize("window", [4, 64, 65_536])
def test_a_body_means_the_same_in_pieces_or_is_refused_as_well(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_pieces, "_WINDOW", window)
    source = random.Random(window)
    bodies = [body(source) for _ in range(600)]
    different = [
        (piece, data)
        for data in bodies
        for piece in (14, 17, 40, 200)  # the name of a member must fit into one, and two halves of a character
        if read(data, piece) != read(data, 0)
    ]
    assert different == []
    assert 100 < sum(read(data, 0) == "refused" for data in bodies) < 500


LETTERS = b"a" * (bounds.PIECE - 1000)
TOO_LONG = b" " * (2 * bounds.PIECE)


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (b'[["' + b"a" * bounds.LARGE_BODY + b'"],{},{}]', 3),
        (b'{"a":{"b":"' + rb"\u00f6" * (bounds.LARGE_BODY // 6) + b'\xc3\xb6"},"c":[1]}', 2),
        (b"[" + b",".join([b'"' + b"b" * 118 + b'"'] * 70_000) + b"]", 70_000),
        (b'{"x":[' + (b'{"a":[1,{"b":["' + b"c" * 80 + b'"]}]},') * 90_000 + b'0],"y":0}', 2),
        (b'["' + LETTERS + b'",' + (b'["' + LETTERS + b'",') * 9 + b"1" + b"]" * 10, 2),
        (b'{"a":"' + LETTERS + b'","b":' + (b'{"a":"' + LETTERS + b'","b":') * 9 + b"1" + b"}" * 10, 2),
        (b'["' + b'\\"' * (bounds.LARGE_BODY // 2) + b'",1]', 2),
    ],
    ids=["a text", "escapes", "texts", "objects", "lists in lists", "objects in objects", "quotes"],
)
def test_no_piece_of_a_large_body_is_large(data: bytes, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[int] = []

    def read(piece: bytes) -> Any:
        pieces.append(len(piece))
        return whole(piece)

    whole = json._read
    monkeypatch.setattr(json, "_read", read)
    monkeypatch.setattr(json, "_read_text", read)
    assert len(data) >= bounds.LARGE_BODY
    assert len(json.decode(data)) == size
    assert max(pieces) <= 2 * bounds.PIECE + 100
    assert len(pieces) >= 4


@pytest.mark.parametrize(
    "data",
    [
        b"[1," + TOO_LONG * 4 + b"2]", b"[" + b"1" * (8 * bounds.PIECE) + b"]", b"a" * (8 * bounds.PIECE),
        b"[" * 100_000 + TOO_LONG * 4, b'{"' + b"a" * (8 * bounds.PIECE) + b'":1}', b'["' + b"a" * (8 * bounds.PIECE),
        b'["' + b"a" * (8 * bounds.PIECE) + b"\\", b'"x"' * (3 * bounds.PIECE), b'[["x' + LETTERS * 9 + b'"]}',
    ],
    ids=["blanks", "a number", "nothing", "depth", "a name", "no end", "a backslash", "no commas", "brackets"],
)  # fmt: skip
def test_a_large_body_that_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(Undecodable):
        json.decode(data)


def test_a_large_tagged_value_is_what_it_was() -> None:
    text = "x" * bounds.LARGE_BODY
    assert json.decode(json.encode([text.encode(), Decimal("1.5")])) == [text.encode(), Decimal("1.5")]
    with pytest.raises(Undecodable, match="not known here"):
        json.decode(b'{"__type__":"nothing","__value__":"' + text.encode() + b'"}')
