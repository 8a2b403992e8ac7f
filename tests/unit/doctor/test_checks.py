"""Each check of `amqptasks doctor`: what was read on one side, what is said of it on the other."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import pytest

from amqptasks.capabilities import Capabilities
from amqptasks.doctor.check import CHECKS, Check, chosen
from amqptasks.doctor.seen import Seen
from amqptasks.doctor.time_limits import time_limits
from amqptasks.doctor.values import Alarm, Clock, Connection, Consumers, Flag, Length, Members, Node, TimeLimit, Unread
from amqptasks.entities import Binding, Exchange, Policy, Queue, QueueState
from amqptasks.errors import DeclarationConflict
from amqptasks.routing import Router
from amqptasks.topology.expand import SAFE, expand
from amqptasks.topology.loader import from_mapping
from amqptasks.topology.observed import Observed, ObservedQueue

RELEASES = {
    name: Capabilities(version=version)
    for name, version in {"3.10": (3, 10, 8), "4.0": (4, 0, 5), "4.3": (4, 3, 6)}.items()
}
NEW = RELEASES["4.3"]
BY_NAME = {check.name: check for check in CHECKS}


def queue(name: str, kind: str = "quorum", messages: int = 0, **arguments: Any) -> ObservedQueue:
    """Arguments with `_` for `-`, without their `x-`."""
    told = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    return ObservedQueue(Queue(name, arguments={"x-queue-type": kind, **told}), kind, messages)


def broker(
    *queues: ObservedQueue,
    policies: tuple[Policy, ...] = (),
    bindings: tuple[Binding, ...] = (),
    exchanges: tuple[str, ...] = ("dlx",),
    can: Capabilities = NEW,
) -> Observed:
    return Observed(
        "shop",
        can,
        exchanges={name: Exchange(name) for name in exchanges},
        queues={one.name: one for one in queues},
        bindings=bindings,
        policies=policies,
    )


def seen(can: Capabilities = NEW, **read: Any) -> Seen:
    return Seen(can, "shop", **read)


def of_topology(mapping: Mapping[str, Any], can: Capabilities = NEW, **read: Any) -> Seen:
    topology = from_mapping({"version": 1, **mapping})
    return Seen(can, "shop", "shop", topology, expand(topology, can), **read)


SAFELY: dict[str, Any] = {key.removeprefix("x-").replace("-", "_"): value for key, value in SAFE.items()}
TO_DLX = {"dead_letter_exchange": "dlx", "dead_letter_routing_key": "letters"}
BOUND = (Binding("dlx", "letters", "letters"),)
LETTERS = queue("letters")
GOOD = broker(queue("work", **TO_DLX, **SAFELY), LETTERS, bindings=BOUND)
HOUR = {"work": TimeLimit("shop.render", 3600.0)}
DROP = Policy("drop", ".*", {"overflow": "drop-head"}, "queues")

#: What was read; the check; level, subject, words of the problem, words of the mending line.
FINDINGS: dict[str, tuple[Seen, str, tuple[str, str, str, str]]] = {
    "another product": (
        seen(Capabilities("LavinMQ", (2, 0, 0))),
        "version",
        ("note", "broker", "LavinMQ", "RabbitMQ 3.10 or newer"),
    ),
    "an old release": (
        seen(Capabilities(version=(3, 9, 1))),
        "version",
        ("wrong", "broker", "older than 3.10", "upgrade"),
    ),
    "a memory alarm": (
        seen(alarms=(Alarm("a@b", "memory"),)),
        "alarms",
        ("wrong", "node a@b", "publishers are blocked", "more memory"),
    ),
    "a disk alarm": (
        seen(alarms=(Alarm("a@b", "disk"),)),
        "alarms",
        ("wrong", "node a@b", "disk alarm", "free some disk there"),
    ),
    "a node that is down": (
        seen(nodes=(Node("a@host", False),)),
        "nodes",
        ("wrong", "node a@host", "does not run", "RabbitMQ on host"),
    ),
    "a partition": (
        seen(nodes=(Node("a@b", partitions=("c@d",)),)),
        "nodes",
        ("wrong", "node a@b", "cut between it and c@d", "rabbitmqctl cluster_status"),
    ),
    "memory near its limit": (
        seen(nodes=(Node("a@b", memory_used=80 << 20, memory_limit=100 << 20),)),
        "nodes",
        ("note", "node a@b", "80 of the 100 MiB", "rabbitmqctl set_vm_memory_high_watermark 0.6"),
    ),
    "disk near its limit": (
        seen(nodes=(Node("a@b", disk_free=90 << 20, disk_limit=50 << 20),)),
        "nodes",
        ("note", "node a@b", "90 MiB of disk are free; publishers stop at 50", "free some disk"),
    ),
    "few files left": (
        seen(nodes=(Node("a@b", files_used=900, files=1024),)),
        "nodes",
        ("wrong", "node a@b", "900 of 1024 files", "LimitNOFILE"),
    ),
    "a flag that we need": (
        seen(flags_off=(Flag("stream_queue", True),)),
        "feature-flags",
        ("wrong", "feature flag stream_queue", "at most once", "rabbitmqctl enable_feature_flag stream_queue"),
    ),
    "flags that a new broker has": (
        seen(flags_off=(Flag("one", True), Flag("two", True), Flag("khepri_db", False))),
        "feature-flags",
        ("note", "feature flags", "one, two;", "rabbitmqctl enable_feature_flag all"),
    ),
    "a deprecated feature": (
        seen(deprecated=("global_qos",)),
        "deprecated-features",
        ("note", "deprecated feature global_qos", "is without it", "global=false"),
    ),
    "an unknown deprecated feature": (
        seen(deprecated=("coming",)),
        "deprecated-features",
        ("note", "deprecated feature coming", "is without it", "https://www.rabbitmq.com/docs/deprecated-features"),
    ),
    "a clock behind": (
        seen(clock=Clock(-5.0, 1.0)),
        "clock",
        ("note", "clock", "5 seconds behind", "timedatectl set-ntp true"),
    ),
    "a clock far ahead": (
        seen(clock=Clock(90.0, 1.0)),
        "clock",
        ("wrong", "clock", "90 seconds ahead of", "timedatectl set-ntp true"),
    ),
    "an absent queue": (
        of_topology({"queues": {"work": None}}, absent=(("queue", "work"),)),
        "objects",
        ("wrong", "queue work", "not on the broker", "amqptasks -A shop declare"),
    ),
    "an absent ladder": (
        of_topology(
            {"queues": {"work": None}}, absent=(("queue", "amqptasks.delay.03"), ("exchange", "amqptasks.due.x"))
        ),
        "objects",
        ("wrong", "delay ladder", "2 of its queues and exchanges", "amqptasks -A shop declare"),
    ),
    "another argument": (
        of_topology(
            {"queues": {"work": None}}, conflicts=(DeclarationConflict("queue", "work", "x-max-length", "5", "4"),)
        ),
        "objects",
        ("wrong", "queue work", "x-max-length is", "amqptasks -A shop migrate work"),
    ),
    "an older form": (
        of_topology({"queues": {"work": None}}, older=("work",)),
        "objects",
        ("note", "queue work", "older release", "amqptasks -A shop migrate work"),
    ),
    "no right to tell": (
        of_topology({"queues": {"work": None}}, refused="403"),
        "objects",
        ("note", "permissions", "403", "another user"),
    ),
    "a missing binding": (
        of_topology({"queues": {"work": None}}, observed=broker(queue("work"), queue("work.dead"))),
        "bindings",
        ("wrong", "binding amqptasks.queues -> work.dead", "and 1 more", "amqptasks -A shop declare"),
    ),
    "a policy that beats an argument": (
        seen(observed=broker(queue("work", **TO_DLX, **SAFELY), policies=(DROP,))),
        "policies",
        ("wrong", "policy drop", "beats the argument reject-publish", "rabbitmqctl clear_policy -p shop drop"),
    ),
    "priorities before 4.3": (
        seen(RELEASES["4.0"], observed=broker(queue("work", "classic", max_priority=5))),
        "priorities",
        ("note", "queue work", "no delivery limit", "upgrade to RabbitMQ 4.3"),
    ),
    "priorities left from before 4.3": (
        seen(observed=broker(queue("work", "classic", max_priority=5))),
        "priorities",
        ("note", "queue work", "on one node only", "amqptasks -A MODULE migrate work"),
    ),
    "few members": (
        seen(nodes=tuple(map(Node, "abc")), members=(Members("work", ("a", "b"), ("a", "b")),)),
        "members",
        ("wrong", "node c", "no replica of work", "rabbitmq-queues grow c all"),
    ),
    "most members down": (
        seen(nodes=tuple(map(Node, "abc")), members=(Members("work", ("a", "b", "c"), ("a",)),)),
        "members",
        ("wrong", "queues", "stand still: work", "cluster_status"),
    ),
    "a stream without an end": (
        seen(observed=broker(queue("log", "stream"))),
        "streams",
        ("wrong", "stream log", "fills the disk", """'^log$' '{"max-age": "7D"}'"""),
    ),
    "no dead-letter target": (
        seen(observed=broker(queue("work"))),
        "dead-letter-targets",
        ("note", "queue work", "is dropped", """work-dead '^work$' '{"dead-letter-exchange": "", """),
    ),
    "a dead-letter exchange that is gone": (
        seen(observed=broker(queue("work", **TO_DLX), exchanges=())),
        "dead-letter-targets",
        ("wrong", "queue work", "exchange dlx for its dead letters does not exist: its dead letters are lost", "bind"),
    ),
    "dead letters that must stay": (
        seen(observed=broker(queue("work", **TO_DLX, **SAFELY), exchanges=())),
        "dead-letter-targets",
        ("wrong", "queue work", "tried every 180 seconds", "bind a queue"),
    ),
    "a dead-letter exchange without a queue": (
        seen(observed=broker(queue("work", **TO_DLX))),
        "dead-letter-targets",
        ("wrong", "queue work", "nothing is bound to the exchange dlx", "bind a queue"),
    ),
    "a dead-letter key without a queue": (
        seen(observed=broker(queue("work", **TO_DLX), bindings=(Binding("dlx", "other", "other"),))),
        "dead-letter-targets",
        ("wrong", "queue work", "with its routing key letters", "bind a queue"),
    ),
    "a dead-letter queue that is gone": (
        seen(observed=broker(queue("work", dead_letter_exchange="", dead_letter_routing_key="letters"))),
        "dead-letter-targets",
        ("wrong", "queue work", "the queue letters for its dead letters does not exist", "bind"),
    ),
    "a full dead-letter queue": (
        seen(
            observed=broker(
                queue("work", dead_letter_exchange="", dead_letter_routing_key="letters"),
                queue("letters", messages=3, max_length=3, overflow="reject-publish"),
            )
        ),
        "dead-letter-targets",
        ("wrong", "queue work", "the queue letters that takes its dead letters is full", "dead list"),
    ),
    "dropped as the file says": (
        of_topology({"queues": {"work": {"dead_letter": False}}}, observed=broker(queue("work"))),
        "dead-letter-targets",
        ("note", "queue work", "is dropped", "remove `dead_letter: false`"),
    ),
    "at most once": (
        seen(observed=broker(queue("work", **TO_DLX), LETTERS, bindings=BOUND)),
        "dead-lettering",
        (
            "wrong",
            "queue work",
            "at most once (no strategy is set)",
            """'{"dead-letter-strategy": "at-least-once", "overflow": "reject-publish"}'""",
        ),
    ),
    "at most once by a policy": (
        seen(observed=broker(queue("work", **TO_DLX, **SAFELY), LETTERS, bindings=BOUND, policies=(DROP,))),
        "dead-lettering",
        ("wrong", "queue work", "its overflow is drop-head", "work-safe"),
    ),
    "a classic queue": (
        seen(observed=broker(queue("work", "classic", **TO_DLX), LETTERS, bindings=BOUND)),
        "dead-lettering",
        ("note", "queue work", "classic queue dead-letters at most once", "migrate"),
    ),
    "dead letters": (
        seen(observed=broker(queue("work.dead", messages=3))),
        "dead-letters",
        ("wrong", "queue work.dead", "3 dead letters wait", "amqptasks dead list work"),
    ),
    "dead letters of others": (
        of_topology({"queues": {"mine": None}}, observed=broker(queue("work.dead", messages=3))),
        "dead-letters",
        ("note", "queue work.dead", "3 dead letters wait", "amqptasks dead list work"),
    ),
    "more dead letters": (
        seen(observed=broker(queue("work.dead")), lengths={"work.dead": Length("work.dead", 0, 7, 600)}),
        "dead-letters",
        ("note", "queue work.dead", "grew by 7 within 10 minutes", "amqptasks dead list work --limit 10"),
    ),
    "lost delays": (
        seen(observed=broker(queue("amqptasks.delay.lost", messages=2))),
        "delays",
        ("wrong", "queue amqptasks.delay.lost", "2 delayed messages found no queue", "declare their queues"),
    ),
    "lost delays by AMQP": (
        seen(states={"amqptasks.delay.lost": QueueState(2, 0)}),
        "delays",
        ("wrong", "queue amqptasks.delay.lost", "2 delayed messages found no queue", "declare their queues"),
    ),
    "a rung that is stuck": (
        seen(
            observed=broker(queue("amqptasks.delay.03", dead_letter_exchange="amqptasks.delay.02")),
            lengths={"amqptasks.delay.03": Length("amqptasks.delay.03", 1)},
        ),
        "delays",
        ("wrong", "queue amqptasks.delay.03", "1 messages are due and cannot leave it", "amqptasks -A MODULE declare"),
    ),
    "a rung whose slots are taken": (
        seen(
            observed=broker(queue("amqptasks.delay.03", dead_letter_exchange="dlx")),
            lengths={"amqptasks.delay.03": Length("amqptasks.delay.03", 32)},
        ),
        "delays",
        ("wrong", "queue amqptasks.delay.03", "32 messages are due", "every 180 seconds"),
    ),
    "nobody consumes": (
        of_topology({"queues": {"work": None}}, states={"work": QueueState(2, 0)}),
        "consumers",
        ("wrong", "queue work", "no worker consumes it; 2 messages wait", "amqptasks -A shop worker -Q work"),
    ),
    "nobody consumes an empty queue": (
        seen(observed=broker(queue("work"))),
        "consumers",
        ("note", "queue work", "no worker consumes it", "amqptasks -A MODULE worker -Q work"),
    ),
    "tasks longer than the default": (
        of_topology({"queues": {"work": None}}, RELEASES["3.10"], time_limits=HOUR),
        "consumer-timeouts",
        (
            "wrong",
            "queue work",
            "shop.render may run for 1h, and the broker's consumer_timeout (its default",
            "consumer_timeout = 7200000 in rabbitmq.conf, then amqptasks doctor --consumer-timeout 2h",
        ),
    ),
    "tasks longer than rabbitmq.conf": (
        of_topology({"queues": {"work": None}}, RELEASES["4.0"], time_limits=HOUR, broker_timeout=60.0),
        "consumer-timeouts",
        (
            "wrong",
            "queue work",
            "the broker's consumer_timeout takes it back after 1m",
            '{"consumer-timeout": 7200000}',
        ),
    ),
    "tasks longer than the queue's": (
        of_topology(
            {"queues": {"work": {"consumer_timeout": "10m"}}},
            RELEASES["4.0"],
            time_limits=HOUR,
            observed=broker(queue("work", consumer_timeout=600_000)),
        ),
        "consumer-timeouts",
        (
            "wrong",
            "queue work",
            "the queue's consumer timeout takes it back after 10m",
            "consumer_timeout: 2h in the file, then amqptasks -A shop migrate work",
        ),
    ),
    "tasks longer than their consumers'": (
        of_topology({"queues": {"work": None}}, time_limits=HOUR, consumers={"work": Consumers(1, 1800.0)}),
        "consumer-timeouts",
        ("wrong", "queue work", "its consumers' timeout takes it back after 30m", '{"consumer-timeout": 7200000}'),
    ),
    "no heartbeat": (
        seen(connections=(Connection("here", "ann", 0, 1),)),
        "connections",
        (
            "note",
            "connections",
            "without heartbeat, so that a lost client keeps its messages for hours: here (user ann)",
            "heartbeat=60",
        ),
    ),
    "many channels": (
        seen(connections=(Connection("here", "ann", 60, 500),)),
        "connections",
        ("note", "connections", "up to 500 channels in one connection", "close channels after use"),
    ),
    "many connections": (
        seen(connections=(Connection("here", "ann", 60, 1),) * 1000),
        "connections",
        ("note", "connections", "1000 connections in this virtual host", "one connection a process"),
    ),
    "few connections left": (
        seen(connections=(Connection("here", "ann", 60, 1),) * 4, most_connections=5),
        "connections",
        (
            "wrong",
            "vhost shop",
            "4 of 5 connections are taken",
            """rabbitmqctl set_vhost_limits -p shop '{"max-connections": 10}'""",
        ),
    ),
}

#: What was read, and the check that has nothing to say of it.
NOTHING: dict[str, tuple[Seen, str]] = {
    "the newest release": (seen(), "version"),
    "no alarm": (seen(), "alarms"),
    "a node at ease": (seen(nodes=(Node("a@b", True, 1, 10, 100, 10, 1, 10),)), "nodes"),
    "a node whose alarm is told already": (
        seen(alarms=(Alarm("a@b", "memory"), Alarm("a@b", "disk")), nodes=(Node("a@b", True, 11, 10, 1, 10),)),
        "nodes",
    ),
    "experimental flags": (seen(flags_off=(Flag("khepri_db", False),)), "feature-flags"),
    "clocks as exact as can be told": (seen(clock=Clock(2.9, 1.0)), "clock"),
    "clocks not compared": (seen(), "clock"),
    "policies that say the same": (
        seen(observed=broker(queue("work", **SAFELY), policies=(Policy("p", ".*", {"overflow": "reject-publish"}),))),
        "policies",
    ),
    "policies for what no argument says": (
        seen(observed=broker(queue("work"), policies=(Policy("p", ".*", {"max-length": 5}),))),
        "policies",
    ),
    "priorities of a queue that is to be classic": (
        of_topology(
            {"queues": {"work": {"type": "classic", "max_priority": 5}}},
            observed=broker(queue("work", "classic", max_priority=5)),
        ),
        "priorities",
    ),
    "one member on one node": (seen(nodes=(Node("a"),), members=(Members("work", ("a",), ("a",)),)), "members"),
    "three members of five nodes": (
        seen(nodes=tuple(map(Node, "abcde")), members=(Members("work", tuple("abc"), tuple("abc")),)),
        "members",
    ),
    "a stream with an age": (seen(observed=broker(queue("log", "stream", max_age="7D"))), "streams"),
    "a stream with an age by policy": (
        seen(observed=broker(queue("log", "stream"), policies=(Policy("p", "log", {"max-age": "7D"}),))),
        "streams",
    ),
    "a good target": (seen(observed=GOOD), "dead-letter-targets"),
    "an alternate exchange": (
        seen(
            observed=Observed(
                "shop",
                NEW,
                exchanges={"dlx": Exchange("dlx", arguments={"alternate-exchange": "other"})},
                queues={"work": queue("work", **TO_DLX)},
            )
        ),
        "dead-letter-targets",
    ),
    "at least once": (seen(observed=GOOD), "dead-lettering"),
    "no dead letters": (seen(observed=broker(queue("work.dead"))), "dead-letters"),
    "messages under way on a rung": (
        seen(
            observed=broker(queue("amqptasks.delay.03", dead_letter_exchange="dlx")),
            lengths={"amqptasks.delay.03": Length("amqptasks.delay.03", 5)},
        ),
        "delays",
    ),
    "a queue that is consumed": (seen(observed=broker(queue("work")), consumers={"work": Consumers(1)}), "consumers"),
    "queues that nobody is to consume": (
        seen(
            observed=broker(
                queue("work.dead"),
                queue("log", "stream"),
                queue("amqptasks.delay.01"),
                queue("later", message_ttl=5, dead_letter_exchange="dlx"),
            )
        ),
        "consumers",
    ),
    "consumers that could not be counted": (
        seen(observed=broker(queue("work")), unread={"consumers": Unread("401", True)}),
        "consumers",
    ),
    "short tasks": (
        of_topology({"queues": {"work": None}}, time_limits={"work": TimeLimit("a.b", 60.0)}),
        "consumer-timeouts",
    ),
    "classic queues of 4.3": (
        of_topology({"queues": {"work": {"type": "classic"}}}, time_limits=HOUR),
        "consumer-timeouts",
    ),
    "a queue with time enough": (
        of_topology({"queues": {"work": {"consumer_timeout": "2h"}}}, time_limits=HOUR),
        "consumer-timeouts",
    ),
    "a broker with time enough": (
        of_topology({"queues": {"work": None}}, RELEASES["3.10"], time_limits=HOUR, broker_timeout=7200.0),
        "consumer-timeouts",
    ),
    "connections with heartbeats": (seen(connections=(Connection("here", "ann", 60, 3),)), "connections"),
}


@pytest.mark.parametrize("name", FINDINGS)
def test_what_is_wrong_is_told_with_what_mends_it(name: str) -> None:
    read, check, (level, subject, problem, mend) = FINDINGS[name]
    found = list(BY_NAME[check].look(read))
    assert len(found) == 1, found
    assert (found[0].level, found[0].subject) == (level, subject)
    assert problem in found[0].problem
    assert mend in found[0].mend


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
    read = Seen(
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


def test_a_mending_policy_keeps_what_the_one_that_counts_says() -> None:
    policy = Policy("all", ".*", {"max-length": 9}, "queues", 4)
    read = seen(observed=broker(queue("a.b", **TO_DLX), LETTERS, bindings=BOUND, policies=(policy,)))
    line = shlex.split(next(BY_NAME["dead-lettering"].look(read)).mend)
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
                    queue("two words", dead_letter_exchange="", dead_letter_routing_key="full"),
                    queue("full", messages=1, max_length=1, overflow="reject-publish"),
                )
            ),
        ),
    ],
)
def test_a_mending_line_takes_names_as_a_shell_needs_them(check: str, read: Seen) -> None:
    line = next(BY_NAME[check].look(read)).mend
    assert shlex.split(line)[:4] == ["amqptasks", "dead", "list", "two words"]


def test_checks_can_be_chosen_and_keep_their_order() -> None:
    def names(checks: tuple[Check, ...]) -> list[str]:
        return [check.name for check in checks]

    assert names(chosen(["nodes", "alarms"])) == ["alarms", "nodes"]
    assert "clock" not in names(chosen(without=["clock"]))
    assert len(chosen(without=["clock"])) == len(CHECKS) - 1
