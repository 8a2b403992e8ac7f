"""Delayed tasks wait in the broker: a broker that is killed keeps them, and a worker holds none of them."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from amqptasks import App
from tests.harness.nodes import StartedBroker
from tests.harness.vhost import Vhost, new_vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory

SOURCE = """
import os, time
from amqptasks import App
app = App("delays", ignore_result=True)
log = os.open("ran.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

@app.task(name="note")
def note(number, due):
    os.write(log, f"{number} {time.time() - due:.3f}\\n".encode())
"""

DELAYED = 600
WAITING = 10_000

#: Seconds until the first is due: all are published by then, on a machine with ten times as much to do, too.
FIRST_DUE = 10.0

#: Threads that publish: confirms are waited for together.
PUBLISHERS = 20

#: Bytes: what an idle worker may grow by for reasons of its own.
GROWTH = 3 * 1024 * 1024


def lateness(folder: Path) -> list[tuple[int, float]]:
    log = folder / "ran.log"
    if not log.exists():
        return []
    fields = [line.split() for line in log.read_text().splitlines()]
    return [(int(number), float(late)) for number, late in fields]


@pytest.mark.long
@pytest.mark.timeout(200)
def test_delayed_tasks_survive_a_broker_that_is_killed(own_broker: StartedBroker, tmp_path: Path) -> None:
    with new_vhost(own_broker) as vhost:
        workers = WorkerFactory(tmp_path, vhost.url)
        worker = workers(SOURCE, "-c", "8", module="delays")
        with closing(App("delays", vhost.url, ignore_result=True)) as app:
            now = time.time()

            def delay(number: int) -> None:
                due = now + FIRST_DUE + number / 50  # within 12 s: spread over many rungs while the broker dies
                app.send_task("note", (number, due), countdown=due - time.time())

            with ThreadPoolExecutor(PUBLISHERS) as pool:
                list(pool.map(delay, range(DELAYED)))
            took = time.time() - now
        assert took < FIRST_DUE, f"publishing took {took:.1f} s; the broker must die before the first is due"
        wait_for(lambda: len(lateness(tmp_path)) >= 20, 30, lambda: worker.output)
        killed = time.time()
        own_broker.node.kill()
        own_broker.node.start()
        outage = time.time() - killed
        wait_for(
            lambda: len({number for number, _ in lateness(tmp_path)}) == DELAYED,
            60,
            lambda: f"{len({number for number, _ in lateness(tmp_path)})} of {DELAYED} came",
        )
        ran = lateness(tmp_path)
        duplicates = sum(Counter(number for number, _ in ran).values()) - DELAYED
        latest = max(late for _, late in ran)
        print(f"\n{DELAYED} delayed, broker away for {outage:.1f} s, at most {latest:.1f} s late, {duplicates} twice")
        assert min(late for _, late in ran) > -0.05, "a task ran before its time"
        assert latest < outage + 20
        workers.end_all()


@pytest.mark.long
def test_ten_thousand_delayed_tasks_cost_the_worker_no_memory(vhost: Vhost, worker_process: WorkerFactory) -> None:
    worker = worker_process(SOURCE, "-c", "4", module="delays")
    app = App("delays", vhost.url, ignore_result=True)
    app.send_task("note", (0, time.time()))
    wait_for(lambda: lateness(worker_process.folder), 10, lambda: worker.output)
    before = worker.memory()
    due = time.time() + 3600
    task = app.task(name="note")(lambda number, due: None)
    task.publish_many(((number, due) for number in range(WAITING)), countdown=3600)
    app.send_task("note", (1, time.time()))
    wait_for(lambda: len(lateness(worker_process.folder)) == 2, 5, "an immediate task is not held up")
    grown = worker.memory() - before
    print(f"\n{WAITING} delayed tasks, the worker grew by {grown / 1024:.0f} KiB")
    assert grown < GROWTH
    assert lateness(worker_process.folder)[1][1] < 1.0
    app.close()
