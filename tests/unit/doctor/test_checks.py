"""Each check of `amqptasks doctor`: what was read on one side, what is said of it on the other."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from amqptasks.doctor.check import CHECKS, Check, chosen
from amqptasks.doctor.checks.policies import without_overriding
from amqptasks.doctor.snapshot import Snapshot
from amqptasks.messages.routing import Router
from amqptasks.topology.ask.time_limits import TimeLimit, time_limits
from amqptasks.topology.broker.observed import Observed, ObservedQueue
from amqptasks.topology.read.loader import from_mapping
from amqptasks.transport.capabilities import Capabilities
from amqptasks.transport.entities import Binding, Exchange, Policy
from tests.unit.doctor.findings import FINDINGS
from tests.unit.doctor.nothing import NOTHING
from tests.unit.doctor.read import (
    BOUND,
    BY_NAME,
    LETTERS,
    NEW,
    RELEASES,
    TO_DLX,
    broker,
    of_topology,
    queue,
    seen,
)


@pytest.mark.parametrize("name", FINDINGS)
def test_what_is_wrong_is_told_with_what_mends_it(name: str) -> None:
    read, check, (level, subject, problem, fix) = FINDINGS[name]
    found = list(BY_NAME[check].look(read))
    assert len(found) == 1, found
    assert (found[0].level, found[0].subject) == (level, subject)
    assert problem in found[0].problem
    assert fix in found[0].fix


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_is_said_of_what_is_well(name: str) -> None:
    read, check = NOTHING[name]
    assert list(BY_NAME[check].look(read)) == []


def test_every_check_has_both_kinds_of_examples_and_says_nothing_of_nothing() -> None:
    assert {check for _, check, _ in FINDINGS.values()} == BY_NAME.keys()
    without = {"deprecated-features", "objects", "bindings"}  # whose nothing is the empty broker below
    assert {check for _, check in NOTHING.values()} == BY_NAME.keys() - without
    for check in CHECKS:
        assert list(check.look(seen())) == []


@pytest.mark.parametrize("can", RELEASES.values(), ids=RELEASES)
def test_what_a_topology_makes_has_no_finding(can: Capabilities) -> None:
    """The dead-lettering of what the file's own words become is as good as the release allows."""
    wanted = of_topology({"queues": {"work": None, "urgent": {"max_priority": 5}}}, can)
    there = tuple(ObservedQueue(one, str(one.arguments["x-queue-type"]), 0) for one in wanted.wanted.queues)
    read = Snapshot(
        can,
        "shop",
        "shop",
        wanted.topology,
        wanted.wanted,
        observed=Observed(
            "shop",
            can,
            exchanges={one.name: one for one in wanted.wanted.exchanges},
            queues={one.name: one for one in there},
            bindings=wanted.wanted.bindings,
        ),
    )
    for name in ("dead-letter-targets", "dead-lettering", "bindings", "policies", "dead-letters", "delays"):
        assert list(BY_NAME[name].look(read)) == []


def test_a_policy_that_is_wrong_is_the_only_thing_to_mend_of_the_queues_below_it() -> None:
    safe = queue("work", **TO_DLX, dead_letter_strategy="at-least-once", overflow="reject-publish")
    drop = Policy("every thing", ".*", {"max-length": 100, "overflow": "drop-head"}, "all")
    below = without_overriding(seen(observed=broker(safe, queue("stale", "classic"), policies=(drop,))))
    assert below.overridden == {"work", "stale"}
    assert below.observed is not None
    assert below.observed.policies == ()
    look = BY_NAME["dead-letter-targets"].look
    assert "set_policy" not in " ".join(one.fix for one in look(below))
    beside = without_overriding(seen(observed=broker(safe, queue("stale", "classic"))))
    assert [one.subject for one in look(beside) if "set_policy" in one.fix] == ["queue stale"]


def test_a_policy_that_sends_the_letters_of_several_queues_nowhere_is_one_finding() -> None:
    gone = Policy("by hand", ".*", {"dead-letter-exchange": "gone", "overflow": "drop-head"}, "queues")
    safe = queue("safe", dead_letter_strategy="at-least-once", overflow="reject-publish")
    read = seen(observed=broker(safe, queue("a", "classic"), queue("b"), policies=(gone,)))
    found = list(BY_NAME["policies"].look(read))
    assert [one.subject for one in found] == ["policy by hand"]
    assert (
        "the exchange gone for dead letters does not exist: those of a, b, safe are lost; its overflow"
        in found[0].problem
    )
    assert found[0].fix.endswith("or rabbitmqctl clear_policy -p shop 'by hand'")
    assert not list(BY_NAME["dead-letter-targets"].look(without_overriding(read)))
    alone = seen(
        observed=broker(queue("a", "classic"), policies=(replace(gone, definition={"dead-letter-exchange": "gone"}),))
    )
    assert not list(BY_NAME["policies"].look(alone))
    assert [one.subject for one in BY_NAME["dead-letter-targets"].look(alone)] == ["queue a"]


def test_a_mending_policy_keeps_what_the_one_that_counts_says() -> None:
    policy = Policy("all", ".*", {"max-length": 9}, "queues", 4)
    read = seen(observed=broker(queue("a.b", **TO_DLX), LETTERS, bindings=BOUND, policies=(policy,)))
    line = shlex.split(next(BY_NAME["dead-lettering"].look(read)).fix)
    assert line[:9] == [
        "rabbitmqctl",
        "set_policy",
        "-p",
        "shop",
        "--priority",
        "5",
        "--apply-to",
        "queues",
        "a.b-safe",
    ]
    assert line[9] == r"^a\.b$"
    assert '"max-length": 9' in line[10]


@pytest.mark.parametrize("kind", ["fanout", "direct"])
def test_where_dead_letters_end_nobody_need_consume(kind: str) -> None:
    """Where they only come back from waiting, somebody must."""
    work = queue("work", dead_letter_exchange="out", dead_letter_routing_key="a")
    later = queue("later", message_ttl=5, dead_letter_exchange="back", dead_letter_routing_key="work")
    read = seen(
        observed=Observed(
            "shop",
            NEW,
            exchanges={"out": Exchange("out", kind), "back": Exchange("back", "direct")},
            queues={one.name: one for one in (work, later, LETTERS, queue("other"))},
            bindings=(
                Binding("out", "letters", "a"),
                Binding("out", "other", "b"),
                Binding("back", "work", "work"),
            ),
        )
    )
    assert read.ends == ({"letters", "other"} if kind == "fanout" else {"letters"})
    assert "work" in [one.name for one in read.tasks_queues]


def test_the_longest_task_of_each_queue_counts() -> None:
    topology = from_mapping(
        {
            "version": 1,
            "exchanges": {"tasks": {"type": "topic"}},
            "queues": {"slow": {"bindings": [{"exchange": "tasks", "routing_key": "slow.#"}]}, "default": None},
            "routes": {"slow.*": {"exchange": "tasks"}},
        }
    )
    router = Router(topology.routes, topology.default_queue)
    tasks = [("slow.a", {"time_limit": 60}), ("slow.b", {"soft_time_limit": 90}), ("c", {"time_limit": 5}), ("d", {})]
    assert time_limits(tasks, router, topology) == {"slow": TimeLimit("slow.b", 90.0), "default": TimeLimit("c", 5.0)}
    assert time_limits(tasks, Router((), None), topology) == {}


def test_claims_of_unique_calls_are_no_concern() -> None:
    claim = queue(
        "amqptasks.unique.a", "classic", dead_letter_exchange="amqptasks.unique", dead_letter_routing_key="id"
    )
    read = seen(observed=broker(claim))
    assert [finding for check in CHECKS for finding in check.look(read)] == []


@pytest.mark.parametrize(
    ("check", "read"),
    [
        ("dead-letters", seen(observed=broker(queue("two words.dead", messages=1)))),
        (
            "dead-letter-targets",
            seen(
                observed=broker(
                    queue("work", dead_letter_exchange="", dead_letter_routing_key="two words"),
                    queue("two words", messages=1, max_length=1, overflow="reject-publish"),
                )
            ),
        ),
    ],
)
def test_a_mending_line_takes_names_as_a_shell_needs_them(check: str, read: Snapshot) -> None:
    line = next(BY_NAME[check].look(read)).fix
    assert shlex.split(line)[:4] == ["amqptasks", "dead", "list", "two words"]


def test_checks_can_be_chosen_and_keep_their_order() -> None:
    def names(checks: tuple[Check, ...]) -> list[str]:
        return [check.name for check in checks]

    assert names(chosen(["nodes", "alarms"])) == ["alarms", "nodes"]
    assert "clock" not in names(chosen(without=["clock"]))
    assert len(chosen(without=["clock"])) == len(CHECKS) - 1
