"""A worker that interrupts its tasks when it stops, in the midst of short ones: most are then hit in lines that are not
theirs, and none may pay for it."""

from __future__ import annotations

import pytest

from amqptasks import App
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory

SOURCE = """
import os
from amqptasks import App
app = App("short")

@app.task(name="short")
def short(number):
    os.write(1, f"ran {number}\\n".encode())
    return number
"""

#: Tasks, and workers that are stopped in the midst of them: each interrupts eight.
TASKS, STOPS = 2000, 4


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_no_short_task_is_a_dead_letter_because_its_worker_stopped(
    vhost: Vhost, worker_process: WorkerFactory, pool: str
) -> None:
    sender = App("sender", vhost.url)
    task = sender.task(name="short")(lambda number: number)
    source: str | None = SOURCE
    with sender.session() as session:
        for stop in range(STOPS):
            options = ("-P", pool, "-c", "8", "--prefetch", "100", "--on-shutdown", "interrupt")
            worker = worker_process(source, *options, module="short")
            source = None
            task.publish_many([(number,) for number in range(TASKS * stop, TASKS * (stop + 1))])
            worker.wait_for_line(r"(?m)^ran \d+$", 20, count=TASKS // 8)
            assert worker.terminate() == 0
        worker_process(source, "-P", "threads", "-c", "4", "--prefetch", "200", module="short")
        ran: set[str] = set()

        def all_ran() -> bool:
            lines = "\n".join(one.output for one in worker_process.started).splitlines()
            ran.update(line for line in lines if line.startswith("ran "))
            return len(ran) == TASKS * STOPS

        wait_for(all_ran, 60, lambda: f"{len(ran)} of {TASKS * STOPS} ran")
        dead = [letter.properties.headers for letter in session.take("default.dead", 10)]
    sender.close()
    assert not dead
