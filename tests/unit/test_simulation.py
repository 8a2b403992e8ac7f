"""What becomes of a simulated task: the worker's own steps, on a clock that jumps."""

from __future__ import annotations

import time

import pytest

from amqptasks.dev.simulation.hop import Hop
from amqptasks.dev.simulation.script import Script
from amqptasks.dev.simulation.simulation import simulate
from amqptasks.errors import NoRoute
from amqptasks.topology.read.loader import from_mapping, load
from amqptasks.topology.topology import Topology
from tests.harness.worker_process import REPOSITORY

SHOP = load(REPOSITORY / "topology" / "shop.yaml")


def topology(**queue: object) -> Topology:
    return from_mapping({"version": 1, "queues": {"default": queue}})


def whats(hops: list[Hop]) -> list[tuple[str, str]]:
    return [(hop.what, hop.place) for hop in hops]


def at(hops: list[Hop], what: str) -> list[float]:
    return [hop.at for hop in hops if hop.what == what]


def test_a_task_that_succeeds_is_run_once_and_done_with() -> None:
    assert whats(simulate(SHOP, "shop.email.reset")) == [
        ("published", "tasks"),
        ("queued", "emails"),
        ("run", "emails"),
        ("rests", "nowhere"),
    ]


def test_retries_come_when_they_are_due_and_take_no_time() -> None:
    before = time.monotonic()
    hops = simulate(topology(retry={"delays": ["5s", "5m"]}), "t", script=Script(fail=2))
    assert time.monotonic() - before < 5
    first, second, third = at(hops, "run")
    assert first == 0
    assert 5 <= second < 5.04
    assert 305 <= third < 305.5
    assert whats(hops)[-1] == ("rests", "nowhere")


def test_what_fails_too_often_is_dead_lettered_by_the_worker() -> None:
    hops = simulate(topology(retry={"delays": ["1s"]}, dead_letter={"ttl": "14d"}), "t", script=Script(fail=2))
    assert whats(hops)[-2:] == [("dead-lettered", "default.dead"), ("rests", "default.dead")]
    assert "by the worker: failed" in hops[-2].detail
    assert "14d" in hops[-1].detail


def test_a_message_that_kills_its_workers_is_given_up_by_one_before_it_runs() -> None:
    hops = simulate(topology(delivery_limit=3), "t", script=Script(kill=99))
    assert [hop.detail.split(":")[0] for hop in hops if hop.what == "run"] == [f"delivery {n}" for n in (1, 2, 3, 4)]
    assert whats(hops)[-1] == ("rests", "default.dead")
    assert "too-many-deliveries" in hops[-2].detail


def test_a_message_that_nobody_takes_expires_into_the_dead_letter_queue() -> None:
    hops = simulate(topology(message_ttl="1h"), "t", script=Script(expire=True))
    assert whats(hops)[1:] == [("queued", "default"), ("dead-lettered", "default.dead"), ("rests", "default.dead")]
    assert 3600 <= hops[2].at < 3600.1
    assert hops[2].detail == "default: expired"


def test_a_message_that_may_wait_for_ever_rests_in_its_queue() -> None:
    assert whats(simulate(topology(), "t", script=Script(expire=True)))[-1] == ("rests", "default")


def test_every_queue_of_a_fanout_has_a_copy_with_a_story_of_its_own() -> None:
    hops = simulate(SHOP, "shop.order.placed", script=Script(fail=1))
    assert {place for what, place in whats(hops) if what == "dead-lettered"} == {"stock.dead", "audit.dead"}


def test_a_countdown_waits_on_the_ladder_first() -> None:
    hops = simulate(topology(), "t", countdown=600)
    assert [what for what, _ in whats(hops)] == ["published", "waits", "queued", "run", "rests"]
    assert 600 <= hops[2].at < 600.5


def test_the_tasks_own_retries_come_before_the_queues() -> None:
    options = {"autoretry_for": (ConnectionError,), "max_retries": 1, "retry_backoff": 7, "retry_jitter": False}
    hops = simulate(topology(retry={"delays": ["5s"]}), "t", script=Script(fail=9), options=options)
    assert len(at(hops, "run")) == 2
    assert 7 <= at(hops, "run")[1] < 7.05


def test_a_task_that_retries_for_ever_is_told_for_a_while() -> None:
    options = {"autoretry_for": (Exception,), "max_retries": None, "default_retry_delay": 1}
    hops = simulate(topology(), "t", script=Script(fail=10**9), options=options)
    assert 100 < len(hops) < 600
    assert any("goes on like this" in hop.detail for hop in hops)


def test_what_reaches_no_queue_comes_back_to_the_caller() -> None:
    mapping = {"version": 1, "exchanges": {"h": {"type": "headers"}}, "routes": {"t": {"exchange": "h"}}}
    queue = {"bindings": [{"exchange": "h", "arguments": {"format": "pdf"}}]}
    hops = simulate(from_mapping({**mapping, "queues": {"q": queue}}), "t")
    assert [what for what, _ in whats(hops)] == ["published", "returned", "rests"]


def test_a_task_that_no_route_takes_is_an_error() -> None:
    with pytest.raises(NoRoute):
        simulate(from_mapping({"version": 1, "queues": {"q": None}}), "t")


def test_a_stream_keeps_its_copy() -> None:
    mapping = {
        "version": 1,
        "exchanges": {"f": {"type": "fanout"}},
        "queues": {
            "log": {"type": "stream", "bindings": [{"exchange": "f"}]},
            "q": {"bindings": [{"exchange": "f"}]},
        },
        "routes": {"t": {"exchange": "f"}},
    }
    hops = simulate(from_mapping(mapping), "t")
    assert ("rests", "log") in whats(hops)
    assert ("run", "q") in whats(hops)
