"""Events of tasks and workers, on a real broker."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amqptasks import App
from amqptasks.amqp.link import Link
from amqptasks.errors import BrokerError
from amqptasks.events import places, reader
from amqptasks.events.event import Event
from tests.harness.command import run_command
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory


class Heard:
    """Listens to the exchange on a link of its own."""

    def __init__(self, url: str) -> None:
        self.link = Link([url])
        self.link.start()
        self.events: list[Event] = []
        self._over = False
        self.ready = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        assert self.ready.wait(10)

    def _listen(self) -> None:
        for event in reader.live(self.link, poll=0.05):
            self.ready.set()  # the first silence: by then the queue is bound
            if self._over:
                return
            if event is not None:
                self.events.append(event)

    def close(self) -> None:
        self._over = True
        self._thread.join(10)
        self.link.stop(5)

    def of(self, identity: str) -> list[Event]:
        return [event for event in self.events if event.get("uuid") == identity]

    def types_of(self, identity: str) -> list[str]:
        return [event["type"] for event in self.of(identity)]


@pytest.fixture
def app(vhost: Vhost) -> Iterator[App]:
    made = App("eventful", vhost.url, events=True)

    @made.task(name="add")
    def add(x: int, y: int) -> int:
        return x + y

    @made.task(name="fail")
    def fail() -> None:
        raise ValueError("as it should")

    @made.task(name="again", bind=True, max_retries=1, default_retry_delay=0.05)
    def again(self: Any) -> None:
        if not self.request.retries:
            self.retry()

    yield made
    made.close()


@pytest.fixture
def heard(vhost: Vhost, app: App) -> Iterator[Heard]:
    with app.session() as session:
        places.prepare(session, has_streams=True)
    listening = Heard(vhost.url)
    yield listening
    listening.close()


def test_the_life_of_a_task_is_told(app: App, heard: Heard) -> None:
    with app.worker(["default"]) as node:
        added = app.send_task("add", [2, 3], queue="default")
        assert added.get(10) == 5
        failed, retried = app.send_task("fail", queue="default"), app.send_task("again", queue="default")
        lives = {
            added.id: {"task-sent", "task-received", "task-started", "task-succeeded"},
            failed.id: {"task-sent", "task-received", "task-started", "task-failed"},
        }
        for identity, types in lives.items():
            wait_for(lambda i=identity, t=types: set(heard.types_of(i)) == t, 10, lambda i=identity: heard.types_of(i))
        wait_for(lambda: heard.types_of(retried.id).count("task-succeeded") == 1, 10)
        assert heard.types_of(retried.id).count("task-retried") == 1
        succeeded = next(event for event in heard.of(added.id) if event["type"] == "task-succeeded")
        assert (succeeded["result"], succeeded["hostname"], succeeded["name"]) == ("5", node.name, "add")
        assert succeeded["runtime"] >= 0
        failure = next(event for event in heard.of(failed.id) if event["type"] == "task-failed")
        assert failure["exception"] == "ValueError: as it should"
        assert "Traceback" in failure["traceback"]
        by_time = sorted(heard.of(added.id), key=lambda event: event["timestamp"])
        assert [event["type"] for event in by_time] == ["task-sent", *[event["type"] for event in by_time[1:]]]
        assert [event["type"] for event in heard.events if event["type"].startswith("worker")][:1] == ["worker-online"]
    wait_for(lambda: heard.events[-1]["type"] == "worker-offline", 10)


def test_what_cannot_run_is_told(app: App, heard: Heard) -> None:
    with app.worker(["default"]):
        unknown = app.send_task("nobody", queue="default")
        expired = app.send_task("add", [1, 1], queue="default", expires=0)
        app.declare()
        wait_for(lambda: "task-rejected" in heard.types_of(unknown.id), 10)
        wait_for(lambda: "task-revoked" in heard.types_of(expired.id), 10)
        revoked = next(event for event in heard.of(expired.id) if event["type"] == "task-revoked")
        assert (revoked["expired"], revoked["terminated"]) == (True, False)


def test_events_are_off_unless_asked_for(vhost: Vhost, heard: Heard) -> None:
    quiet = App("quiet", vhost.url)
    quiet.task(name="add")(lambda: None)
    with quiet.worker(["default"]) as node:
        assert node.events is None
        quiet.send_task("add", queue="default").get(10)
        quiet.control.enable_events()
        wait_for(lambda: [event["type"] for event in heard.events] == ["worker-online"], 10)
        told = quiet.send_task("add", queue="default")
        told.get(10)
        wait_for(lambda: "task-succeeded" in heard.types_of(told.id), 10)
        quiet.control.disable_events()
        count = len(heard.events)
        quiet.send_task("add", queue="default").get(10)
        time.sleep(0.5)  # longer than events are gathered
        assert len(heard.events) == count


def test_the_past_is_in_the_stream(app: App, vhost: Vhost, tmp_path: Path) -> None:
    began = time.time()
    with app.worker(["default"]):
        result = app.send_task("add", [2, 3], queue="default")
        assert result.get(10) == 5
    link = Link([vhost.url])
    link.start()
    try:
        types = [event["type"] for event in reader.past(link, began - 60) if event and event.get("uuid") == result.id]
        assert set(types) == {"task-sent", "task-received", "task-started", "task-succeeded"}
        assert list(reader.past(link, time.time() + 3600)) == []
    finally:
        link.stop(5)
    printed = run_command("events", "--since", "1h", "--task", result.id, "--json", url=vhost.url, folder=tmp_path)
    assert printed.returncode == 0, printed.stderr
    assert {json.loads(line)["type"] for line in printed.stdout.splitlines()} == set(types)
    line = run_command("events", "--since", "1h", "--type", "task-succ*", url=vhost.url, folder=tmp_path).stdout
    assert f"add {result.id} in 0." in line


def test_without_a_stream_the_past_cannot_be_read(vhost: Vhost, tmp_path: Path) -> None:
    link = Link([vhost.url])
    link.start()
    try:
        with pytest.raises(BrokerError, match="worker -E"):
            list(reader.past(link, 0.0))
    finally:
        link.stop(5)
    assert run_command("events", "--since", "1h", url=vhost.url, folder=tmp_path).returncode == 3


def test_events_that_the_broker_refuses_slow_no_task(app: App, vhost: Vhost) -> None:
    app.events = False  # of calls: another emitter would make the exchange again
    with app.worker({"default": 50}) as node:
        app.control.enable_events()
        assert app.send_task("add", [1, 1], queue="default").get(10) == 2
        assert node.events is not None
        wait_for(lambda: node.events and node.events.emitter.sent > 0, 10)
        with app.session() as session:
            session.delete_exchange(places.EXCHANGE.name)
        results = [app.send_task("add", [number, 1], queue="default") for number in range(200)]  # none loses its reply
        assert [result.get(20) for result in results] == [number + 1 for number in range(200)]
        wait_for(lambda: node.events and node.events.emitter.dropped > 0, 10)


def test_celerys_own_receiver_reads_our_events(app: App, vhost: Vhost, worker_process: WorkerFactory) -> None:
    celery = pytest.importorskip("celery")
    with app.session() as session:
        places.prepare(session, has_streams=True)
    theirs = celery.Celery("listens", broker=vhost.url)
    theirs.conf.event_exchange = places.EXCHANGE.name
    state = theirs.events.State()
    listening = threading.Event()
    over = threading.Event()

    def listen() -> None:
        with theirs.connection() as connection:
            receiver = theirs.events.Receiver(connection, handlers={"*": state.event})
            with receiver.consumer_context() as (consuming, _, _):
                listening.set()
                while not over.is_set():
                    try:
                        consuming.drain_events(timeout=0.2)
                    except TimeoutError:
                        continue

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    assert listening.wait(10)
    try:
        with app.worker(["default"]) as node:
            added = app.send_task("add", [2, 3], queue="default")
            added.get(10)
            wait_for(
                lambda: getattr(state.tasks.get(added.id), "state", None) == "SUCCESS",
                10,
                lambda: f"{dict(state.tasks)}",
            )
            assert state.tasks[added.id].name == "add"
            assert state.tasks[added.id].result == "5"
            assert node.name in state.workers
    finally:
        over.set()
        thread.join(10)
