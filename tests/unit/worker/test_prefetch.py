"""Prefetch: how many messages a worker holds follows the measured time of its tasks."""

from __future__ import annotations

import uuid
from contextlib import closing

import pytest

from amqptasks import App
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.worker.consume.prefetch import CAUTIOUS_FOR, FIRST, MOST, Prefetch
from amqptasks.worker.consume.prefetching import ENOUGH, Moving
from amqptasks.worker.job.job import Job
from tests.harness.wait import wait_for
from tests.unit.worker.jobs import delivery, job


def ended(name: str, runtime: float) -> Job:
    one = job(delivery(name), decoded=False)
    one.runtime = runtime
    return one


def looks(prefetch: Prefetch, name: str, runtime: float, times: int = 3, held: int | None = None) -> int:
    """After so many looks with full hands, each after 20 tasks of this runtime."""
    for _ in range(times):
        for _ in range(20):
            prefetch.ended(ended(name, runtime))
        prefetch.look(0.0, prefetch.size if held is None else held, 0.0)
    return prefetch.size


def test_a_prefetch_begins_at_twice_the_concurrency() -> None:
    assert Prefetch(1).size == 2
    assert Prefetch(8).size == 16


def test_the_prefetch_of_short_tasks_is_what_runs_in_100_ms_but_at_most_1000() -> None:
    assert looks(Prefetch(2), "shop.noop", 0.00002) == MOST
    assert 150 <= looks(Prefetch(2), "shop.short", 0.001) <= 200
    assert looks(Prefetch(2), "shop.medium", 0.02) in range(8, 11)


@pytest.mark.parametrize("name", ["shop.noop", 5, "x" * 300])
def test_a_message_that_is_costly_to_read_counts_though_its_task_never_ran(name: object) -> None:
    prefetch = Prefetch(2)
    for _ in range(3):
        for _ in range(20):
            one = job(delivery(headers={"task": name}), decoded=False)
            one.took = 0.01
            prefetch.ended(one)
        prefetch.look(0.0, prefetch.size, 0.0)
    assert prefetch.size in range(15, 21)


@pytest.mark.parametrize("size", [100_000, 1_000_000, 16_000_000])
def test_no_more_is_held_of_large_messages_than_ten_megabytes_or_twice_the_concurrency(size: int) -> None:
    prefetch = Prefetch(2)
    for _ in range(3):
        prefetch.ended(job(delivery(body=bytes(size)), decoded=False))
        prefetch.look(0.0, prefetch.size, 0.0)
    assert prefetch.size >= 4
    assert prefetch.size * size <= max(10_000_000, 4 * size)


def test_the_prefetch_of_long_tasks_is_twice_the_concurrency_at_once() -> None:
    prefetch = Prefetch(4)
    assert looks(prefetch, "shop.noop", 0.00002) == MOST
    assert looks(prefetch, "shop.long", 1.0, times=1) == 8


def test_the_prefetch_shrinks_as_soon_as_a_task_runs_longer_than_what_is_held() -> None:
    prefetch = Prefetch(4)
    looks(prefetch, "shop.noop", 0.00002)
    assert prefetch.look(0.0, 900, 0.35) < 20  # it has not ended, and nothing else has


def test_a_short_task_that_a_busy_machine_held_up_does_not_change_the_prefetch() -> None:
    prefetch = Prefetch(2)
    looks(prefetch, "shop.noop", 0.00002)
    assert looks(prefetch, "shop.noop", 0.05, times=1) == MOST
    assert looks(prefetch, "shop.noop", 0.00002, times=10) == MOST


def test_the_prefetch_grows_only_once_the_consumer_before_is_done() -> None:
    prefetch = Prefetch(2)
    looks(prefetch, "shop.noop", 0.00002)
    looks(prefetch, "shop.long", 1.0, times=1)
    assert prefetch.size == 4
    assert looks(prefetch, "shop.noop", 0.00002, times=20, held=900) == 4, "the old consumer still holds 900"
    assert looks(prefetch, "shop.noop", 0.00002, times=20) == MOST


def test_the_prefetch_of_an_idle_worker_goes_back_to_twice_the_concurrency() -> None:
    prefetch = Prefetch(4)
    looks(prefetch, "shop.noop", 0.00002)
    for _ in range(4):
        prefetch.look(0.0, 0, 0.0)
    assert prefetch.size == 8


def test_the_prefetch_of_a_worker_that_is_not_busy_follows_what_it_holds() -> None:
    prefetch = Prefetch(2)
    looks(prefetch, "shop.noop", 0.00002)
    size = looks(prefetch, "shop.noop", 0.00002, times=10, held=60)
    assert size == 120


def test_after_a_crash_the_prefetch_is_the_concurrency_for_a_while() -> None:
    prefetch = Prefetch(4)
    looks(prefetch, "shop.noop", 0.00002)
    prefetch.came_back(10.0)
    assert prefetch.look(10.1, 500, 0.0) == 4
    prefetch.came_back(12.0)
    assert prefetch.look(10.0 + CAUTIOUS_FOR, 4, 0.0) == 4
    assert prefetch.look(12.1 + CAUTIOUS_FOR, 4, 0.0) > 4


def test_with_priorities_no_long_task_is_prefetched_behind_others() -> None:
    prefetch = Prefetch(4, priorities=True)
    assert looks(prefetch, "shop.long", 1.0) == 4
    assert looks(prefetch, "shop.short", 0.001) > 8


def test_a_prefetch_remembers_a_bounded_number_of_task_names() -> None:
    prefetch = Prefetch(4)
    for number in range(3000):
        prefetch.ended(ended(f"shop.task{number}", 0.5))
    prefetch.look(0.0, 8, 0.0)
    assert len(prefetch._means) <= 1000
    assert prefetch.cost("shop.task1", 0.0) >= 0.5
    assert prefetch.cost("shop.unknown", 2.0) >= 2.0


@pytest.mark.parametrize("name", [[], [None], {"count": 1}, 5, True, None, b"\xff", "x" * 1000], ids=repr)
def test_a_worker_settles_at_once_a_message_whose_task_header_is_no_name(name: object) -> None:
    """A list cannot be looked up in a mapping: it must not be taken for a name, where runtimes are kept by name."""
    with closing(App("shop", f"memory://{uuid.uuid4().hex}")) as app:
        ran = app.task(name="note")(lambda: "ran")
        app.declare()
        properties = Properties("application/json", "utf-8", {"task": name, "id": "1"})
        app.caller.publisher.publish(Outgoing("amqptasks.queues", "default", b"[[], {}, {}]", properties), 10)
        result = ran.delay()
        with app.worker(["default"], concurrency=1) as node:
            assert result.get(10) == "ran"
            wait_for(lambda: node.counts == {"Reject": 1, "Success": 1}, 5, lambda: f"one each: {node.counts}")
        with app.session() as session:
            assert len(list(session.take("default.dead", 2))) == 1


@pytest.mark.parametrize(("each", "most"), [(0.0001, 500), (0.0005, 100), (0.002, 25), (0.1, 4)])
def test_no_more_is_held_than_the_thread_that_moves_all_messages_does_in_50_ms(each: float, most: int) -> None:
    prefetch = Prefetch(2)
    for _ in range(3):
        for _ in range(20):
            prefetch.ended(ended("shop.noop", 0.00002))
        prefetch.look(0.0, prefetch.size, 0.0, each)
    assert prefetch.size == most


def test_little_is_held_until_it_is_known_what_a_message_costs_that_thread() -> None:
    prefetch = Prefetch(2)
    for _ in range(20):
        prefetch.ended(ended("shop.noop", 0.00002))
    assert prefetch.look(0.0, prefetch.size, 0.0, 0.0) == FIRST


def test_what_a_message_costs_is_told_by_looks_that_saw_enough_of_them() -> None:
    moving = Moving()
    assert moving.look(1.0, ENOUGH - 1) == 0.0
    assert moving.look(1.1, ENOUGH - 1 + 100) == pytest.approx(0.001)
    assert moving.look(2.0, ENOUGH + 100) == pytest.approx(0.001), "the thread had other work"
    assert moving.look(2.0 + 0.3, ENOUGH + 200) == pytest.approx(0.002)
