"""Text from outside that is printed: no terminal obeys it, and it forges no line."""

from __future__ import annotations

import sys

import pytest

from amqptasks.untrusted.printable import printable, printable_lines, short

ESCAPES = "\x1b]0;owned\x07\x1b[31m"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("shop.send", "shop.send"),
        ("größe 日本 🎉 é", "größe 日本 🎉 é"),
        (f"a{ESCAPES}b", r"a\x1b]0;owned\x07\x1b[31mb"),
        ("a\r\nFORGED\u2028x\u0085y\x9bz", r"a\r\nFORGED\u2028x\x85y\x9bz"),
        ("\u202eevil\u2066\u200b\ufeff", r"\u202eevil\u2066\u200b\ufeff"),
        ("\ud800\U000e0041", r"\ud800\U000e0041"),
        ("\x7f\x00\t", r"\x7f\x00\t"),
        ("a b\xa0c", "a b\xa0c"),
    ],
)
def test_printable_text_is_one_line_without_control_characters(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_printable_escapes_every_character_that_could_move_a_cursor_or_end_a_line() -> None:
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    shown = printable(everything)
    assert len(shown.splitlines()) == 1
    assert shown.encode()
    assert not {character for character in shown if ord(character) < 32 or 127 <= ord(character) < 160}


def test_printable_text_is_cut_where_it_is_too_long() -> None:
    assert printable("x" * 100, 10) == "xxxxxxx..."
    assert printable("x" * 10, 10) == "x" * 10


class Hostile:
    def __str__(self) -> str:
        raise SystemError


def test_printable_takes_whatever_it_is_given() -> None:
    assert printable(5) == "5"
    assert printable(Hostile()) == "a Hostile"
    assert short(Hostile()).startswith("<")
    assert short(10**5000) == "a int"


def test_printable_lines_keep_their_breaks_and_none_looks_like_a_line_of_a_log() -> None:
    shown = printable_lines(f"Traceback\r\n\tline{ESCAPES}\n2026-11-30 INFO FORGED\u2028FORGED\rFORGED")
    assert shown.split("\n") == [
        "Traceback",
        r"  " + "\t" + r"line\x1b]0;owned\x07\x1b[31m",
        r"  2026-11-30 INFO FORGED\u2028FORGED\rFORGED",
    ]
