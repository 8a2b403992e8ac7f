"""What every pool does alike: one suite over processes, threads, the main thread and the event loop."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from amqptasks import App
from amqptasks.errors import SoftTimeLimitExceeded, TimeLimitExceeded
from tests.harness.nodes import GivenBroker, StartedBroker
from tests.harness.vhost import Vhost, new_vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory, WorkerProcess

#: Seconds for a stop that does not wait for its tasks; that none ended is seen in what they print.
STOPPED_WITHIN = 10.0

SOURCE = """
import asyncio, os, time
from amqptasks import App
from amqptasks.errors import SoftTimeLimitExceeded
app = App("pools")

def say(text):
    os.write(1, (text + "\\n").encode())

@app.task(name="plain.add")
def add(x, y):
    return x + y

@app.task(name="async.add")
async def aadd(x, y):
    await asyncio.sleep(0)
    return x + y

@app.task(name="plain.fail")
def fail():
    raise ValueError("as it must")

@app.task(name="async.fail")
async def afail():
    raise ValueError("as it must")

@app.task(name="plain.flaky", bind=True, default_retry_delay=0.1)
def flaky(self):
    if not self.request.retries:
        self.retry()
    return self.request.retries

@app.task(name="async.flaky", bind=True, default_retry_delay=0.1)
async def aflaky(self):
    if not self.request.retries:
        self.retry()
    return self.request.retries

@app.task(name="plain.choose", bind=True)
def choose(self, x):
    raise self.replace(add.s(x, 10))

@app.task(name="async.choose", bind=True)
async def achoose(self, x):
    raise self.replace(aadd.s(x, 10))

@app.task(name="plain.tidy")
def tidy():
    try:
        for _ in range(1000):
            time.sleep(0.01)
    except SoftTimeLimitExceeded:
        return "tidied"

@app.task(name="async.tidy")
async def atidy():
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError:
        return "tidied"

@app.task(name="plain.work")
def work(word, seconds):
    say(f"began {word}")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
    say(f"ended {word}")
    return word

@app.task(name="async.work")
async def awork(word, seconds):
    say(f"began {word}")
    await asyncio.sleep(seconds)
    say(f"ended {word}")
    return word
"""

POOLS = ["prefork", "threads", "solo", "async"]


@dataclass
class Place:
    pool: str
    vhost: Vhost
    app: App
    workers: WorkerFactory
    worker: WorkerProcess

    def call(self, name: str, *args: Any, **options: Any) -> Any:
        prefix = "async" if self.pool == "async" else "plain"
        return self.app.send_task(f"{prefix}.{name}", args, **options)


@pytest.fixture(scope="module", params=POOLS)
def place(
    request: pytest.FixtureRequest, broker: GivenBroker | StartedBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    with new_vhost(broker) as vhost:
        workers = WorkerFactory(tmp_path_factory.mktemp("pools"), vhost.url)
        pool = "threads" if request.param == "async" else request.param
        worker = workers(SOURCE, "-P", pool, "-c", "2", "--prefetch", "20", module="pools")
        app = App("sender", vhost.url)
        yield Place(request.param, vhost, app, workers, worker)
        app.close()
        workers.end_all()


@pytest.fixture(autouse=True, scope="module")
def _links_of_the_module(place: Place) -> None:
    """Open before each test looks at which links were there."""
    assert place.call("add", 0, 0).get(timeout=20) == 0


def test_many_short_tasks_each_run_once(place: Place) -> None:
    results = [place.call("add", number, 1) for number in range(300)]
    assert [result.get(timeout=20) for result in results] == list(range(1, 301))


def test_a_failure_is_a_dead_letter_with_its_traceback_and_the_caller_hears(place: Place) -> None:
    with pytest.raises(ValueError, match="as it must"):
        place.call("fail").get(timeout=10)
    wait_for(lambda: place.vhost.management.ready("default.dead") == 1)
    with place.app.session() as session:
        (letter,) = session.take("default.dead", 1)
        session.ack(letter)
    headers = letter.properties.headers or {}
    assert headers["x-amqptasks-exception"] == "builtins.ValueError"
    assert "raise ValueError" in str(headers["x-amqptasks-traceback"])


def test_a_retry_runs_again(place: Place) -> None:
    assert place.call("flaky").get(timeout=10) == 1


def test_a_soft_limit_lets_a_task_tidy_up(place: Place) -> None:
    began = time.monotonic()
    assert place.call("tidy", soft_time_limit=0.4).get(timeout=10) == "tidied"
    assert 0.3 < time.monotonic() - began < 3


def test_a_soft_limit_that_is_not_caught_is_the_failure(place: Place) -> None:
    with pytest.raises(SoftTimeLimitExceeded):
        place.call("work", "soft", 10, soft_time_limit=0.3).get(timeout=10)
    assert "ended soft" not in place.worker.output


def test_a_hard_limit_ends_a_task_and_the_worker_goes_on(place: Place) -> None:
    began = time.monotonic()
    results = [place.call("work", f"hard-{number}", 10, time_limit=0.5) for number in range(2)]
    for result in results:
        with pytest.raises(TimeLimitExceeded):
            result.get(timeout=10)
    assert time.monotonic() - began < 4
    assert place.call("add", 1, 1).get(timeout=10) == 2


def test_a_limit_counts_from_when_the_task_begins(place: Place) -> None:
    """Ten tasks of 0.2 s for two places: the last one waits longer than its limit before it begins."""
    results = [place.call("work", f"queued-{number}", 0.2, time_limit=0.9) for number in range(10)]
    assert [result.get(timeout=20) for result in results] == [f"queued-{number}" for number in range(10)]


def test_short_tasks_pass_a_long_one(place: Place) -> None:
    if place.pool == "solo":
        pytest.skip("one at a time")
    long = place.call("work", "long", 2.0)
    place.worker.wait_for_line("(?m)^began long$")
    results = [place.call("add", number, 1) for number in range(60)]
    assert [result.get(timeout=20) for result in results] == list(range(1, 61))
    assert "ended long" not in place.worker.output
    assert long.get(timeout=10) == "long"


def test_another_call_takes_the_place_of_a_task(place: Place) -> None:
    assert place.call("choose", 1).get(timeout=10) == 11


@pytest.mark.parametrize("plan", ["finish", "interrupt", pytest.param("too long", marks=pytest.mark.long)])
def test_a_stop_ends_what_runs_as_planned_and_counts_no_attempt(place: Place, plan: str) -> None:
    place.worker.terminate()
    options = {
        "finish": (),
        "interrupt": ("--on-shutdown", "interrupt"),
        "too long": ("--stop-timeout", "0.3", "--tidy-timeout", "0.5"),
    }[plan]
    pool = "threads" if place.pool == "async" else place.pool
    word = plan.replace(" ", "-")
    stopping = place.workers(None, "-P", pool, "-c", "2", "--prefetch", "20", *options, module="pools")
    results = [place.call("work", f"{word}-{number}", 1.5) for number in range(6)]
    stopping.wait_for_line(f"began {word}", count=1 if place.pool == "solo" else 2)
    began = time.monotonic()
    assert stopping.terminate() == 0
    elapsed = time.monotonic() - began
    ended = stopping.output.count(f"ended {word}")
    if plan == "finish":
        assert ended == stopping.output.count(f"began {word}")
    else:
        assert ended == 0
        assert elapsed < STOPPED_WITHIN
    place.worker = place.workers(None, "-P", pool, "-c", "2", "--prefetch", "20", module="pools")
    assert [result.get(timeout=30) for result in results] == [f"{word}-{number}" for number in range(6)]
    assert place.vhost.management.ready("default.dead") <= 4, "the dead letters of the tests before, and no other"


def test_hup_begins_the_worker_anew_under_its_process_id(place: Place) -> None:
    worker, pid = place.worker, place.worker.pid
    times = worker.output.count("is ready")
    worker.signal(signal.SIGHUP)
    worker.wait_for_line("is ready", 30, count=times + 1)
    assert (worker.status, worker.pid) == (None, pid)
    assert place.call("add", 2, 3).get(timeout=10) == 5
