"""Signals of processes: in each that runs tasks, when it begins and when it ends."""

from __future__ import annotations

import re

import psutil

from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory

SOURCE = """
import os

from amqptasks import App, signals

app = App("shop")


@signals.worker_process_init.connect
def begins(**more):
    os.write(1, f"begins {os.getpid()}\\n".encode())


@signals.worker_process_shutdown.connect
def ends(pid, **more):
    os.write(1, f"ends {pid}\\n".encode())


@app.task(name="pid")
def pid():
    return os.getpid()
"""


def test_each_child_of_a_pool_says_that_it_begins_and_ends(worker_process: WorkerFactory) -> None:
    worker = worker_process(SOURCE, "-c", "2", "-P", "prefork")
    (fork_server,) = psutil.Process(worker.pid).children()
    wait_for(lambda: len(fork_server.children()) == 2)
    children = {str(child.pid) for child in fork_server.children()}
    wait_for(lambda: children <= set(re.findall(r"begins (\d+)", worker.output)), 20.0, lambda: worker.output)
    worker.terminate(30.0)
    assert set(re.findall(r"begins (\d+)", worker.output)) == {*children, str(worker.pid)}
    assert set(re.findall(r"ends (\d+)", worker.output)) == {*children, str(worker.pid)}
