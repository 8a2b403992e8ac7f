"""Programs and tasks that freeze the clock around us."""

from __future__ import annotations

import asyncio
import signal
import time
from datetime import datetime

import pytest
from freezegun import freeze_time

from amqptasks import App
from amqptasks.errors import BrokerUnreachable
from amqptasks.runtime.clock import monotonic
from tests.harness.worker_process import WorkerFactory

#: Nobody listens on this port of the machine itself: `discard`, which needs the rights of the administrator.
NOBODY = "amqp://guest:guest@127.0.0.1:9/"

SOURCE = """
import time

from amqptasks import App

app = App("shop")


@app.task(name="freeze")
def freeze():
    time.monotonic = lambda: 0.0
    time.perf_counter = lambda: 0.0


@app.task(name="add")
def add(x, y):
    print("added", x + y, flush=True)
"""


def test_app_worker_runs_tasks_and_is_left_inside_freeze_time(app: App) -> None:
    @app.task(name="year")
    def year() -> int:
        return datetime.now().year

    @app.task(name="nap")
    async def nap() -> str:
        await asyncio.sleep(0.01)
        return "awake"

    began = monotonic()
    with freeze_time("2001-01-01"), app.worker(queues=["default"], concurrency=2):
        frozen = time.monotonic()
        assert year.delay().get(timeout=10) == 2001
        assert nap.delay().get(timeout=10) == "awake"
        assert time.monotonic() == frozen
    assert monotonic() - began < 20


def test_a_call_without_a_broker_fails_in_its_time_inside_freeze_time() -> None:
    app = App("shop", broker=NOBODY, publish_timeout=0.5)

    @app.task(name="add")
    def add(x: int, y: int) -> int:
        return x + y

    began = monotonic()
    with freeze_time("2001-01-01"), pytest.raises(BrokerUnreachable):
        add.delay(1, 2)
    assert monotonic() - began < 15
    app.close()


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_a_worker_whose_task_leaves_monotonic_frozen_goes_on_and_ends_at_term(
    worker_process: WorkerFactory, pool: str
) -> None:
    worker = worker_process(SOURCE, "-P", pool)
    worker_process.command("-A", "shop", "call", "freeze").wait(20.0)
    worker_process.command("-A", "shop", "call", "add", "1", "2").wait(20.0)
    worker.wait_for_line("added 3")
    worker.signal(signal.SIGTERM)
    assert worker.wait(15.0) == 0
