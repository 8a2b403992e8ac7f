"""Half a million tasks in each pool: what a worker holds afterwards is what it held before."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import psutil
import pytest

from amqptasks import App
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory

#: How many tasks; fewer for a first look.
TASKS = int(os.environ.get("AMQPTASKS_TEST_TASKS", "500000"))

#: Tasks between two samples, and how many may wait on the broker: enough that the worker is never idle.
EVERY = TASKS // 40
BACKLOG = min(20_000, TASKS // 5)

#: The share of the run in which arenas, caches and buffers grow to their size.
WARMING = 0.25

#: Bytes a task. The least that a task can leave behind is a pointer in a list, eight bytes; the slope of 375,000 tasks
#: at half of that is 1.5 MB, which is what an allocator's arenas come and go by.
MOST_BYTES = 4.0

SOURCE = """
from amqptasks import App
app = App("flat", ignore_result=True)

@app.task(name="nothing")
def nothing():
    pass

@app.task(name="anothing")
async def anothing():
    pass
"""


@dataclass(frozen=True, slots=True)
class Sample:
    done: int
    #: Bytes that only the worker and its children have, and what they hold open.
    memory: int
    descriptors: int
    threads: int


@pytest.fixture
def app(vhost: Vhost) -> Iterator[App]:
    made = App("sender", vhost.url, ignore_result=True)
    made.task(name="nothing")(lambda: None)
    made.task(name="anothing")(lambda: None)
    made.declare()
    yield made
    made.close()


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("pool", ["prefork", "threads", "async", "solo"])
def test_half_a_million_tasks_leave_nothing_behind(
    vhost: Vhost, app: App, worker_process: WorkerFactory, pool: str
) -> None:
    started = "threads" if pool == "async" else pool
    arguments = ("-P", started, "-c", "2", "--prefetch", "250", "-l", "warning")  # a line a task fills the disk
    worker = worker_process(SOURCE, *arguments, module="flat", ready=False)
    wait_for(lambda: vhost.management.consumer_count("default") == 1, 30, "it consumes")
    sent = Sent(app, "anothing" if pool == "async" else "nothing", vhost)
    samples: list[Sample] = []
    sent.start()
    while not samples or samples[-1].done < TASKS - BACKLOG:
        wait_for(lambda: sent.done >= EVERY * (len(samples) + 1), 300, "the worker goes on", every=0.2)
        samples.append(sample(worker.pid, sent.done))
    wait_for(lambda: sent.done == TASKS, 120, lambda: f"{sent.done} are done", every=0.2)
    wait_for(lambda: (depth := vhost.management.depth("default")) and depth.total == 0, 30)
    samples.append(sample(worker.pid, TASKS))
    warm = [one for one in samples if one.done >= TASKS * WARMING]
    a_task = slope([(one.done, one.memory) for one in warm])
    first, last = warm[0], warm[-1]
    print(
        f"\n{pool}: {TASKS} tasks, {a_task:+.2f} bytes a task, {first.memory // 1024} to {last.memory // 1024} KiB,"
        f" descriptors {first.descriptors} to {last.descriptors}, threads {first.threads} to {last.threads},"
        f" dead letters {vhost.management.ready('default.dead')}"
    )
    assert a_task < MOST_BYTES
    assert last.descriptors <= first.descriptors
    assert last.threads <= first.threads
    assert vhost.management.ready("default.dead") == 0
    assert worker.terminate() == 0, worker.output


class Sent(threading.Thread):
    """Publishes all tasks, never more than the backlog ahead of the worker."""

    def __init__(self, app: App, name: str, vhost: Vhost) -> None:
        super().__init__(daemon=True)
        self._task = app.tasks[name]
        self._vhost = vhost
        self._published = 0

    @property
    def done(self) -> int:
        """Those that have left the queue, but for what the worker holds."""
        published = self._published
        return published - self._vhost.management.ready("default")

    def run(self) -> None:
        while self._published < TASKS:
            wait_for(lambda: self._vhost.management.ready("default") < BACKLOG // 2, 300, every=0.1)
            count = min(BACKLOG // 2, TASKS - self._published)
            before = self._published
            self._task.publish_many((() for _ in range(count)), progress=partial(self._confirmed, before))

    def _confirmed(self, before: int, count: int) -> None:
        self._published = before + count


def sample(pid: int, done: int) -> Sample:
    node = psutil.Process(pid)
    processes = [node, *node.children(recursive=True)]
    return Sample(
        done,
        sum(one.memory_full_info().uss for one in processes),
        sum(one.num_fds() for one in processes),
        sum(one.num_threads() for one in processes),
    )


def slope(points: list[tuple[int, int]]) -> float:
    """Of the line through the points with the least squares."""
    middle = sum(x for x, _ in points) / len(points)
    height = sum(y for _, y in points) / len(points)
    return sum((x - middle) * (y - height) for x, y in points) / sum((x - middle) ** 2 for x, _ in points)
