"""A large JSON body is read piece by piece, so that its reading never keeps Python's interpreter for long.

A parser written in C keeps all other threads from the interpreter until it ends: a third of a second for 120 MB. The
link's thread would stand as long, for each such message that anybody sends. Here the body is cut between two values, or
within a long text. Each piece of some `PIECE` bytes goes to the parser by itself. What the parser refuses in a piece
would be refused in the whole body, too: each piece is read as a list or an object of its own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

from amqptasks.serializers import Undecodable
from amqptasks.untrusted import bounds

#: Reads one piece. Raises `Undecodable` only.
Read = Callable[[bytes], Any]

#: Lists and objects inside each other, at most: as many as orjson reads.
DEEPEST = 1024

#: Bytes in which whole values are looked for at once.
_WINDOW = 65_536

#: Levels of lists and objects inside each other that are found at once, if they are in one window.
_LEVELS = 6

#: Values with the comma behind each: numbers, texts, and lists and objects of few levels. Every part is possessive, so
#: that the time grows with the text alone.
_PLAIN = rb'[^"\[\]{},]*+'
_TEXT = rb'"(?:[^"\\]++|\\.)*+"'


def _nested(levels: int) -> bytes:
    inner = b"" if levels == 1 else b"|" + _nested(levels - 1)
    return rb'[\[{](?:[^"\[\]{}]++|' + _TEXT + inner + rb")*+[\]}]"


_VALUES = re.compile(
    rb"(?:" + _PLAIN + rb"(?:(?:" + _TEXT + rb"|" + _nested(_LEVELS) + rb")" + _PLAIN + rb"){0,2}+,)*+", re.DOTALL
).match

#: Up to the next character that says something about where a value begins or ends.
_TO_MARK = re.compile(rb'[^"\[\]{},]*+').match

#: An escape for the first half of a character that needs two.
_HIGH = re.compile(rb"\\u[dD][89abAB]").match

#: Bytes at the end of a part that may be half of a character: such an escape, and all but one of the other one.
_LONGEST_HALF = 11

#: The end of a part within a character of several bytes, or before its last byte.
_CUT_CHARACTER = re.compile(rb"[\xc0-\xff][\x80-\xbf]{0,2}\Z").search

#: The name of a member that is put before others, so that these alone are never taken for a tagged value. No body has
#: it: nobody can know it.
_NOBODYS = os.urandom(8).hex()

_BLANK = re.compile(rb"[ \t\r\n]*+").fullmatch
_QUOTE, _COMMA, _LIST, _OBJECT, _BACKSLASH = b'",[{\\'
_BEGINS = frozenset((_QUOTE, _LIST, _OBJECT))
_ENDS = {ord("]"): _LIST, ord("}"): _OBJECT}
_AROUND = {_LIST: (b"[", b"]"), _OBJECT: (b'{"%b":null,' % _NOBODYS.encode(), b"}")}


class _Open:
    """A list or an object whose end has not been seen. What has been read of it is in `value`; what comes next of it
    begins at `start`."""

    __slots__ = ("begin", "comma", "is_behind_value", "kind", "start", "value")

    def __init__(self, kind: int, begin: int, start: int) -> None:
        self.kind = kind
        self.begin = begin
        self.start = start
        self.comma = -1  # the last one behind `start`
        self.value: Any = None
        self.is_behind_value = False  # a value that was read by itself, with no comma behind it so far


class _Pieces:
    def __init__(
        self, body: bytes, read: Read, read_text: Read, restored: Callable[[dict[str, Any]], Any], piece: int
    ) -> None:
        self._body = body
        self._read = read
        self._read_text = read_text
        self._restored = restored
        self._piece = piece
        self._open = [_Open(_LIST, 0, 0)]  # around all is a list that nobody wrote

    def value(self) -> Any:
        body, end, at = self._body, len(self._body), 0
        mark = text = 0  # behind the last one
        while at < end:
            here = self._open[-1]
            limit = min(at + _WINDOW, end)
            if not here.is_behind_value:
                found = _VALUES(body, at, limit)
                assert found is not None
                if found.end() > at:
                    at, mark, text = found.end(), found.end(), 0
                    self._comma(here, at - 1)
                    continue
            skipped = _TO_MARK(body, at, limit)
            assert skipped is not None
            at = skipped.end()
            if at - mark > bounds.PIECE:
                raise Undecodable(f"more than {bounds.PIECE} bytes with neither a text nor a comma")
            if at == limit:
                continue
            kind = body[at]
            if text and kind in _BEGINS and body.find(b":", text, at) < 0:
                raise Undecodable("no comma between two values")
            at = mark = self._mark(here, at)
            text = at if kind == _QUOTE else 0
        if len(self._open) > 1:
            raise Undecodable("a list or an object does not end")
        values = self._ended(self._open[0], end)
        if len(values) != 1:
            raise Undecodable("more than one value")
        return values[0]

    def _mark(self, here: _Open, at: int) -> int:
        """Take in the mark that stands there. Returns where to go on."""
        mark = self._body[at]
        if mark == _COMMA:
            self._comma(here, at)
        elif mark == _QUOTE:
            behind = bounds.end_of_text(self._body, at)
            if behind < 0:
                raise Undecodable("a text does not end")
            if behind - at > self._piece:
                self._take(here, at, behind, self._text(at, behind))
            return behind
        elif mark in _AROUND:
            if len(self._open) > DEEPEST:
                raise Undecodable("nested too deeply")
            self._open.append(_Open(mark, at, at + 1))
        else:
            self._close(here, at, _ENDS[mark])
        return at + 1

    def _comma(self, here: _Open, at: int) -> None:
        if here.is_behind_value:
            self._only_blank(here.start, at)
            here.is_behind_value = False
        elif at - here.start > self._piece:
            self._add(here, at)
        else:
            here.comma = at
            return
        here.start = at + 1

    def _close(self, here: _Open, at: int, kind: int) -> None:
        if kind != here.kind or len(self._open) == 1:
            raise Undecodable("a bracket that ends nothing")
        self._open.pop()
        if here.value is not None or at - here.begin > self._piece:  # else it is read with what is around it
            self._take(self._open[-1], here.begin, at + 1, self._ended(here, at))

    def _ended(self, here: _Open, at: int) -> Any:
        """The whole value of a list or an object that ends there."""
        if here.is_behind_value:
            self._only_blank(here.start, at)
        else:
            self._add(here, at)
        return self._restored(here.value) if here.kind == _OBJECT else here.value

    def _take(self, here: _Open, begin: int, behind: int, value: Any) -> None:
        """A value was read by itself, from `begin` up to `behind`."""
        if here.is_behind_value:
            raise Undecodable("no comma between two values")
        if here.comma > here.start:
            self._add(here, here.comma)
        if here.kind == _LIST:
            self._only_blank(here.start, begin)
            here.value = [] if here.value is None else here.value
            here.value.append(value)
        else:
            if _BLANK(self._body, here.start, begin) is not None:
                raise Undecodable(f"a value without a name, or a name of more than {self._piece} bytes")
            pair = self._read(b"".join((b"{", self._body[here.start : begin], b"null}")))
            here.value = {} if here.value is None else here.value
            here.value[next(iter(pair))] = value
        here.start, here.comma, here.is_behind_value = behind, -1, True

    def _add(self, here: _Open, at: int) -> None:
        """Read what stands before `at`: at least one value."""
        before, behind = _AROUND[here.kind]
        found = self._read(b"".join((before, self._body[here.start : at], behind)))
        if here.kind == _OBJECT:
            del found[_NOBODYS]
        if not found:
            raise Undecodable("a comma with no value beside it")
        if here.value is None:
            here.value = found
        elif here.kind == _LIST:
            here.value += found
        else:
            here.value.update(found)
        here.start, here.comma = at + 1, -1

    def _only_blank(self, start: int, end: int) -> None:
        if _BLANK(self._body, start, end) is None:
            raise Undecodable("no comma between two values")

    def _text(self, at: int, behind: int) -> str:
        """The text between two quotes."""
        parts: list[str] = []
        begin, end = at + 1, behind - 1
        while begin < end:
            limit = min(begin + self._piece, end)
            part = self._body[begin:limit]
            if limit < end:
                part = _without_half(part)
            begin += len(part)
            parts.append(self._read_text(b'"%b"' % part))
        return "".join(parts)  # a tenth of a second for 120 MB, three times as quick as to read them


def _without_half(part: bytes) -> bytes:
    """Part of a text, without the first half of an escape or of a character at its end: it belongs to the next part."""
    at = max(0, len(part) - _LONGEST_HALF)
    before = part[:at]
    if (len(before) - len(before.rstrip(b"\\"))) % 2:
        at += 1  # an escape of two characters has begun there
    high = -1
    while at < len(part):
        if part[at] != _BACKSLASH:
            at, high = at + 1, -1
            continue
        behind = at + (6 if part[at + 1 : at + 2] == b"u" else 2)
        if behind > len(part):
            return part[: at if high < 0 else high]
        at, high = behind, at if _HIGH(part, at) else -1
    if high >= 0:
        return part[:high]
    cut = _CUT_CHARACTER(part, max(0, len(part) - 3))
    return part if cut is None else part[: cut.start()]


def decode(
    body: bytes,
    read: Read,
    read_text: Read,
    restored: Callable[[dict[str, Any]], Any],
    piece: int = bounds.PIECE,
) -> Any:
    """The value of a whole body. `read` gets its pieces, `read_text` those of long texts, each in quotes, and
    `restored` each object that was put together of several. Raises `Undecodable` only."""
    return _Pieces(body, read, read_text, restored, piece).value()
