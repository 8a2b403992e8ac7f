"""Deploys under load: one worker after the other is stopped and started again, and nobody's task pays for it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from amqptasks import App
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory, WorkerProcess

#: Tasks that wait on the broker: enough that every worker is busy when it is told to stop.
BACKLOG = 40

SOURCE = """
import os, time
from amqptasks import App
app = App("rolling", ignore_result=True)
log = os.open("ran.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

@app.task(name="work", bind=True)
def work(self, number):
    request = self.request
    time.sleep(0.1)
    failed = request.headers.get("x-delivery-count", 0)
    os.write(log, f"{number} {request.retries} {failed} {request.delivery_count}\\n".encode())
"""


class Load(threading.Thread):
    """Publishes until it is told that it is over, a few ahead of the workers; `sent` is how many."""

    def __init__(self, vhost: Vhost) -> None:
        super().__init__(daemon=True)
        self.app = App("sender", vhost.url, ignore_result=True)
        self.app.declare()
        self._management = vhost.management
        self.over = threading.Event()
        self.sent = 0

    def run(self) -> None:
        while not self.over.is_set():
            if self._management.ready("default") > BACKLOG:
                self.over.wait(0.02)
                continue
            for _ in range(10):
                self.app.send_task("work", (self.sent,))
                self.sent += 1


@pytest.fixture
def load(vhost: Vhost) -> Iterator[Load]:
    made = Load(vhost)
    yield made
    made.over.set()
    made.join(10)
    made.app.close()


def roll(workers: list[WorkerProcess], worker_process: WorkerFactory) -> None:
    """One after the other: the next is stopped when the one before is ready again."""
    for place, worker in enumerate(workers):
        assert worker.terminate() == 0, worker.output
        workers[place] = worker_process(None, "-c", "2", module="rolling")


def restart(vhost: Vhost, load: Load, folder: Path, worker_process: WorkerFactory, count: int, times: int) -> None:
    workers = [worker_process(SOURCE if not place else None, "-c", "2", module="rolling") for place in range(count)]
    load.start()
    wait_for(lambda: lines(folder), 10, "there is work")
    began = time.monotonic()
    for _ in range(times):
        roll(workers, worker_process)
    seconds = time.monotonic() - began
    load.over.set()
    load.join(10)
    management = vhost.management
    wait_for(lambda: {line[0] for line in lines(folder)} == set(range(load.sent)), 30, "every task ran")
    wait_for(lambda: (depth := management.depth("default")) and depth.total == 0, 10, "nothing is left, or unacked")
    ran = lines(folder)
    duplicates = sum(Counter(number for number, *_ in ran).values()) - load.sent
    back = sum(1 for line in ran if line[3])
    print(
        f"\nRabbitMQ {management.overview()['rabbitmq_version']}: {count} workers restarted {times} times in"
        f" {seconds:.0f} s, {load.sent} tasks, {management.ready('default.dead')} failed,"
        f" {sum(line[1] for line in ran)} retries, {duplicates} duplicates, {back} had been handed back,"
        f" {sum(1 for line in ran if line[2])} of them counted by the broker"
    )
    assert management.ready("default.dead") == 0
    assert duplicates == 0, "a warm stop waits for what runs"
    assert {line[1] for line in ran} == {0}, "no attempt of ours"
    if management.release() >= (4, 3, 0):
        assert {line[2] for line in ran} == {0}, "nor a failed delivery; before 4.3 the broker counts what comes back"
    for worker in workers:
        assert worker.terminate() == 0


def lines(folder: Path) -> list[tuple[int, int, int, int]]:
    """Number, retries, failed deliveries, all deliveries before, of each run."""
    log = folder / "ran.log"
    return [tuple(map(int, line.split())) for line in log.read_text().splitlines()] if log.exists() else []  # type: ignore[misc]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_ten_rolling_restarts_of_four_workers_cost_no_task_an_attempt(
    vhost: Vhost, load: Load, tmp_path: Path, worker_process: WorkerFactory
) -> None:
    restart(vhost, load, tmp_path, worker_process, count=4, times=10)


@pytest.mark.long
def test_two_rolling_restarts_of_two_workers_cost_no_task_an_attempt(
    vhost: Vhost, load: Load, tmp_path: Path, worker_process: WorkerFactory
) -> None:
    restart(vhost, load, tmp_path, worker_process, count=2, times=2)
