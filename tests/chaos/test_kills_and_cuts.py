"""Everything breaks at once, again and again: workers are killed, the wire is cut, the broker is stopped.

Each task appends its number to a file; a line of that size is written in one piece (POSIX, O_APPEND).
"""

from __future__ import annotations

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
    os.write(log, f"{number}\\n".encode())
"""


def runs(folder: Path) -> Counter[int]:
    log = folder / "ran.log"
    return Counter(int(line) for line in log.read_text().split()) if log.exists() else Counter()


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
        steady = workers(SOURCE, "-c", "8", module="chaos")
        over = threading.Event()
        done = threading.Event()
        published: list[int] = []
        threads = [
            threading.Thread(target=kill_every_second, args=(workers, over)),
            threading.Thread(target=cut_every_two_seconds, args=(proxy, over)),
        ]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        try:
            publisher = threading.Thread(target=publish_all, args=(app, published, done))
            publisher.start()
            wait_for(lambda: len(runs(tmp_path)) > TASKS // 10, 90, "a tenth of the tasks ran")
            own_broker.node.stop()
            own_broker.node.start()
            wait_for(lambda: len(runs(tmp_path)) == TASKS, 200, lambda: f"only {len(runs(tmp_path))} tasks ran", 0.2)
            assert done.wait(60)
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
        assert set(ran) == set(range(TASKS))
        duplicates = sum(ran.values()) - TASKS
        print(f"\n{TASKS} tasks in {seconds:.0f} s, {len(workers.started) - 1} kills, {duplicates} ran more than once")
        app.close()
        workers.end_all()
        proxy.close()


def publish_all(app: App, published: list[int], done: threading.Event) -> None:
    """One after the other, as a service would; confirmed, or tried again by its caller."""
    for number in range(TASKS):
        app.send_task("note", (number,), queue=QUEUES[number % len(QUEUES)], timeout=60)
        published.append(number)
    done.set()


def kill_every_second(workers: WorkerFactory, over: threading.Event) -> None:
    while not over.is_set():
        worker = workers(None, "-c", "8", module="chaos", ready=False)
        over.wait(1.0)
        worker.kill()


def cut_every_two_seconds(proxy: Proxy, over: threading.Event) -> None:
    while not over.wait(2.0):
        proxy.cut()
