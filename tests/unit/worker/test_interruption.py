"""What is raised in a task from outside: it reaches that task and no other, and what is given up never comes back."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from amqptasks.errors import SoftTimeLimitExceeded, TimeLimitExceeded, WorkerStopping
from amqptasks.worker.job import Job
from amqptasks.worker.outcomes import Failure, HandBack, Success
from amqptasks.worker.pools import Pool
from amqptasks.worker.pools.asynchronous import AsyncPool
from amqptasks.worker.pools.threads import ThreadPool
from tests.harness.wait import wait_for
from tests.unit.worker.jobs import delivery, job, steps

gate = threading.Event()


def spin() -> str:
    while not gate.is_set():
        time.sleep(0.005)
    return "let go"


def deaf() -> str:
    while not gate.is_set():
        try:
            time.sleep(0.005)
        except Exception:  # swallows whatever is raised in it
            continue
    return "late"


def turned() -> None:
    try:
        spin()
    except Exception as error:
        raise ValueError("made something else of it") from error


def quick() -> str:
    return "quick"


async def aspin() -> str:
    while not gate.is_set():
        await asyncio.sleep(0.005)
    return "let go"


async def adeaf() -> str:
    while not gate.is_set():
        try:
            await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            continue
    return "late"


async def aquick() -> str:
    return "quick"


@pytest.fixture
def back() -> list[Job]:
    return []


@pytest.fixture(params=["threads", "async"])
def pool(request: pytest.FixtureRequest, back: list[Job]) -> Iterator[Pool]:
    gate.clear()
    known = steps(spin, deaf, turned, quick, aspin, adeaf, aquick)
    made: Pool = ThreadPool(known, back.append, 2) if request.param == "threads" else AsyncPool(known, back.extend, 2)
    made.start()
    yield made
    gate.set()
    made.stop(5)


def running(pool: Pool, name: str) -> Job:
    """A job of task `name`, in the pool's own kind, that has begun."""
    prefix = "a" if isinstance(pool, AsyncPool) else ""
    made = job(delivery(f"shop.{prefix}{name}"), decoded=False)
    pool.submit([made])
    wait_for(lambda: made in pool.current())
    wait_for(lambda: pool.started(made))
    return made


def test_what_is_raised_in_a_task_is_its_outcome(pool: Pool, back: list[Job]) -> None:
    one = running(pool, "spin")
    assert pool.interrupt(one, SoftTimeLimitExceeded("after 3 s"))
    wait_for(lambda: back)
    assert back == [one]
    assert isinstance(one.outcome, Failure)
    assert isinstance(one.outcome.cause, SoftTimeLimitExceeded)
    assert not pool.interrupt(one, SoftTimeLimitExceeded())


def test_a_stop_costs_no_attempt(pool: Pool, back: list[Job]) -> None:
    one = running(pool, "spin")
    assert pool.interrupt(one, WorkerStopping())
    wait_for(lambda: back)
    assert isinstance(one.outcome, HandBack)


def test_a_stop_costs_no_attempt_where_the_task_makes_an_error_of_it(back: list[Job]) -> None:
    gate.clear()
    pool = ThreadPool(steps(turned), back.append, 1)
    pool.start()
    one = running(pool, "turned")
    assert pool.interrupt(one, WorkerStopping())
    wait_for(lambda: back)
    assert isinstance(one.outcome, HandBack)
    pool.stop(5)


def test_what_is_given_up_never_comes_back_and_another_takes_its_place(pool: Pool, back: list[Job]) -> None:
    first, second = running(pool, "deaf"), running(pool, "deaf")
    assert pool.kill(first)
    assert not pool.kill(first)
    third = running(pool, "spin")
    assert set(pool.current()) == {second, third}
    gate.set()
    wait_for(lambda: len(back) == 2)
    assert set(back) == {second, third}
    wait_for(lambda: pool.running == 0)


def test_nothing_hits_the_task_after_the_one_that_it_was_meant_for(back: list[Job]) -> None:
    pool = ThreadPool(steps(quick), back.append, 1)
    pool.start()
    jobs = [job(delivery("shop.quick"), decoded=False) for _ in range(3000)]
    pool.submit(jobs)
    hit = []
    for one in jobs:
        while one not in back[-20:] and len(back) < len(jobs):
            if pool.interrupt(one, TimeLimitExceeded()):
                hit.append(one)
                break
    wait_for(lambda: len(back) == len(jobs))
    assert back == jobs, "each once, in order"
    wrong = [one for one in jobs if one.outcome != Success("quick") and one.interruption is None]
    assert not wrong
    assert all(one.planned is not None for one in jobs)
    pool.stop(5)
