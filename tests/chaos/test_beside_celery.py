"""What a worker costs before it has done anything, beside Celery's with the same number of processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import psutil
import pytest

from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory, WorkerProcess

#: Each is started so often, in turns, and the median counts: the machine does other things too.
TIMES = 5

CONCURRENCY = "2"

OURS = """
from amqptasks import App
app = App("idle", ignore_result=True)

@app.task
def add(x, y):
    return x + y
"""

CELERY = """
import os
from celery import Celery
app = Celery("idle", broker=os.environ["AMQPTASKS_BROKER_URL"])
app.conf.task_ignore_result = True

@app.task
def add(x, y):
    return x + y
"""


def pss(pid: int) -> int:
    """Bytes of a process and all below it, shared pages shared out among those that have them."""
    process = psutil.Process(pid)
    return sum(one.memory_full_info().pss for one in (process, *process.children(recursive=True)))


def settled(pid: int) -> int:
    """Its size once all its processes are there and it no longer changes."""
    sizes: list[int] = []

    def steady() -> bool:
        sizes.append(pss(pid))
        return len(sizes) > 3 and max(sizes[-4:]) - min(sizes[-4:]) < 2**16

    wait_for(steady, 30, "its memory is steady", every=0.5)
    return sizes[-1]


def measure(start: Callable[[], WorkerProcess], ready: str) -> tuple[float, int]:
    """Seconds from start to ready, and bytes when idle."""
    began = time.monotonic()
    worker = start()
    worker.wait_for_line(ready, 60)
    seconds = time.monotonic() - began
    size = settled(worker.pid)
    worker.terminate()
    return seconds, size


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_worker_is_smaller_than_celerys_and_ready_before_it(
    vhost: Vhost, tmp_path: Path, worker_process: WorkerFactory
) -> None:
    (tmp_path / "ours.py").write_text(OURS)
    (tmp_path / "theirs.py").write_text(CELERY)

    def ours() -> WorkerProcess:
        return worker_process(None, "-c", CONCURRENCY, module="ours", ready=False)

    def theirs() -> WorkerProcess:
        arguments = ["-A", "theirs", "worker", "-c", CONCURRENCY, "-l", "info"]
        return worker_process.command(*arguments, program="celery")

    measured = [(measure(ours, r"is ready"), measure(theirs, r"celery@\S+ ready")) for _ in range(TIMES)]
    (our_time, our_size), (their_time, their_size) = (
        (median(pair[side][0] for pair in measured), median(pair[side][1] for pair in measured)) for side in (0, 1)
    )
    print(
        f"\n-c {CONCURRENCY}, {psutil.cpu_count()} processors, medians of {TIMES}: start to ready {our_time:.2f} s,"
        f" Celery {their_time:.2f} s; idle PSS {our_size / 2**20:.1f} MiB, Celery {their_size / 2**20:.1f} MiB"
    )
    assert our_size < their_size
    assert our_time < their_time
