"""How a worker process ends: warm, cold, killed; nothing is lost, nothing counts as an attempt."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from contextlib import closing

import psutil
import pytest

from amqptasks import App
from amqptasks.worker.node import Node
from tests.harness.management import Management
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory
from tests.integration.stopping import send, waiting

#: Tasks that wait for a worker that does not come.
WAITING = 30

SOURCE = """
import asyncio, os, time
from amqptasks import App
app = App("stop", ignore_result=True)

def say(text):
    os.write(1, (text + "\\n").encode())

@app.task(name="work", bind=True)
def work(self, word, seconds):
    say(f"began {word} {self.request.delivery_count}")
    time.sleep(seconds)
    say(f"ended {word} {self.request.delivery_count}")

@app.task(name="awork")
async def awork(word, seconds):
    say(f"began {word}")
    await asyncio.sleep(seconds)
    say(f"ended {word}")

@app.task(name="ablock")
async def ablock(word, seconds):
    say(f"began {word}")
    time.sleep(seconds)
    say(f"ended {word}")

@app.task(name="again", bind=True, max_retries=3)
def again(self, word):
    say(f"tried {word} {self.request.retries}")
    if not self.request.retries:
        self.retry(countdown=2)
    say(f"ended {word}")

@app.task(name="hang")
def hang(word):
    say(f"began {word}")
    while True:
        try:
            time.sleep(100)
        except BaseException:
            pass
"""


@pytest.fixture
def sender(vhost: Vhost) -> Iterator[App]:
    app = App("sender", vhost.url, ignore_result=True)
    yield app
    app.close()


def test_a_warm_stop_finishes_what_runs_and_gives_the_rest_back(
    vhost: Vhost, sender: App, worker_process: WorkerFactory, management: Management
) -> None:
    worker = worker_process(SOURCE, "-c", "2", "--prefetch", "6", module="stop")
    for number in range(10):
        send(sender, "work", f"word-{number}", 1.0)
    worker.wait_for_line(r"(?m)^began ", count=2)
    wait_for(lambda: management.ready("default") == 4, message="six are held")
    began = time.monotonic()
    assert worker.terminate() == 0, worker.output
    assert time.monotonic() - began < 5, "about the second that what runs needs"
    assert worker.output.count("began ") == worker.output.count("ended ") == 2
    left = waiting(vhost.url)
    assert len(left) == 8, "what was not begun is in the queue, what ended is not"
    assert management.ready("default.dead") == 0
    assert not any("retries" in headers for headers in left), "no attempt was counted"
    if vhost.management.release() >= (4, 3, 0):
        assert [headers.get("x-delivery-count", 0) for headers in left] == [0] * 8, "nor by the broker"


def test_a_warm_stop_under_fire_counts_nothing_against_anybody(
    vhost: Vhost, sender: App, worker_process: WorkerFactory, management: Management
) -> None:
    """Messages that are on their way while the worker says that it wants no more."""
    if vhost.management.release() < (4, 3, 0):
        pytest.skip("before 4.3 the broker counts every return")
    sender.task(name="work")(lambda word, seconds: None).publish_many((f"{number}", 0.0) for number in range(4000))
    for _ in range(3):
        worker = worker_process(SOURCE, "-c", "2", "--prefetch", "400", module="stop")
        worker.wait_for_line(r"(?m)^ended ", count=20)
        assert worker.terminate() == 0
    ran = sum(process.output.count("\nended ") for process in worker_process.started)
    left = waiting(vhost.url)
    assert ran + len(left) == 4000
    assert len(left) > 100, "the stop came amid the work"
    assert {headers.get("x-delivery-count", 0) for headers in left} == {0}


@pytest.mark.parametrize("pool", ["threads", "solo"])
@pytest.mark.parametrize("way", ["TERM twice", "QUIT"])
def test_a_cold_stop_gives_back_what_hangs_within_a_second(
    vhost: Vhost, sender: App, worker_process: WorkerFactory, management: Management, pool: str, way: str
) -> None:
    worker = worker_process(SOURCE, "-c", "2", "-P", pool, module="stop")
    for number in range(4):
        send(sender, "hang", f"word-{number}")
    worker.wait_for_line(r"(?m)^began ", count=2 if pool == "threads" else 1)
    wait_for(lambda: management.ready("default") == 0, message="all are held")
    if way == "TERM twice":
        worker.signal(signal.SIGTERM)
        worker.wait_for_line("stopping: . tasks? (is|are) running")
        assert worker.status is None
        worker.signal(signal.SIGTERM)
    else:
        worker.signal(signal.SIGQUIT)
    began = time.monotonic()
    assert worker.wait(10) == 0, worker.output
    assert time.monotonic() - began < 1.5
    left = waiting(vhost.url)
    assert len(left) == 4
    assert management.ready("default.dead") == 0
    if vhost.management.release() >= (4, 3, 0):
        assert [headers.get("x-delivery-count", 0) for headers in left] == [0] * 4


@pytest.mark.long
def test_retries_under_way_outlive_the_worker(
    vhost: Vhost, sender: App, worker_process: WorkerFactory, management: Management
) -> None:
    worker = worker_process(SOURCE, "-c", "8", module="stop")
    for number in range(50):
        send(sender, "again", f"word-{number}")
    worker.wait_for_line(r"(?m)^tried word-\d+ 0", count=20)
    assert worker.terminate() == 0
    before = worker.output  # on a busy machine some of them are over by now
    other = worker_process(None, "-c", "8", module="stop")
    left = 50 - before.count("\nended ")
    assert left
    other.wait_for_line(r"(?m)^ended word-\d+", count=left, timeout=20)
    assert (before + other.output).count("\ntried ") == 100, "each was tried twice in all"
    assert len(set(re.findall(r"(?m)^ended word-\d+", before + other.output))) == 50
    wait_for(lambda: (depth := management.depth("default")) and depth.total == 0)
    assert management.ready("default.dead") == 0


def test_a_worker_that_is_told_to_stop_while_it_starts_touches_no_message(
    vhost: Vhost, sender: App, management: Management, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(App("stopped", vhost.url)) as app:
        app.task(name="work")(lambda: None)
        node = Node(app, pool="threads")
        app.declare()
        for _ in range(WAITING):
            send(sender, "work")
        start = node.control.start

        def stop_first() -> None:
            start()
            node.stop()

        monkeypatch.setattr(node.control, "start", stop_first)
        node.start()
        assert management.consumer_count("default") == 0
        assert node.wait(20)
    with sender.session() as session:
        left = list(session.take("default", WAITING))
        assert [letter.redelivered for letter in left] == [False] * WAITING
        for letter in left:
            session.ack(letter)
    assert management.ready("default.dead") == 0


def test_a_killed_workers_task_runs_on_another_and_knows_that_it_was_begun(
    vhost: Vhost, sender: App, worker_process: WorkerFactory, management: Management
) -> None:
    worker = worker_process(SOURCE, module="stop")
    send(sender, "work", "word", 30.0)
    worker.wait_for_line(r"(?m)^began word 0$")
    worker.kill()
    other = worker_process(None, module="stop")
    other.wait_for_line(r"(?m)^began word 1$", timeout=15)


@pytest.mark.long
def test_one_of_three_processes_killed_is_started_again(
    vhost: Vhost, sender: App, worker_process: WorkerFactory, management: Management
) -> None:
    supervisor = worker_process(SOURCE, "-c", "1", "--processes", "3", module="stop", ready=False)
    supervisor.wait_for_line(r"(?i)is ready", timeout=40, count=3)
    assert management.consumer_count("default") == 3
    nodes = psutil.Process(supervisor.pid).children()
    assert len(nodes) == 3
    nodes[1].kill()
    supervisor.wait_for_line(r"(?i)is ready", timeout=20, count=4)
    wait_for(lambda: management.consumer_count("default") == 3)
    send(sender, "work", "word", 0)
    supervisor.wait_for_line(r"(?m)^ended word")
    assert supervisor.terminate() == 0
    assert management.consumer_count("default") == 0
    assert not [node for node in nodes if node.is_running() and node.status() != psutil.STATUS_ZOMBIE]


def test_a_supervisor_passes_the_cold_stop_on(
    vhost: Vhost, sender: App, worker_process: WorkerFactory, management: Management
) -> None:
    supervisor = worker_process(SOURCE, "-c", "1", "--processes", "2", module="stop", ready=False)
    supervisor.wait_for_line(r"(?i)is ready", timeout=40, count=2)
    send(sender, "hang", "one")
    send(sender, "hang", "two")
    supervisor.wait_for_line(r"(?m)^began ", count=2)
    supervisor.signal(signal.SIGQUIT)
    assert supervisor.wait(5) == 0
    assert len(waiting(vhost.url)) == 2


@pytest.mark.long
def test_a_worker_that_cannot_consume_yet_stops_all_the_same(
    vhost: Vhost, worker_process: WorkerFactory, management: Management
) -> None:
    """It may not read; somebody may give it the right while it waits."""
    management.request("PUT", "users", vhost.name, body={"password": "secret", "tags": ""})
    rights = {"configure": ".*", "write": ".*", "read": ""}
    management.request("PUT", "permissions", vhost.name, vhost.name, body=rights)
    url = vhost.url.replace("guest:guest", f"{vhost.name}:secret")
    try:
        worker_process(SOURCE, module="stop").terminate()  # declares: that needs the right to read
        worker = worker_process(None, module="stop", broker_url=url, ready=False)
        worker.wait_for_line("cannot be consumed now: 403", timeout=20)
        began = time.monotonic()
        assert worker.terminate() == 0
        assert time.monotonic() - began < 5
        other = worker_process(None, module="stop", broker_url=url, ready=False)
        other.wait_for_line("cannot be consumed now: 403", timeout=20)
        management.request("PUT", "permissions", vhost.name, vhost.name, body={**rights, "read": ".*"})
        other.wait_until_ready()
    finally:
        management.request("DELETE", "users", vhost.name)


def test_solo_runs_one_task_at_a_time_on_the_main_thread(
    vhost: Vhost, sender: App, worker_process: WorkerFactory
) -> None:
    source = (
        SOURCE
        + """
import threading
@app.task(name="where")
def where():
    say(f"on {threading.current_thread() is threading.main_thread()}")
"""
    )
    worker = worker_process(source, "-P", "solo", module="stop")
    send(sender, "work", "a", 0.3)
    send(sender, "work", "b", 0.3)
    send(sender, "where")
    worker.wait_for_line(r"(?m)^on True$")
    spoken = [line for line in worker.output.splitlines() if line.startswith(("began", "ended"))]
    assert spoken == ["began a 0", "ended a 0", "began b 0", "ended b 0"]
    assert worker.terminate() == 0


def test_async_tasks_run_at_once_and_a_blocked_loop_stops_no_heartbeat(
    vhost: Vhost, sender: App, worker_process: WorkerFactory, management: Management
) -> None:
    worker = worker_process(SOURCE, "--prefetch", "20", module="stop", broker_url=f"{vhost.url}?heartbeat=1")
    began = time.monotonic()
    for number in range(20):
        send(sender, "awork", f"word-{number}", 1.0)
    worker.wait_for_line(r"(?m)^ended ", count=20)
    assert time.monotonic() - began < 8, "twenty seconds, one after the other"
    send(sender, "ablock", "blocked", 5.0)
    worker.wait_for_line(r"(?m)^began blocked")
    send(sender, "work", "beside", 0)
    worker.wait_for_line(r"(?m)^ended beside", timeout=3)
    worker.wait_for_line(r"the event loop has been blocked for 1 s by ablock\[", timeout=4)
    worker.wait_for_line(r"(?m)^ended blocked", timeout=10)
    wait_for(lambda: (depth := management.depth("default")) and depth.total == 0)
    assert "lost" not in worker.output
    assert worker.terminate() == 0


@pytest.mark.long
@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_stop_that_takes_longer_than_its_heartbeats_keeps_the_connection(
    vhost: Vhost, sender: App, worker_process: WorkerFactory, management: Management, pool: str
) -> None:
    """A broker closes a connection that is silent for two of its heartbeats, and gives the task to somebody else."""
    url = f"{vhost.url}?heartbeat=1"
    worker = worker_process(SOURCE, "-c", "1", "-P", pool, module="stop", broker_url=url)
    send(sender, "work", "word", 5.0)
    worker.wait_for_line(r"(?m)^began word 0$")
    worker.signal(signal.SIGTERM)
    worker.wait_for_line("stopping: 1 task is running")
    began = time.monotonic()
    assert worker.wait(20) == 0
    assert time.monotonic() - began > 3.5, "more than two heartbeats"
    assert worker.output.count("\nbegan word") == worker.output.count("\nended word") == 1
    assert "lost" not in worker.output
    other = worker_process(None, "-c", "1", module="stop")
    send(sender, "work", "next", 0.0)
    other.wait_for_line(r"(?m)^ended next 0$")
    assert "word" not in other.output, "it was acknowledged"
    assert management.ready("default.dead") == 0


def test_a_warm_stop_waits_for_async_tasks_too(
    vhost: Vhost, sender: App, worker_process: WorkerFactory, management: Management
) -> None:
    worker = worker_process(SOURCE, "--prefetch", "3", module="stop")
    for number in range(5):
        send(sender, "awork", f"word-{number}", 1.0)
    worker.wait_for_line(r"(?m)^began ", count=3)
    assert worker.terminate() == 0
    assert worker.output.count("\nended ") == 3
    assert len(waiting(vhost.url)) == 2


def test_each_queue_has_the_prefetch_it_was_given(
    vhost: Vhost, worker_process: WorkerFactory, management: Management
) -> None:
    worker_process(SOURCE, "-Q", "a:2,b:10,c", "--prefetch", "5", module="stop")
    wanted = {"a": 2, "b": 10, "c": 5}

    def found() -> dict[str, int]:
        consumers = management.consumers()
        return {one["queue"]["name"]: one["prefetch_count"] for one in consumers if one["queue"]["name"] in wanted}

    wait_for(lambda: found() == wanted)
    with App("sender", vhost.url, ignore_result=True).session() as session:
        for queue in wanted:
            assert session.queue_state(queue).consumers == 1
