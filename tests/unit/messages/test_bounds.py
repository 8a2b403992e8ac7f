"""Values from outside: read within their bounds, refused with a sentence beyond them, whatever they are."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from amqptasks.untrusted import bounds
from amqptasks.untrusted.bounds import OutOfBounds
from tests.harness.worker_process import REPOSITORY

DEEP: list[object] = []
for _ in range(100_000):
    DEEP = [DEEP]

#: What anybody may send in place of a number, a text, a list.
HOSTILE = [
    None, True, -1, 2**63, 10**400, -(10**400), float("nan"), float("inf"), -0.5, 1e308, "", "x" * 100_000, "\ud800",
    b"\xff" * 1000, [], {}, DEEP, [DEEP], {1: 2}, {"a": DEEP}, object(), [None], ["x" * 300], ["\udfff"], datetime.max,
]  # fmt: skip


@pytest.mark.parametrize(
    "read",
    [
        bounds.whole, bounds.seconds, bounds.moment, bounds.iso_moment, bounds.text, bounds.name, bounds.names,
        bounds.mapping, bounds.limits,
    ],
)  # fmt: skip
def test_bounds_refuse_whatever_is_sent_with_a_short_printable_sentence(read: Callable[[object], object]) -> None:
    said = list(filter(None, (_refusal(read, value) for value in HOSTILE)))
    assert len(said) > len(HOSTILE) / 2
    assert [text for text in said if len(text) > 300 or not text.isprintable() or not text.isascii()] == []


def _refusal(read: Callable[[object], object], value: object) -> str | None:
    try:
        read(value)
    except OutOfBounds as refusal:
        return str(refusal)
    return None


def test_bounds_return_values_in_their_type() -> None:
    assert bounds.whole(5, 9) == 5
    assert bounds.seconds(5) == 5.0
    assert type(bounds.seconds(5)) is float
    assert bounds.moment(0) == 0.0
    assert bounds.iso_moment("2030-01-02T00:00:00") == datetime(2030, 1, 2, tzinfo=UTC)
    assert bounds.text("größe", 7) == "größe"
    assert bounds.name("shop.send") == "shop.send"
    assert bounds.names(["a", "b"]) == ["a", "b"]
    assert bounds.mapping({"a": 1}) == {"a": 1}
    assert bounds.limits([None, 5]) == (None, 5)


def test_a_text_is_bounded_in_bytes_and_not_in_characters() -> None:
    with pytest.raises(OutOfBounds, match="not a text of 0 to 6 bytes"):
        bounds.text("größe", 6)


def test_a_moment_is_refused_beyond_five_minutes_ahead_of_the_clock() -> None:
    assert bounds.moment(1299, ahead_of=1000.0) == 1299.0
    with pytest.raises(OutOfBounds, match="301 s in the future"):
        bounds.moment(1301, ahead_of=1000.0)


@pytest.mark.parametrize(
    "text",
    [
        "[" + "1," * 999 + "1]", json.dumps(["a,[{:" * 5000]), json.dumps({'"\\,': ",,,\\" * 2000}),
        '"' + "[" * 1500, '["' + ",\\" * 1500,
    ],
)  # fmt: skip
def test_json_values_within_the_bound_are_let_through(text: str) -> None:
    assert bounds.json_values(text.encode(), 1001) is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize(
    "text",
    [
        "[" + "1," * 1500 + "1]", "[" * 1500, '{"":0,' * 1500, '["' + '","' * 1500, '["\\"",' + "[]," * 1500,
    ],
)  # fmt: skip
def test_json_values_beyond_the_bound_are_refused(text: str) -> None:
    with pytest.raises(OutOfBounds, match="more than 1000 values"):
        bounds.json_values(text.encode(), 1000)


def test_a_record_is_bounded_in_bytes() -> None:
    assert bounds.record(b"{}") == b"{}"
    with pytest.raises(OutOfBounds, match="bytes, more than"):
        bounds.record(b" " * (bounds.LARGEST_RECORD + 1))


def test_the_page_of_bounds_has_every_bound_of_the_module_with_its_value() -> None:
    page = (REPOSITORY / "docs" / "bounds.md").read_text()
    told = {name: float(value) for name, value in re.findall(r"^\| `([A-Z_]+)` \| ([0-9.]+) \|", page, re.MULTILINE)}
    constants = {name: value for name, value in vars(bounds).items() if isinstance(value, int | float)}
    found = {name: float(value) for name, value in constants.items() if re.fullmatch(r"[A-Z][A-Z_]+", name)}
    assert told == found


#: Packages that read what others wrote. A name that says how much is a bound there.
READERS = (
    "amqp/wire", "control", "events", "management", "messages", "serializers", "untrusted", "worker/consume",
    "worker/control", "worker/execute", "worker/job", "worker/settle",
)  # fmt: skip

#: A name that says how much, but of our own patience.
BOUND = re.compile(r"^((?:MOST|LARGEST|DEEPEST|LONGEST)(?:_(?!PAUSE|WAIT\b)[A-Z_]+)?) = (.+)$", re.MULTILINE)


def test_the_page_of_bounds_has_every_bound_of_the_modules_that_read_what_others_wrote() -> None:
    page = (REPOSITORY / "docs" / "bounds.md").read_text()
    told = {
        name: float(value)
        for name, value in re.findall(r"^\| `([a-z_.]+\.[A-Z_]+)` \| ([0-9]+) \|", page, re.MULTILINE)
    }
    known = {name for name in vars(bounds) if name.isupper()}
    found = {}
    root = REPOSITORY / "amqptasks"
    for file in sorted(one for folder in READERS for one in (root / folder).rglob("*.py") if one.name != "bounds.py"):
        for name, value in BOUND.findall(file.read_text()):
            if value.removeprefix("bounds.") in known:
                continue  # it stands in the first table
            module = ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            found[f"{module}.{name}"] = float(getattr(importlib.import_module(f"amqptasks.{module}"), name))
    assert told == found


def test_every_bound_has_its_reason_above_it() -> None:
    source = (REPOSITORY / "amqptasks" / "untrusted" / "bounds.py").read_text()
    assert re.findall(r"^(?!#).*\n([A-Z][A-Z_]+) = ", source, re.MULTILINE) == []
