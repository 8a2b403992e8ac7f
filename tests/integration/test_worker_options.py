"""The options of `amqptasks worker` that Celery has by the same name, each by what it does."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest

from amqptasks import App
from amqptasks.errors import SoftTimeLimitExceeded, TimeLimitExceeded
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory

SOURCE = """
import os
import time

from amqptasks import App

app = App("shop")


@app.task(name="pid")
def pid(seconds=0.0):
    time.sleep(seconds)
    return os.getpid()


@app.task(name="limits", bind=True)
def limits(self):
    return *self.request.timelimit, self.request.remaining()


@app.task(name="limited", bind=True, time_limit=30, soft_time_limit=25)
def limited(self):
    return *self.request.timelimit, self.request.remaining()


@app.task(name="endless")
def endless():
    while True:
        time.sleep(0.01)
"""


@pytest.fixture
def app(vhost: Vhost) -> Iterator[App]:
    created = App("calls", vhost.url)
    yield created
    created.close()


def test_queues_concurrency_pool_name_events_and_level_are_what_they_are_called(
    app: App, worker_process: WorkerFactory
) -> None:
    worker = worker_process(
        SOURCE,
        *("--queues", "default,other:7", "--concurrency", "3", "--pool", "prefork"),
        *("--name", "by-name", "--events", "--loglevel", "debug", "--prefetch", "9"),
    )
    assert app.send_task("pid", queue="other").get(timeout=20) != worker.pid
    (fork_server,) = psutil.Process(worker.pid).children()
    assert len(fork_server.children()) == 3
    stats = app.control.stats(timeout=5.0)["by-name"]
    assert stats.pools["prefork"]["size"] == 3
    assert stats.prefetch == {"default": 9, "other": 7}
    assert stats.events is not None
    assert "DEBUG" in worker.output.upper()


def test_limits_of_time_hold_for_tasks_that_have_none(app: App, worker_process: WorkerFactory) -> None:
    worker = worker_process(SOURCE, "--soft-time-limit", "0.5", "-c", "1")
    with pytest.raises(SoftTimeLimitExceeded):
        app.send_task("endless", queue="default").get(timeout=20)
    assert app.send_task("pid", queue="default", soft_time_limit=20).get(timeout=20)
    worker.terminate()
    worker_process(None, "--time-limit", "0.5", "-c", "1")
    with pytest.raises(TimeLimitExceeded):
        app.send_task("endless", queue="default").get(timeout=20)


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_task_knows_its_limits_of_time_wherever_they_were_set(
    app: App, worker_process: WorkerFactory, pool: str
) -> None:
    worker_process(SOURCE, "--soft-time-limit", "50", "-c", "1", "-P", pool, "-n", "limited")

    def limits(task: str, **options: float) -> list[float | None]:
        """Hard and soft, and what remains until the first of them."""
        found: list[float | None] = app.send_task(task, queue="default", **options).get(timeout=20)
        return [*found[:2], None if found[2] is None else pytest.approx(found[2], abs=5)]

    assert limits("limits") == [None, 50, 50]
    assert limits("limited") == [30, 25, 25]
    assert limits("limited", time_limit=20) == [20, 25, 20]
    app.control.time_limit("limited", 3600, None, timeout=5.0)
    assert limits("limited") == [3600, None, 3600]
    assert limits("limited", soft_time_limit=40) == [3600, 40, 40]
    app.control.time_limit("limited", None, None, timeout=5.0)
    assert limits("limited") == [None, None, None]


def test_a_prefetch_of_one_leaves_the_rest_to_others(app: App, worker_process: WorkerFactory) -> None:
    worker_process(SOURCE, "--prefetch", "1", "-c", "1", "-n", "first")
    held = [app.send_task("pid", (2.0,), queue="default") for _ in range(3)]
    wait_for(lambda: app.control.active()["first"], 20)
    assert len(app.control.reserved()["first"]) == 0
    other = worker_process(None, "--prefetch", "1", "-c", "1", "-P", "threads")
    assert other.pid in {result.get(timeout=30) for result in held}
