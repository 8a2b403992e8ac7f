"""A hundred cuts of a worker's connection while tasks of two seconds run: how many of them begin a second time."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from contextlib import closing

import pytest

from amqptasks import App
from tests.harness.proxy import Proxy
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory

CUTS, CONCURRENCY = 100, 4

#: Seconds from one cut to the next: less than a task takes, or a little more.
BETWEEN = (1.5, 3.0)

#: More than the worker can run meanwhile; what is left is purged.
TASKS = 700

#: Second runs of the code that gave up a run whose connection was lost, counted by this test: the fewest of its pools.
WITHOUT_LEASES = 378

SOURCE = """
import asyncio, os, time
from amqptasks import App
app = App("cut", ignore_result=True, topology="cut.yaml")

def say(word, number):
    os.write(1, f"{word} {number}\\n".encode())

@app.task(name="work")
def work(number):
    say("began", number)
    time.sleep(2)
    say("ended", number)

@app.task(name="awork")
async def awork(number):
    say("began", number)
    await asyncio.sleep(2)
    say("ended", number)
"""

#: A cut counts as a failed delivery; none is to become a dead letter by it.
TOPOLOGY = "version: 1\nqueues: {default: {delivery_limit: 1000}}\n"


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("pool", ["prefork", "threads", "async"])
def test_a_hundred_cuts_lead_to_few_second_runs(
    vhost: Vhost, proxy: Proxy, worker_process: WorkerFactory, pool: str
) -> None:
    topology = worker_process.folder / "cut.yaml"
    topology.write_text(TOPOLOGY)
    task = "awork" if pool == "async" else "work"
    with closing(App("sender", vhost.url, ignore_result=True, topology=str(topology))) as app:
        app.declare()
        for number in range(TASKS):
            app.send_task(task, (number,))
    started = ("-P", "threads", "--async-concurrency") if pool == "async" else ("-P", pool, "-c")
    worker = worker_process(SOURCE, *started, str(CONCURRENCY), module="cut", broker_url=proxy.url)
    pauses = random.Random(CUTS)
    cut = 0
    for _ in range(CUTS):
        time.sleep(pauses.uniform(*BETWEEN))
        cut += proxy.cut()
    assert vhost.management.ready("default") > CONCURRENCY, "there was always a next task"
    vhost.management.request("DELETE", "queues", vhost.name, "default", "contents")

    def runs(word: str) -> Counter[str]:
        return Counter(re.findall(rf"(?m)^{word} (\d+)$", worker.output))

    wait_for(
        lambda: (depth := vhost.management.depth("default")) is not None and not depth.total,
        60,
        lambda: f"{vhost.management.depth('default')}\n{worker.output[-3000:]}",
    )
    assert worker.terminate() == 0
    began, ended = runs("began"), runs("ended")
    second = sum(began.values()) - len(began)
    print(f"{pool}: {cut} connections cut in {CUTS} moments, {len(began)} tasks, {second} of them began again")
    assert set(ended) == set(began), "each ran to its end"
    assert cut >= CUTS
    assert second <= WITHOUT_LEASES / 5
