"""A worker that interrupts its tasks when it stops, in the midst of short ones: most are then hit in lines that are not
theirs, and none may pay for it."""

from __future__ import annotations

from contextlib import closing

import pytest

from amqptasks import App
from tests.harness.vhost import Vhost
from tests.harness.worker_process import WorkerFactory

SOURCE = """
import os
from amqptasks import App
app = App("short")

@app.task(name="short")
def short(number):
    if number % 100 == 0:  # the others wait for nothing: the interpreter changes threads wherever they are
        os.write(1, f"ran {number}\\n".encode())
    return number
"""

#: Tasks for each worker that is stopped in the midst of them, and how many workers are.
TASKS, STOPS = 2000, 4


@pytest.mark.long
@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_no_short_task_fails_because_its_worker_stopped(vhost: Vhost, worker_process: WorkerFactory, pool: str) -> None:
    options = ("-P", pool, "-c", "8", "--prefetch", "200", "--on-shutdown", "interrupt")
    with closing(App("sender", vhost.url)) as sender:
        task = sender.task(name="short")(lambda number: number)
        worker = worker_process(SOURCE, *options, module="short")
        results = []
        for stop in range(STOPS):
            results += task.publish_many([(number,) for number in range(TASKS * stop, TASKS * (stop + 1))])
            worker.wait_for_line(r"(?m)^ran \d+$", 20, count=3)
            assert worker.terminate() == 0
            worker = worker_process(None, *options, module="short")
        assert [result.get(timeout=60) for result in results] == list(range(TASKS * STOPS))
        with sender.session() as session:
            assert not list(session.take("default.dead", 1))
