"""What the file says and what it becomes, release by release, in words."""

from __future__ import annotations

import pytest

from amqptasks.topology.expand.decisions import Decision, decisions
from amqptasks.topology.read.loader import from_mapping
from amqptasks.transport.capabilities import Capabilities

OLD, NEW = Capabilities(version=(3, 10, 8)), Capabilities(version=(4, 3, 6))


def _of(what: str, capabilities: Capabilities, **settings: object) -> Decision:
    found = decisions(from_mapping({"version": 1, "queues": {"q": settings}}), capabilities)
    return next(decision for decision in found if decision.what.startswith(what))


@pytest.mark.parametrize(
    ("what", "settings", "old", "new"),
    [
        ("max_priority: 9", {"max_priority": 9}, "a classic queue with x-max-priority", "no argument"),
        ("max_priority: 9", {"max_priority": 9, "type": "classic"}, "x-max-priority", "x-max-priority"),
        (
            "retry: 5s, 30s",
            {"retry": {"delays": ["5s", "30s"]}},
            "the ladder of delay queues",
            "the ladder of delay queues",
        ),
        (
            "retry: 1s, doubling, up to 10m",
            {"retry": {"backoff": "exponential"}},
            "the ladder of delay queues",
            "the ladder of delay queues",
        ),
        ("retry: 5s, queues", {"retry": {"delays": ["5s"], "queues": True}}, "q.retry.5s", "q.retry.5s"),
        (
            "retry: native, 1s to 10s",
            {"retry": {"native": True, "max": "10s"}},
            "the ladder of delay queues, with the same delays",
            "x-delayed-retry-type: failed",
        ),
        ("dead_letter", {}, "at least once, into q.dead", "at least once, into q.dead"),
        ("dead_letter", {"max_priority": 9}, "at most once, into q.dead", "at least once, into q.dead"),
        (
            "dead_letter",
            {"max_length": 9, "overflow": "drop-head"},
            "at most once, into q.dead",
            "at most once, into q.dead",
        ),
        ("dead_letter", {"dead_letter": False}, "dropped", "dropped"),
        (
            "max_length",
            {"max_length": 9},
            "refuses when full; delayed tasks wait before it",
            "refuses when full; delayed tasks wait before it",
        ),
        (
            "max_length",
            {"max_length": 9, "overflow": "drop-head"},
            "drops the oldest task when full",
            "drops the oldest task when full",
        ),
    ],
)
def test_each_becomes_what_the_release_can_do(what: str, settings: dict[str, object], old: str, new: str):
    assert _of(what, OLD, **settings).became == old
    assert _of(what, NEW, **settings).became == new


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"consumer_timeout": "1h"}, "consumer_timeout"),
        ({"target_group_size": 5}, "target_group_size"),
        ({"consumer_disconnected_timeout": "1m"}, "consumer_disconnected_timeout"),
        ({"type": "stream", "filter_size": 16}, "filter_size"),
    ],
)
def test_what_an_old_release_passes_over_is_said(settings: dict[str, object], what: str):
    assert _of(what, OLD, **settings).became == "nothing on RabbitMQ 3.10"
    with pytest.raises(StopIteration):
        _of(what, NEW, **settings)


def test_the_reason_tells_what_a_full_target_means_and_what_priorities_cost():
    assert "180 seconds" in _of("dead_letter", NEW, dead_letter={"max_length": 5}).why
    assert "a full or missing q.dead" in _of("dead_letter", NEW, dead_letter={"max_length": 5}).why
    assert "at most once" in _of("max_priority", OLD, max_priority=5).why
    assert "4.3" in _of("retry", OLD, retry={"native": True}).why


def test_a_shared_dead_letter_queue_drops_nothing_and_is_not_said_to():
    topology = from_mapping({"version": 1, "queues": {"a": {"dead_letter": {"queue": "rest"}}, "rest": None}})
    assert [(one.queue, one.became) for one in decisions(topology, NEW)] == [("a", "at least once, into rest")]


def test_of_an_exact_queue_and_of_a_stream_there_is_nothing_to_say():
    topology = from_mapping({"version": 1, "queues": {"a": {"exact": True}, "log": {"type": "stream"}}})
    assert decisions(topology, OLD) == ()
