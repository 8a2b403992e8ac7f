"""Decisions for people: what is said of many queues is said once."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from amqptasks.cli.support.decisions import show
from amqptasks.topology.expand.decisions import Decision


def _shown(*decisions: Decision) -> list[str]:
    out = StringIO()
    show(decisions, Console(file=out, soft_wrap=True))
    return [line.strip() for line in out.getvalue().splitlines()]


def test_queues_of_which_the_same_is_said_share_a_paragraph_and_one_alone_keeps_its_name():
    alike = [Decision(name, "dead_letter", f"into {name}.dead", f"stays in {name}, kept") for name in ("a", "b")]
    assert _shown(*alike) == ["a, b: dead_letter -> into NAME.dead", "stays in NAME, kept"]
    assert _shown(alike[0]) == ["a: dead_letter -> into a.dead", "stays in a, kept"]


def test_many_names_are_cut_and_the_virtual_host_has_none():
    many = [Decision(f"q{number}", "ttl", "x-message-ttl", "it is so") for number in range(8)]
    assert _shown(*many)[0] == "q0, q1, q2, q3, q4, q5 and 2 more: ttl -> x-message-ttl"
    assert _shown(Decision(None, "default_queue_type", "nothing", "[too] old"))[0] == "default_queue_type -> nothing"


def test_a_name_is_not_looked_for_within_other_words():
    found = [Decision(name, "x", "a task waits in a.due", "an ant") for name in ("a", "b")]
    assert len(_shown(*found)) == 4
