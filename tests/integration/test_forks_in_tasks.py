"""Tasks that fork: whoever did not begin the task leaves, and keeps nothing of its parent."""

from __future__ import annotations

import os
import signal
from urllib.parse import urlsplit

import psutil
import pytest

from amqptasks import App
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory

SOURCE = """
import asyncio
import os
import sys
import time

from amqptasks import App

app = App("shop")


def how(word):
    if word == "exits":
        sys.exit(7)
    if word == "raises":
        raise ValueError(word)
    return "child"


def status_of(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@app.task(name="forks")
def forks(word):
    pid = os.fork()
    return status_of(pid) if pid else how(word)


@app.task(name="forks_async")
async def forks_async(word):
    await asyncio.sleep(0)
    pid = os.fork()
    if not pid and word == "awaits":
        await asyncio.sleep(0)
        os._exit(99)
    return status_of(pid) if pid else how(word)


@app.task(name="echo")
def echo(word):
    time.sleep(0.01)
    return word


@app.task(name="leaves_a_child")
def leaves_a_child():
    pid = os.fork()
    if not pid:
        os.setsid()
        time.sleep(60)
        os._exit(0)
    return pid


@app.task(name="sleeps")
def sleeps():
    print("asleep", flush=True)
    time.sleep(60)
"""

CASES = [("returns", 0), ("exits", 7), ("raises", 1)]


@pytest.mark.parametrize("pool", ["threads", "prefork", "solo"])
def test_a_child_that_a_task_forked_leaves_when_it_comes_back(
    worker_process: WorkerFactory, app: App, pool: str
) -> None:
    worker = worker_process(SOURCE, "-c", "1", "-P", pool)
    asked = [(app.send_task("forks", (word,)), status) for word, status in CASES]
    if pool == "threads":
        asked += [(app.send_task("forks_async", (word,)), status) for word, status in [*CASES, ("awaits", 0)]]
    echoes = [app.send_task("echo", (number,)) for number in range(20)]
    assert [result.get(timeout=20) for result, _ in asked] == [status for _, status in asked]
    assert [result.get(timeout=20) for result in echoes] == list(range(20))
    worker.terminate()
    assert worker.output.count("echo[") == len(echoes), "each ran once"


def test_a_child_that_a_task_forked_keeps_no_connection_and_no_port_of_a_killed_worker(
    worker_process: WorkerFactory, app: App, vhost: Vhost
) -> None:
    worker = worker_process(SOURCE, "-c", "2", "-P", "threads", "--health-port", "0")
    child = app.send_task("leaves_a_child").get(timeout=20)
    try:
        app.send_task("sleeps", ignore_result=True)
        worker.wait_for_line("asleep")
        worker.kill()
        os.kill(child, 0)
        wait_for(lambda: vhost.management.consumer_count("default") == 0, 10.0, "the broker has not noticed")
        with app.session() as session:
            wait_for(lambda: (state := session.queue_state("default")) and state.messages == 1, 5.0)
        kept = psutil.Process(child).net_connections(kind="inet")
        assert not [
            one for one in kept if one.status == psutil.CONN_LISTEN or one.raddr.port == urlsplit(vhost.url).port
        ]
    finally:
        os.kill(child, signal.SIGKILL)
