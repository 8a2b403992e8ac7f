"""The pools: each job comes back once, whatever its task does; what was not begun can be taken back."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from amqptasks.errors import ConfigurationError
from amqptasks.tasks.outcomes import HAND_BACK, Failure, Success
from amqptasks.worker.job.job import Job
from amqptasks.worker.pools.asynchronous import AsyncPool
from amqptasks.worker.pools.choice import kind_named
from amqptasks.worker.pools.solo import SoloPool
from amqptasks.worker.pools.threads import ThreadPool
from tests.harness.wait import wait_for
from tests.unit.worker.jobs import delivery, job, steps


def jobs(name: str, count: int) -> list[Job]:
    return [job(delivery(f"shop.{name}", number, tag=number + 1), decoded=False) for number in range(count)]


class Tasks:
    """Tasks that wait until they are let go, and what came back."""

    def __init__(self) -> None:
        self.barrier = threading.Event()
        self.begun: list[int] = []
        self.back: list[Job] = []
        self.most = self.now = 0
        self._lock = threading.Lock()

    def hold(self, number: int) -> int:
        with self._lock:
            self.begun.append(number)
            self.now += 1
            self.most = max(self.most, self.now)
        assert self.barrier.wait(10)
        with self._lock:
            self.now -= 1
        return number

    async def ahold(self, number: int) -> int:
        self.begun.append(number)
        self.now += 1
        self.most = max(self.most, self.now)
        while not self.barrier.is_set():
            await asyncio.sleep(0.01)
        self.now -= 1
        return number

    def quick(self, number: int) -> int:
        return number

    async def aquick(self, number: int) -> int:
        return number

    def leave(self, number: int) -> None:
        raise SystemExit(number)

    async def aleave(self, number: int) -> None:
        raise SystemExit(number)

    async def acancel(self, number: int) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(10)

    async def acancelled_inside(self, number: int) -> None:
        inner = asyncio.ensure_future(asyncio.sleep(10))
        asyncio.get_running_loop().call_soon(inner.cancel)
        await inner

    def steps(self) -> Any:
        names = ("hold", "ahold", "quick", "aquick", "leave", "aleave", "acancel", "acancelled_inside")
        return steps(*(getattr(self, name) for name in names), typing=False)

    def wait_back(self, count: int) -> list[Any]:
        wait_for(lambda: len(self.back) >= count, 10, lambda: f"{len(self.back)} of {count} are back")
        return [one.outcome for one in self.back]


@pytest.fixture
def tasks() -> Iterator[Tasks]:
    made = Tasks()
    yield made
    made.barrier.set()


@pytest.fixture
def threads(tasks: Tasks) -> Iterator[ThreadPool]:
    pool = ThreadPool(tasks.steps(), tasks.back.append, 3)
    pool.start()
    yield pool
    tasks.barrier.set()
    pool.stop(10)


@pytest.fixture
def loop(tasks: Tasks) -> Iterator[AsyncPool]:
    pool = AsyncPool(tasks.steps(), tasks.back.extend, 1000)
    pool.start()
    yield pool
    tasks.barrier.set()
    pool.stop(10)


def test_a_batch_comes_back_each_job_once(tasks: Tasks, threads: ThreadPool) -> None:
    threads.submit(jobs("quick", 200))
    outcomes = tasks.wait_back(200)
    assert sorted(outcome.value for outcome in outcomes) == list(range(200))
    assert all(one.planned is not None for one in tasks.back)
    wait_for(lambda: threads.running == 0)


def test_as_many_run_at_once_as_there_are_threads_and_the_rest_waits_in_order(
    tasks: Tasks, threads: ThreadPool
) -> None:
    threads.submit(jobs("hold", 10))
    wait_for(lambda: threads.running == 3)
    assert sorted(tasks.begun) == [0, 1, 2]
    taken = threads.take_back()
    assert [one.delivery.tag - 1 for one in taken] == [3, 4, 5, 6, 7, 8, 9]
    assert threads.take_back() == []
    tasks.barrier.set()
    tasks.wait_back(3)
    threads.stop(10)
    assert (tasks.most, len(tasks.back), tasks.begun) == (3, 3, tasks.begun[:3])


def test_stopping_waits_for_what_runs_and_no_longer_than_asked(tasks: Tasks, threads: ThreadPool) -> None:
    threads.submit(jobs("hold", 1))
    wait_for(lambda: threads.running == 1)
    began = time.monotonic()
    threads.stop(0.2)
    assert 0.15 < time.monotonic() - began < 5
    assert not tasks.back
    tasks.barrier.set()
    assert tasks.wait_back(1) == [Success(0)]


@pytest.mark.parametrize("kind", ["threads", "solo", "async"])
def test_a_job_of_another_queue_waits_for_its_turn_and_not_for_all_that_came_before(tasks: Tasks, kind: str) -> None:
    pool: ThreadPool | SoloPool | AsyncPool
    if kind == "async":
        pool = AsyncPool(tasks.steps(), tasks.back.extend, 1)
    else:
        made = ThreadPool(tasks.steps(), tasks.back.append, 1) if kind == "threads" else None
        pool = made or SoloPool(tasks.steps(), tasks.back.append)
    holds, quick = ("ahold", "aquick") if kind == "async" else ("hold", "quick")
    first = jobs(holds if kind != "solo" else quick, 1)
    many, other = jobs(quick, 500), jobs(quick, 1)
    other[0].delivery.queue = "other"
    pool.start()
    pool.submit(first)
    if kind != "solo":
        wait_for(lambda: tasks.begun == [0])
    pool.submit(many)
    pool.submit(other)
    tasks.barrier.set()
    for _ in range(3):
        if isinstance(pool, SoloPool):
            pool.work(1)
    wait_for(lambda: other[0] in tasks.back, 10)
    assert tasks.back.index(other[0]) <= 2
    pool.take_back()
    pool.stop(10)


@pytest.mark.parametrize("count", [1, 20])
def test_a_task_that_ends_the_process_ends_nothing_but_itself(tasks: Tasks, threads: ThreadPool, count: int) -> None:
    threads.submit(jobs("leave", count))
    assert all(isinstance(outcome, Failure) for outcome in tasks.wait_back(count))
    threads.submit(jobs("quick", 5))
    tasks.wait_back(count + 5)


def test_solo_runs_one_after_the_other_in_the_thread_that_works(tasks: Tasks) -> None:
    pool = SoloPool(tasks.steps(), tasks.back.append)
    pool.submit(jobs("quick", 3))
    pool.work(1)
    assert [one.outcome for one in tasks.back] == [Success(0)]
    assert len(pool.take_back()) == 2
    began = time.monotonic()
    pool.work(0.05)
    assert 0.04 < time.monotonic() - began < 5
    pool.submit(jobs("leave", 1))
    pool.work(1)
    assert isinstance(tasks.back[1].outcome, Failure)
    assert pool.running == 0


def test_solo_tells_that_it_is_busy(tasks: Tasks) -> None:
    pool = SoloPool(tasks.steps(), tasks.back.append)
    pool.submit(jobs("hold", 1))
    worker = threading.Thread(target=pool.work, args=(5,))
    worker.start()
    wait_for(lambda: pool.running == 1)
    tasks.barrier.set()
    worker.join(10)
    assert (pool.running, len(tasks.back)) == (0, 1)


def test_async_tasks_run_all_at_once(tasks: Tasks, loop: AsyncPool) -> None:
    loop.submit(jobs("ahold", 50))
    wait_for(lambda: tasks.now == 50)
    assert loop.running == 50
    assert loop.take_back() == []
    tasks.barrier.set()
    assert sorted(outcome.value for outcome in tasks.wait_back(50)) == list(range(50))
    wait_for(lambda: loop.running == 0)


def test_what_an_async_pool_has_not_begun_is_taken_back(tasks: Tasks, loop: AsyncPool) -> None:
    blocked, let_go = threading.Event(), threading.Event()

    async def block() -> None:
        blocked.set()
        let_go.wait(10)

    pool = AsyncPool(steps(block), tasks.back.extend, 1000)
    pool.submit([job(delivery("shop.block"), decoded=False)])
    assert blocked.wait(10)
    pool.submit(jobs("aquick", 4))
    assert len(pool.take_back()) == 4
    let_go.set()
    tasks.wait_back(1)
    pool.stop(10)


def test_stopping_an_async_pool_hands_back_what_still_runs(tasks: Tasks, loop: AsyncPool) -> None:
    loop.submit(jobs("ahold", 3))
    wait_for(lambda: tasks.now == 3)
    loop.stop(10)
    assert [one.outcome for one in tasks.back] == [HAND_BACK] * 3
    assert all(one.planned is not None and one.planned.verdict == "nack" for one in tasks.back)


@pytest.mark.parametrize("name", ["aleave", "acancel", "acancelled_inside"])
def test_an_async_task_that_ends_or_cancels_itself_has_failed(tasks: Tasks, loop: AsyncPool, name: str) -> None:
    """Handed back, it would run again at once, for ever."""
    loop.submit(jobs(name, 2))
    outcomes = tasks.wait_back(2)
    assert all(isinstance(outcome, Failure) for outcome in outcomes)
    assert all(one.planned is not None and one.planned.verdict == "ack" for one in tasks.back)
    loop.submit(jobs("aquick", 1))
    assert tasks.wait_back(3)[2] == Success(0)


def test_a_worker_without_async_tasks_has_no_loop(tasks: Tasks) -> None:
    before = threading.enumerate()
    pool = AsyncPool(tasks.steps(), tasks.back.extend, 1000)
    pool.start()
    assert set(threading.enumerate()) <= set(before)
    assert pool.take_back() == []
    pool.stop(1)


def test_an_async_pool_runs_no_more_at_once_than_asked(tasks: Tasks) -> None:
    pool = AsyncPool(tasks.steps(), tasks.back.extend, 3)
    pool.submit(jobs("ahold", 10))
    wait_for(lambda: tasks.now == 3)
    pool.resize(5)
    wait_for(lambda: tasks.now == 5)
    tasks.barrier.set()
    tasks.wait_back(10)
    assert tasks.most == 5
    pool.stop(10)


def test_an_unknown_pool_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"no pool 'gevent': choose one of .*threads, solo"):
        kind_named("gevent")
