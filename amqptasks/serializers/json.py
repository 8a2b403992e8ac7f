"""Values to JSON and back, as Celery's JSON does it: kombu's tagged types keep a datetime a datetime.

A value arrives as what it was, or is refused where it is sent; the exceptions are JSON's own: a tuple arrives as a
list, the keys of a dict as text, and an enum as its value. `datetime`, `date`, `time`, `Decimal`, `UUID` and `bytes`
travel as `{"__type__": ..., "__value__": ...}` (kombu 5.3 and newer, `kombu/utils/json.py`).

orjson does the work. The standard library takes over for what orjson would change on the way: whole numbers beyond 64
bits, NaN and infinity, UUIDs, keys that are not text, lone surrogates, and tagged types.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Collection
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from itertools import chain
from math import isfinite
from typing import Any
from uuid import UUID

import orjson

from amqptasks.serializers import Serializer, Undecodable
from amqptasks.untrusted import bounds
from amqptasks.untrusted.bounds import OutOfBounds

#: datetimes come to our `default`, for their tag; dataclasses too, to be refused: they would arrive as a dict.
_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS

#: Types whose values orjson writes as the standard library does.
_EXACT = frozenset({str, int, bool, type(None)})
_SEQUENCES = (list, tuple)

#: What a UUID, and NaN or an infinity, are written as by orjson. Of a UUID its middle: text with a dash is everywhere,
#: and a pattern that begins with one is searched for at the speed of `find`.
_UUID = re.compile(rb"-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-").search
_NULL = b"null"

#: What reading raises for wrong JSON: a ValueError. The others stand for a tag whose value has the wrong type, say
#: {"__type__": "decimal", "__value__": []}.
_WRONG = (ValueError, ArithmeticError, TypeError, AttributeError, LookupError)

_TAG = b'"__type__"'
_TAGGED = {"__type__", "__value__"}

#: orjson reads whole numbers beyond 64 bits as floats; the shortest have 19 digits (-9223372036854775809).
_LONG_NUMBER = b"0" * 19
_DIGITS = bytes.maketrans(b"123456789", b"000000000")


def encode(value: object) -> bytes:
    """JSON in UTF-8. Raises TypeError, ValueError or RecursionError for what cannot be sent, naming the type."""
    try:
        text = orjson.dumps(value, _default, _OPTIONS)
    except orjson.JSONEncodeError:
        pass  # a key that is no text, a big number, a lone surrogate; or a type that is refused again below
    else:
        # Looked at afterwards: only now is it known that nothing in it contains itself. What orjson writes otherwise
        # leaves a mark in the text (a UUID its dashes, NaN a null), and searching that is the quickest look.
        if (text.find(_NULL) < 0 and _UUID(text) is None) or _is_exact((value,)):
            return text
    return json.dumps(value, default=_default, separators=(",", ":")).encode()


def decode(text: bytes) -> Any:
    """The value, with tagged types restored. Raises `Undecodable` only, whatever the bytes are."""
    try:
        bounds.json_values(text)
    except OutOfBounds as refusal:
        raise Undecodable(str(refusal)) from None
    if len(text) < bounds.LARGE_BODY:
        return _read(text)
    from amqptasks.serializers import json_pieces

    return json_pieces.decode(text, _read, _read_text, _restored)


def _read(text: bytes) -> Any:
    # `find` rather than `in`, which takes three times as long on bytes: it tries to read a number first.
    if text.find(_TAG) < 0 and not _has_long_number(text):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass  # NaN, Infinity and lone surrogates, which the standard library writes and reads; or no JSON at all
    try:
        return json.loads(text.decode(), object_hook=_untag)
    except RecursionError:
        raise Undecodable("nested too deeply") from None
    except _WRONG as error:
        raise Undecodable(str(error) or type(error).__name__) from None


def _read_text(text: bytes) -> Any:
    """As `_read`, of one text: it holds no number and no tag."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _read(text)


def _has_long_number(text: bytes) -> bool:
    if len(text) <= bounds.PIECE:
        return text.translate(_DIGITS).find(_LONG_NUMBER) >= 0
    pieces = bounds.pieces(text, len(_LONG_NUMBER) - 1)
    return any(piece.translate(_DIGITS).find(_LONG_NUMBER) >= 0 for piece in pieces)


def _is_exact(values: Collection[Any]) -> bool:
    """Whether orjson changed nothing: it writes a UUID without its tag, and NaN as null. Goes down level by level."""
    while values:
        kinds = set(map(type, values))
        if kinds <= _EXACT:
            return True
        if UUID in kinds or (float in kinds and not all(isfinite(value) for value in values if type(value) is float)):
            return False
        values = [
            *[value.value for value in values if isinstance(value, Enum)],
            *chain.from_iterable([value for value in values if isinstance(value, _SEQUENCES)]),
            *chain.from_iterable([value.values() for value in values if isinstance(value, dict)]),
        ]
    return True


def _default(value: object) -> object:
    """What the encoders ask for a type that JSON does not have."""
    if isinstance(value, Enum):  # the standard library asks; orjson knows it
        return value.value
    for kind, name, write in _WRITERS:
        if isinstance(value, kind):
            return {"__type__": name, "__value__": write(value)}
    if isinstance(value, bytes):
        try:
            return {"__type__": "bytes", "__value__": value.decode()}
        except UnicodeDecodeError:
            return {"__type__": "base64", "__value__": base64.b64encode(value).decode()}
    if isinstance(value, tuple):
        return list(value)
    reducer = getattr(value, "__json__", None)
    if reducer is not None:
        return reducer()
    raise TypeError(f"a {type(value).__qualname__} cannot be sent as JSON")


def _restored(value: dict[str, Any]) -> Any:
    """As `_untag`. Raises `Undecodable` only."""
    try:
        return _untag(value)
    except _WRONG as error:
        raise Undecodable(str(error) or type(error).__name__) from None


def _untag(value: dict[str, Any]) -> Any:
    if value.keys() != _TAGGED:
        return value
    name = value["__type__"]
    reader = _READERS.get(name) if isinstance(name, str) else None
    if reader is None:
        raise ValueError(f"type {name!r} is not known here")
    return reader(value["__value__"])


# datetime stands before date, whose subclass it is.
_WRITERS: tuple[tuple[type, str, Callable[[Any], object]], ...] = (
    (datetime, "datetime", datetime.isoformat),
    (date, "date", date.isoformat),
    (time, "time", time.isoformat),
    (Decimal, "decimal", str),
    (UUID, "uuid", lambda value: {"hex": value.hex}),
)

_READERS: dict[str, Callable[[Any], object]] = {
    "datetime": datetime.fromisoformat,
    "date": lambda value: datetime.fromisoformat(value).date(),
    "time": time.fromisoformat,
    "decimal": Decimal,
    "uuid": lambda value: UUID(hex=value["hex"]),
    "bytes": lambda value: value.encode(),
    "base64": lambda value: base64.b64decode(value.encode()),
}


SERIALIZER = Serializer("json", encode, decode, "application/json")
