"""Our headers: named in one place, described in the documentation, and carried on by one rule."""

from __future__ import annotations

import ast

import pytest

from amqptasks.messages.own_headers import BIT, OWN_HEADERS, PREFIX, UNIQUE, Way, carried
from tests.harness.worker_process import REPOSITORY

WAYS: tuple[Way, ...] = ("back", "again", "dead letter", "replay")

HOME = "own_headers.py"


def test_own_headers_are_named_in_one_file() -> None:
    elsewhere = [
        f"{path.relative_to(REPOSITORY)}:{node.lineno}"
        for path in (REPOSITORY / "amqptasks").rglob("*.py")
        if path.name != HOME
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(PREFIX)
    ]
    assert elsewhere == []


def test_the_documentation_has_each_own_header_as_the_module_has_it() -> None:
    rows = [
        f"| `{name}{'NN' if name == BIT else ''}` | {known.type} | {known.written_by} | {known.says} |"
        f" {', '.join(way for way in WAYS if way in known.kept) or 'none'} |"
        for name, known in OWN_HEADERS.items()
    ]
    page = (REPOSITORY / "docs" / "internals.md").read_text()
    assert [row for row in rows if row not in page] == []
    assert page.count("| `x-amqptasks-") == len(rows), "the page has a row that the module has not"


@pytest.mark.parametrize("way", WAYS)
def test_headers_are_carried_by_their_description(way: Way) -> None:
    ours: dict[str, object] = {name if name != BIT else f"{BIT}07": 1 for name in OWN_HEADERS}
    others: dict[str, object] = {"task": "a.b", "mine": 1, "x-mine": 2}
    by_brokers: dict[str, object] = {"x-death": [], "x-delivery-count": 3, "x-last-death-queue": "q", "CC": ["a"]}
    kept = {name: 1 for name, known in OWN_HEADERS.items() if way in known.kept}
    assert carried({**ours, **others, **by_brokers}, way) == {**kept, **others}


def test_a_header_of_our_prefix_that_nobody_knows_is_not_replayed() -> None:
    odd: dict[str, object] = {"x-amqptasks-new": 1, f"{BIT}etail-of-mine": 2}
    assert [way for way in WAYS if carried(odd, way)] == ["back", "again", "dead letter"]


def test_a_claim_ends_when_its_call_has_begun() -> None:
    assert [way for way in WAYS if carried({UNIQUE: "1 a"}, way)] == ["back"]
