"""Everything breaks at once, again and again: workers are killed, the wire is cut, the broker is stopped.

Each task appends its number and its worker's to a file; a line of that size is written in one piece (POSIX, O_APPEND).
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from amqptasks import App
from tests.harness.nodes import StartedBroker
from tests.harness.proxy import Proxy
from tests.harness.vhost import new_vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory

#: Tasks at least; more come until enough workers were killed at their work.
TASKS = 5000
QUEUES = ("red", "green", "blue")

TOPOLOGY = """
version: 1
queues:
  red: {}
  green: {}
  blue: {}
"""

SOURCE = """
import os, time
from amqptasks import App
app = App("chaos", topology="chaos.yaml", ignore_result=True)
log = os.open("ran.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

@app.task(name="note")
def note(number):
    time.sleep(0.002)
    os.write(log, f"{number} {os.environ['WORKER']}\\n".encode())
"""

#: The worker that nobody kills; victims count on from it.
STEADY = 0

#: Seconds for a victim to start and to run a task, while the wire is cut and the broker may be down.
RUNS_WITHIN = 30.0

#: Victims that are killed after they ran something.
LEAST_KILLS = 8


def lines(folder: Path) -> list[list[int]]:
    """The number of each task that ran, and of the worker that ran it."""
    log = folder / "ran.log"
    whole = log.read_text().rpartition("\n")[0] if log.exists() else ""
    return [[int(word) for word in line.split()] for line in whole.splitlines()]


def runs(folder: Path) -> Counter[int]:
    return Counter(number for number, _ in lines(folder))


@pytest.mark.long
@pytest.mark.timeout(400)
def test_no_task_is_lost_while_workers_are_killed_the_wire_is_cut_and_the_broker_is_stopped(
    own_broker: StartedBroker, tmp_path: Path
) -> None:
    with new_vhost(own_broker) as vhost:
        proxy = Proxy(vhost.url)
        (tmp_path / "chaos.yaml").write_text(TOPOLOGY)
        workers = WorkerFactory(tmp_path, proxy.url)
        app = App("chaos", proxy.url, topology=str(tmp_path / "chaos.yaml"), ignore_result=True)
        app.declare()
        steady = workers(SOURCE, "-c", "8", module="chaos", environment={"WORKER": str(STEADY)})
        over = threading.Event()
        done = threading.Event()
        published: list[int] = []
        at_work: list[int] = []
        threads = [
            threading.Thread(target=kill_one_after_another, args=(workers, over, at_work)),
            threading.Thread(target=cut_every_two_seconds, args=(proxy, over)),
        ]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        try:
            publisher = threading.Thread(target=publish_all, args=(app, published, at_work, done))
            publisher.start()
            wait_for(lambda: len(runs(tmp_path)) > TASKS // 10, 90, "a tenth of the tasks ran")
            own_broker.node.stop()
            own_broker.node.start()
            assert done.wait(200), f"{len(published)} tasks published, and only {len(at_work)} workers killed"
            wait_for(
                lambda: len(runs(tmp_path)) == len(published), 90, lambda: f"only {len(runs(tmp_path))} tasks ran", 0.2
            )
        finally:
            over.set()
            for thread in threads:
                thread.join(30)
        seconds = time.monotonic() - began
        assert steady.status is None, steady.output
        steady.terminate()
        wait_for(
            lambda: all(vhost.management.depth(queue).total == 0 for queue in QUEUES),
            30,
            lambda: f"left over: {[vhost.management.depth(queue) for queue in QUEUES]}",
        )
        assert [vhost.management.depth(f"{queue}.dead").total for queue in QUEUES] == [0, 0, 0]
        ran = runs(tmp_path)
        assert set(ran) == set(published)
        duplicates = sum(ran.values()) - len(published)
        by_victims = sum(worker != STEADY for _, worker in lines(tmp_path))
        print(
            f"\n{len(published)} tasks in {seconds:.0f} s, {len(at_work)} of {len(workers.started) - 1} workers killed"
            f" at work, after {by_victims} tasks; {duplicates} tasks ran more than once"
        )
        assert len(at_work) >= LEAST_KILLS
        app.close()
        workers.end_all()
        proxy.close()


def publish_all(app: App, published: list[int], at_work: list[int], done: threading.Event) -> None:
    """One after the other, as a service would; confirmed, or tried again by its caller."""
    for number in itertools.count():
        if number >= TASKS and len(at_work) >= LEAST_KILLS:
            break
        app.send_task("note", (number,), queue=QUEUES[number % len(QUEUES)], timeout=60)
        published.append(number)
    done.set()


def kill_one_after_another(workers: WorkerFactory, over: threading.Event, at_work: list[int]) -> None:
    """Each once it has run something; `at_work` are the numbers of those. One whose connection is cut while it starts
    ends by itself: another takes its place."""
    for victim in itertools.count(STEADY + 1):
        if over.is_set():
            return
        worker = workers(None, "-c", "8", module="chaos", environment={"WORKER": str(victim)}, ready=False)
        deadline = time.monotonic() + RUNS_WITHIN
        while not has_run(workers.folder, victim) and worker.status is None and time.monotonic() < deadline:
            if over.wait(0.05):
                break
        if has_run(workers.folder, victim):
            over.wait(0.5)
            worker.kill()
            at_work.append(victim)
        worker.kill()


def has_run(folder: Path, worker: int) -> bool:
    return any(one == worker for _, one in lines(folder))


def cut_every_two_seconds(proxy: Proxy, over: threading.Event) -> None:
    while not over.wait(2.0):
        proxy.cut()
