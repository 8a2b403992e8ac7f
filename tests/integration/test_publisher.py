"""Publishing from a program: many threads, forks, thousands at once, and what the caller is told."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pika
import pytest

from amqptasks import App
from amqptasks.errors import PublishRejected
from tests.harness.management import Management
from tests.harness.proxy import Proxy
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import REPOSITORY

#: Messages in flight when the connection is cut: twice what a channel writes before it waits for confirms.
IN_FLIGHT = 2000


@pytest.fixture
def app(vhost: Vhost) -> Iterator[App]:
    created = App("shop", broker=vhost.url, ignore_result=True)
    yield created
    created.close()


def arguments_in(vhost: Vhost, queue: str = "default") -> list[Any]:
    """The first argument of each message in the queue, in its order; the queue is emptied."""
    found = []
    with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
        channel = connection.channel()
        stored = channel.queue_declare(queue, passive=True).method.message_count
        for method, _, body in channel.consume(queue, auto_ack=True, inactivity_timeout=5.0):
            if method is None or body is None:
                break
            found.append(json.loads(body)[0][0])
            if len(found) == stored:
                break
        channel.cancel()
    return found


def test_sixteen_threads_publish_through_one_app(app: App, vhost: Vhost) -> None:
    together = threading.Barrier(16)

    def publish(thread: int) -> list[str]:
        together.wait(10)  # all of them open the first connection at once
        return [app.send_task("shop.note", ([thread, number],)).id for number in range(100)]

    with ThreadPoolExecutor(16) as pool:
        ids = [task_id for found in pool.map(publish, range(16)) for task_id in found]
    assert len(set(ids)) == 1600
    stored = [tuple(argument) for argument in arguments_in(vhost)]
    assert sorted(stored) == [(thread, number) for thread in range(16) for number in range(100)]
    for thread in range(16):
        assert [number for one, number in stored if one == thread] == list(range(100)), "a thread's order is kept"


FORKING = """
import os, sys, threading
from amqptasks import App

app = App("shop", broker=sys.argv[1])

@app.task
def add(x, y):
    return x + y

assert add.delay(1, 1).get(timeout=20) == 2
go_on = threading.Thread(target=lambda: [add.delay(number, 0) for number in range(200)])
go_on.start()
child = os.fork()
if child == 0:
    answers = [add.delay(number, 1000).get(timeout=20) for number in range(20)]
    assert answers == [number + 1000 for number in range(20)], answers
    sys.exit(0)
assert [add.delay(number, 500).get(timeout=20) for number in range(20)] == [number + 500 for number in range(20)]
go_on.join()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_publishes_on_its_own_connection_while_the_parent_goes_on(vhost: Vhost) -> None:
    """A shared socket would mix the frames of both, and each would take the other's replies."""
    app = App("shop", broker=vhost.url)
    ran: Counter[int] = Counter()

    @app.task(name="shop.add")
    def add(x: int, y: int) -> int:
        ran[y] += 1
        return x + y

    with app.worker(["default"]):
        done = subprocess.run(
            [sys.executable, "-c", FORKING.replace("@app.task", "@app.task(name='shop.add')"), vhost.url],
            env={"PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert ran == {1: 1, 0: 200, 1000: 20, 500: 20}


def test_publish_many_draws_from_a_generator_as_confirms_come_and_reports_them(app: App, vhost: Vhost) -> None:
    note = app.task(name="shop.note")(lambda number: None)
    drawn = 0
    confirmed: list[int] = []
    ahead: list[int] = []

    def calls() -> Iterator[tuple[int]]:
        nonlocal drawn
        for number in range(10_000):
            drawn += 1
            ahead.append(drawn - (confirmed[-1] if confirmed else 0))
            yield (number,)

    results = note.publish_many(calls(), progress=confirmed.append)
    assert len(results) == drawn == confirmed[-1] == 10_000
    assert confirmed == sorted(confirmed)
    assert len(confirmed) > 10
    assert max(ahead) < 5_000, "the whole input was drawn before anything was confirmed"
    assert arguments_in(vhost) == list(range(10_000))


def test_publish_many_of_nothing_is_nothing(app: App) -> None:
    assert app.task(name="shop.note")(lambda number: None).publish_many([]) == []


@pytest.mark.parametrize("cuts", [1, 3])
def test_of_two_thousand_in_flight_when_the_wire_is_cut_none_is_lost(vhost: Vhost, proxy: Proxy, cuts: int) -> None:
    app = App("shop", broker=proxy.url, ignore_result=True)
    note = app.task(name="shop.note")(lambda number: None)
    note.delay(-1)
    confirmed: list[int] = []
    cut_before = {IN_FLIGHT * number // (cuts + 1) for number in range(1, cuts + 1)}

    def calls() -> Iterator[tuple[int]]:
        for number in range(IN_FLIGHT):
            if number in cut_before:
                wait_for(lambda: proxy.connections, message="it is connected again")
                assert proxy.cut() >= 1
            yield (number,)

    results = note.publish_many(calls(), progress=confirmed.append)
    app.close()
    assert len(results) == confirmed[-1] == IN_FLIGHT
    stored = Counter(arguments_in(vhost))
    assert set(stored) == set(range(-1, IN_FLIGHT))
    twice = sum(count - 1 for count in stored.values())
    print(f"{twice} of {IN_FLIGHT} stored twice after {cuts} cuts")
    assert max(stored.values()) <= 1 + cuts
    assert twice <= 1000 * cuts, "at most what was written and not confirmed is written again"


def test_a_message_that_closes_the_channel_fails_alone(app: App, vhost: Vhost, management: Management) -> None:
    """404, for its exchange is missing; the others are in flight on the same channel."""
    app.send_task("shop.note", (-1,))

    note = app.task(name="shop.note")(_nothing)

    async def publish() -> list[Any]:
        calls = [
            note.aapply_async((number,), **({"exchange": "absent", "routing_key": "x"} if number % 100 == 50 else {}))
            for number in range(500)
        ]
        return await asyncio.gather(*calls, return_exceptions=True)

    outcomes = asyncio.run(publish())
    failed = {number for number, outcome in enumerate(outcomes) if isinstance(outcome, BaseException)}
    assert failed == {50, 150, 250, 350, 450}
    for number in failed:
        assert isinstance(outcomes[number], PublishRejected)
        assert "no exchange 'absent'" in str(outcomes[number])
    stored = Counter(arguments_in(vhost))
    assert set(stored) == {-1, *range(500)} - failed


def _nothing(number: int) -> None:
    """A task's function, here only for its name."""
