"""What the lints say: one small topology for each rule, and nothing about a good one."""

from __future__ import annotations

from pathlib import Path

import pytest

from amqptasks.topology.advice.advice import Advice
from amqptasks.topology.advice.lints import LINTS, advise
from amqptasks.topology.read.document import path
from amqptasks.topology.read.loader import from_mapping, load
from amqptasks.topology.read.source_map import places
from amqptasks.transport.capabilities import Capabilities
from tests.harness.worker_process import REPOSITORY

NEW, OLD = "4.3", "3.10"
VERSIONS = {NEW: (4, 3, 0), "4.0": (4, 0, 0), OLD: (3, 10, 0)}

#: A queue that is all right, so that a topology has one.
Q = {"q": None, "default": None}
TOPIC = {"t": {"type": "topic"}}
TO_Q = {"*": {"queue": "q"}}

#: rule: release, sections of the file, path of the advice.
CORPUS: dict[str, tuple[str, dict, str]] = {
    "exchange-leads-nowhere": (NEW, {"exchanges": TOPIC, "queues": Q, "routes": TO_Q}, "exchanges.t"),
    "exchange-not-filled": (
        NEW,
        {"exchanges": TOPIC, "queues": {"default": {"bindings": [{"exchange": "t", "routing_key": "a"}]}}},
        "exchanges.t",
    ),
    "alternate-circle": (
        NEW,
        {
            "exchanges": {"a": {"alternate_exchange": "b"}, "b": {"alternate_exchange": "a"}},
            "queues": Q,
            "routes": TO_Q,
        },
        "exchanges.a.alternate_exchange",
    ),
    "exchange-not-durable": (
        NEW,
        {"exchanges": {"t": {"durable": False, "alternate_exchange": "amq.fanout"}}, "queues": Q},
        "exchanges.t.durable",
    ),
    "exchange-auto-delete": (
        NEW,
        {"exchanges": {"t": {"auto_delete": True, "alternate_exchange": "amq.fanout"}}, "queues": Q},
        "exchanges.t.auto_delete",
    ),
    "queue-by-name-only": (NEW, {"queues": Q}, "queues.q"),
    "stream-not-filled": (NEW, {"queues": {"s": {"type": "stream", "max_length_bytes": 5}}}, "queues.s"),
    "queue-not-routed": (
        NEW,
        {
            "exchanges": TOPIC,
            "queues": {
                "q": {"bindings": [{"exchange": "t", "routing_key": "a"}]},
                "lost": {"bindings": [{"exchange": "t", "routing_key": "b"}]},
            },
            "routes": {"x": {"exchange": "t", "routing_key": "a"}},
        },
        "queues.lost.bindings",
    ),
    "priority-makes-classic": (OLD, {"queues": {"default": {"max_priority": 5}}}, "queues.default.max_priority"),
    "dead-letters-at-most-once": (NEW, {"queues": {"default": {"type": "classic"}}}, "queues.default.type"),
    "drops-what-fails": (NEW, {"queues": {"default": {"dead_letter": False}}}, "queues.default.dead_letter"),
    "no-delivery-limit": (
        NEW,
        {"queues": {"default": {"type": "classic", "single_active_consumer": True}}},
        "queues.default.type",
    ),
    "consumer-timeout-ignored": (
        OLD,
        {"queues": {"default": {"consumer_timeout": "1h"}}},
        "queues.default.consumer_timeout",
    ),
    "ttl-outlives-queue": (
        NEW,
        {"queues": {"default": {"message_ttl": "1h", "expires": "1s"}}},
        "queues.default.expires",
    ),
    "queue-expires": (
        NEW,
        {"queues": {"default": {"expires": "1s"}}},
        "queues.default.expires",
    ),
    "stream-without-end": (
        NEW,
        {"queues": {"s": {"type": "stream", "bindings": [{"exchange": "amq.fanout"}]}}},
        "queues.s",
    ),
    "retry-outlives-ttl": (
        NEW,
        {"queues": {"default": {"message_ttl": "1m", "retry": {"delays": ["5m"]}}}},
        "queues.default.message_ttl",
    ),
    "dead-letter-circle": (
        NEW,
        {
            "queues": {"default": None},
            "policies": {
                "back": {
                    "pattern": r"\.dead$",
                    "definition": {
                        "dead_letter_exchange": "amqptasks.queues",
                        "dead_letter_routing_key": "default",
                    },
                }
            },
        },
        "queues.default",
    ),
    "wildcard-in-word": (
        NEW,
        {"queues": {"default": {"bindings": [{"exchange": "amq.topic", "routing_key": "email*"}]}}},
        "queues.default.bindings[0]",
    ),
    "wildcard-of-direct": (
        NEW,
        {"queues": {"default": {"bindings": [{"exchange": "amq.direct", "routing_key": "email.*"}]}}},
        "queues.default.bindings[0]",
    ),
    "key-not-compared": (
        NEW,
        {"queues": {"default": {"bindings": [{"exchange": "amq.fanout", "routing_key": "k"}]}}},
        "queues.default.bindings[0]",
    ),
    "headers-passed-over": (
        NEW,
        {"queues": {"default": {"bindings": [{"exchange": "amq.headers", "arguments": {"x-late": True}}]}}},
        "queues.default.bindings[0]",
    ),
    "headers-of-nothing": (
        NEW,
        {"queues": {"default": {"bindings": [{"exchange": "amq.headers", "arguments": {"x-match": "any"}}]}}},
        "queues.default.bindings[0]",
    ),
    "binding-twice": (
        NEW,
        {"queues": {"default": {"bindings": [{"exchange": "amq.topic", "routing_key": "a"}] * 2}}},
        "queues.default.bindings[1]",
    ),
    "binding-within": (
        NEW,
        {
            "queues": {
                "default": {
                    "bindings": [
                        {"exchange": "amq.topic", "routing_key": "a.#"},
                        {"exchange": "amq.topic", "routing_key": "a.*"},
                    ]
                }
            }
        },
        "queues.default.bindings[1]",
    ),
    "route-never-used": (
        NEW,
        {"queues": Q, "routes": {"shop.*": {"queue": "q"}, "shop.email.*": {"queue": "default"}}},
        'routes."shop.email.*"',
    ),
    "route-by-name": (
        NEW,
        {
            "exchanges": TOPIC,
            "queues": {"default": {"bindings": [{"exchange": "t", "routing_key": "a"}]}},
            "routes": {"a*": {"exchange": "t"}},
        },
        'routes."a*"',
    ),
    "priority-ignored": (
        OLD,
        {"queues": Q, "routes": {"a": {"queue": "q", "priority": 3}}},
        "routes.a.priority",
    ),
    "priority-capped": (
        NEW,
        {"queues": Q, "routes": {"a": {"queue": "q", "priority": 40}}},
        "routes.a.priority",
    ),
    "policy-undercuts": (
        NEW,
        {
            "queues": {"default": {"message_ttl": "1h"}},
            "policies": {"short": {"pattern": "^default$", "definition": {"message_ttl": "1s"}}},
        },
        "policies.short",
    ),
    "policy-fits-nothing": (
        NEW,
        {"queues": Q, "policies": {"none": {"pattern": "^nobody$", "definition": {"max_length": 5}}}},
        "policies.none",
    ),
    "names-by-case": (NEW, {"queues": {"mail": None, "Mail": None}}, "queues.Mail"),
    "name-with-space": (NEW, {"queues": {"mail ": None}}, 'queues."mail "'),
}


def advice(release: str, sections: dict) -> list[Advice]:
    return advise(from_mapping({"version": 1, **sections}), Capabilities(version=VERSIONS[release]))


@pytest.mark.parametrize("rule", CORPUS)
def test_a_rule_finds_its_mistake_and_says_where(rule: str) -> None:
    release, sections, where = CORPUS[rule]
    found = [one for one in advice(release, sections) if one.rule == rule]
    assert where in [path(one.where) for one in found]
    assert all(one.problem and one.fix for one in found)


def test_every_lint_has_a_mistake_that_it_finds() -> None:
    found = {one.rule for release, sections, _ in CORPUS.values() for one in advice(release, sections)}
    assert found == set(CORPUS)
    assert len(LINTS) <= len(CORPUS)


def test_a_delayed_exchange_compares_keys_where_the_type_behind_it_does() -> None:
    for behind, rules in (("topic", {"route-by-name"}), ("fanout", set())):
        sections = {
            "exchanges": {"t": {"type": "x-delayed-message", "delayed_type": behind}},
            "queues": {"default": {"bindings": [{"exchange": "t", "routing_key": "a"}]}},
            "routes": {"a*": {"exchange": "t"}},
        }
        assert {one.rule for one in advice(NEW, sections)} == rules


@pytest.mark.parametrize("file", sorted((REPOSITORY / "topology").glob("*.yaml")), ids=lambda file: file.name)
def test_the_ready_topologies_are_without_a_warning(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = advise(load(file, environment={}), Capabilities())
    assert [one for one in found if one.severity == "warning"] == []


@pytest.mark.parametrize(
    ("rule", "release", "sections"),
    [
        ("consumer-timeout-ignored", NEW, {"queues": {"default": {"consumer_timeout": "1h"}}}),
        ("priority-ignored", "4.0", {"queues": Q, "routes": {"a": {"queue": "q", "priority": 3}}}),
        ("priority-makes-classic", NEW, {"queues": {"default": {"max_priority": 5}}}),
        ("route-never-used", NEW, {"queues": Q, "routes": {"a.*.c": {"queue": "q"}, "a.*": {"queue": "q"}}}),
        ("route-never-used", NEW, {"queues": Q, "routes": {"a?": {"queue": "q"}, "a*": {"queue": "q"}}}),
        ("headers-passed-over", NEW, {"queues": {"default": {"bindings": [
            {"exchange": "amq.headers", "arguments": {"x-match": "any-with-x", "x-late": True}}]}}}),
        ("binding-within", NEW, {"queues": {"default": {"bindings": [
            {"exchange": "amq.topic", "routing_key": "a.*"}, {"exchange": "amq.topic", "routing_key": "*.b"}]}}}),
        *(("route-by-name", NEW, {
            "exchanges": {"t": {"type": kind}},
            "queues": {"default": {"type": "classic", "bindings": [{"exchange": "t", "routing_key": key}]}},
            "routes": {"a*": {"exchange": "t"}}})
            for kind, key in (("x-consistent-hash", "1"), ("x-local-random", ""), ("x-random", "1"),
                              ("x-modulus-hash", "1"), ("x-recent-history", "1"))),
        ("policy-undercuts", NEW, {
            "queues": {"default": {"message_ttl": "1h"}},
            "policies": {
                "short": {"pattern": "d", "priority": 1, "definition": {"message_ttl": "1s"}},
                "wins": {"pattern": "d", "priority": 2, "definition": {"max_length": 5}},
            }}),
    ],
)  # fmt: skip
def test_a_rule_says_nothing_where_nothing_is_wrong(rule: str, release: str, sections: dict) -> None:
    assert rule not in [one.rule for one in advice(release, sections) if one.where[:2] != ("queues", "q")]


def test_a_place_is_that_of_the_nearest_thing_that_has_a_line(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("version: 1\nqueues:\n  one:\n")
    second.write_text("version: 1\nqueues:\n  two: {max_length: 5}\n")
    found = places([first, second])
    assert found.of(("queues", "one", "type")) == f"{first}:3"
    assert found.of(("queues", "two", "max_length")) == f"{second}:3"
    assert found.of(("routes", "x")) is None
