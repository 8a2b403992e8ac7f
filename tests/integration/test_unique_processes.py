"""`unique=` where processes die and wires break, on RabbitMQ alone."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from amqptasks import App
from amqptasks.errors import AlreadyQueued
from tests.harness.nodes import StartedBroker
from tests.harness.unique import gets_in, refused
from tests.harness.vhost import Vhost, new_vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory

SOURCE = """
import os
import time

from amqptasks import App

app = App("shop", ignore_result=True)


@app.task(unique=True)
def work(word):
    os.write(1, f"began {word}\\n".encode())
    while not os.path.exists(f"{word}-may-end"):
        time.sleep(0.02)
"""


@pytest.mark.parametrize("pool", ["prefork", "threads", pytest.param("solo", marks=pytest.mark.long)])
def test_each_pool_releases_before_the_first_line(worker_process: WorkerFactory, vhost: Vhost, pool: str) -> None:
    worker = worker_process(SOURCE, "-c", "1", "-P", pool, "--prefetch", "4")
    app = App("shop", vhost.url, ignore_result=True)
    options: dict[str, Any] = {"unique": True}
    app.send_task("shop.work", ("a",), **options)
    worker.wait_for_line("began a")
    app.send_task("shop.work", ("a",), **options)
    refused(app.send_task, "shop.work", ("a",), **options)
    (worker_process.folder / "a-may-end").touch()
    worker.wait_for_line("began a", count=2)
    app.send_task("shop.work", ("a",), **options)
    app.close()


def test_a_killed_worker_leaves_its_calls_the_only_ones(worker_process: WorkerFactory, vhost: Vhost) -> None:
    first = worker_process(SOURCE, "-c", "1", "-P", "threads", "--prefetch", "4")
    (worker_process.folder / "next-may-end").touch()
    app = App("shop", vhost.url, ignore_result=True)
    app.send_task("shop.work", ("long",), unique=True)
    first.wait_for_line("began long")
    app.send_task("shop.work", ("next",), unique=True)
    first.kill()
    refused(app.send_task, "shop.work", ("next",), unique=True)
    app.send_task("shop.work", ("long",), unique=True)  # it had begun
    second = worker_process(None, "-c", "4", "-P", "threads")
    second.wait_for_line("began next", timeout=20.0)
    wait_for(lambda: second.output.count("began long") == 2, 20.0, "the killed one is run again, beside the other")
    app.send_task("shop.work", ("next",), unique=True)
    app.send_task("shop.work", ("long",), unique=True)
    second.kill()
    app.close()


KILLED = """
import os

from amqptasks import App

app = App("shop", ignore_result=True)
work = app.task(name="work", unique=True, expires=5.0)(lambda: None)
app.caller.link  # connects
app.caller.publisher.publish = lambda *_: os._exit(9)  # after the claim, before the call
work.delay()
"""


def test_a_publisher_killed_before_its_call_keeps_others_out_until_its_claim_ends(
    worker_process: WorkerFactory, vhost: Vhost
) -> None:
    app = App("shop", vhost.url, ignore_result=True)
    task = app.task(name="work", unique=True, expires=5.0)(lambda: None)
    (worker_process.folder / "publish.py").write_text(KILLED)
    assert worker_process.command(program="publish").wait() == 9
    refused(task.delay)
    wait_for(lambda: gets_in(task.delay), 20.0, "the claim of the killed publisher ends")
    app.close()


PUBLISHER = """
import sys

from amqptasks import App
from amqptasks.errors import AlreadyQueued

app = App("shop", ignore_result=True)
work = app.task(name="work", unique=True)(lambda number: None)
for number in range(50):
    try:
        work.delay(number)
    except AlreadyQueued:
        continue
    print("got", number, flush=True)
app.close()
"""


def test_of_many_processes_one_gets_in(worker_process: WorkerFactory, vhost: Vhost) -> None:
    app = App("shop", vhost.url, ignore_result=True)
    app.declare()
    (worker_process.folder / "publish.py").write_text(PUBLISHER)
    processes = [worker_process.command(program="publish") for _ in range(4)]
    assert [process.wait(60.0) for process in processes] == [0] * 4
    got = [line for process in processes for line in process.output.splitlines()]
    assert sorted(got) == sorted(f"got {number}" for number in range(50))
    with app.session() as session:
        state = session.queue_state("default")
        assert state is not None
        assert state.messages == 50
    app.close()


def test_a_wire_that_breaks_between_two_calls_is_mended(vhost: Vhost, proxy: Any) -> None:
    app = App("shop", proxy.url, ignore_result=True)
    task = app.task(name="work", unique=True)(lambda word: None)
    task.delay("a")
    proxy.cut()
    task.delay("b")
    proxy.cut()
    refused(task.delay, "a")
    app.close()


@pytest.mark.long
def test_a_claim_outlives_a_restart_of_the_broker(own_broker: StartedBroker) -> None:
    with new_vhost(own_broker) as vhost:
        app = App("shop", vhost.url, ignore_result=True)
        task = app.task(name="work", unique=True)(lambda: None)
        first = task.delay()
        own_broker.node.kill()
        own_broker.node.start()
        with closing(app):
            queues = own_broker.node.rabbitmqctl("list_queues", "-p", vhost.name, "name", "state", "arguments")
            with pytest.raises(AlreadyQueued) as refused_now:
                pytest.fail(f"{task.delay().id} was queued beside {first.id}; the broker had:\n{queues}")
        assert refused_now.value.holder == first.id
