"""Signals: who is told what, in which order; that a receiver hurts nobody, and where it runs."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from amqptasks import App, Retry, signals
from amqptasks.signals import Signal
from tests.harness.wait import wait_for

Heard = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def listen() -> Iterator[Callable[..., Heard]]:
    """`listen("task_prerun", ...)`: what these signals said, in order; disconnected after the test."""
    connected: list[tuple[Signal, Any]] = []

    def hear(*names: str, sender: object = None) -> Heard:
        heard: Heard = []
        for name in names:
            signal: Signal = getattr(signals, name)

            def receiver(signal: Signal, **named: Any) -> None:
                heard.append((signal.name, named))

            signal.connect(receiver, sender=sender)
            connected.append((signal, receiver))
        return heard

    yield hear
    for signal, receiver in connected:
        for connection in signal._connections:
            if connection.receiver() is receiver:
                signal.disconnect(receiver, connection.sender)


def test_a_task_is_told_of_from_its_publishing_to_its_end(app: App, listen: Callable[..., Heard]) -> None:
    @app.task(name="shop.add")
    def add(x: int, y: int) -> int:
        return x + y

    names = [
        "before_task_publish",
        "after_task_publish",
        "task_received",
        "task_prerun",
        "task_success",
        "task_postrun",
    ]
    heard = listen(*names)
    with app.worker():
        result: Any = add.delay(2, 3)
        assert result.get(timeout=5) == 5
        wait_for(lambda: len(heard) == len(names), message="all of them")
    said = dict(heard)
    assert said.keys() == set(names)
    assert [name for name, _ in heard if name.startswith("task_")] == names[2:]
    assert said["before_task_publish"]["sender"] == "shop.add"
    assert said["before_task_publish"]["body"][0] == (2, 3)
    assert said["before_task_publish"]["headers"]["id"] == result.id
    assert said["after_task_publish"]["routing_key"] == "default"
    assert said["task_received"]["request"].id == result.id
    assert (said["task_prerun"]["task"], said["task_prerun"]["args"]) == (add, (2, 3))
    assert said["task_success"]["result"] == 5
    assert said["task_success"]["runtime"] >= 0
    assert (said["task_postrun"]["state"], said["task_postrun"]["retval"]) == ("SUCCESS", 5)
    for name, named in heard:
        assert set(getattr(signals, name).arguments) <= named.keys(), name


def test_a_retry_and_a_failure_are_told(app: App, listen: Callable[..., Heard]) -> None:
    @app.task(name="shop.fail", autoretry_for=(OSError,), max_retries=1, default_retry_delay=0)
    def fail() -> None:
        raise OSError("no line")

    heard = listen("task_retry", "task_failure", "task_postrun")
    with app.worker():
        with pytest.raises(OSError, match="no line"):
            fail.delay().get(timeout=5)
        wait_for(lambda: len(heard) == 4, message="all of them")
    assert [name for name, _ in heard] == ["task_retry", "task_postrun", "task_failure", "task_postrun"]
    assert str(heard[0][1]["reason"]) == "no line"
    failure = heard[2][1]
    assert isinstance(failure["exception"], OSError)
    assert failure["traceback"] is not None
    assert "no line" in str(failure["einfo"])
    assert [named["state"] for name, named in heard if name == "task_postrun"] == ["RETRY", "FAILURE"]


def test_what_never_runs_is_told(app: App, listen: Callable[..., Heard]) -> None:
    @app.task(name="shop.late")
    def late() -> None: ...

    heard = listen("task_unknown", "task_rejected", "task_revoked", "task_prerun")
    app.send_task("shop.absent", task_id="unknown")
    late.apply_async(expires=0.001, task_id="late")
    app.send_task("shop.late", chain=[{"task": "x", "subtask_type": "group"}])
    with app.worker():
        wait_for(lambda: len(heard) == 3, message="all of them")
    said = dict(heard)
    assert (said["task_unknown"]["name"], said["task_unknown"]["id"]) == ("shop.absent", "unknown")
    assert (said["task_revoked"]["expired"], said["task_revoked"]["request"].id) == (True, "late")
    assert "group" in str(said["task_rejected"]["exc"])


def test_headers_added_before_publishing_travel(app: App) -> None:
    @signals.before_task_publish.connect(sender="shop.trace")
    def add_trace(headers: dict[str, Any], **more: Any) -> None:
        headers["traceparent"] = "00-abc"

    @app.task(name="shop.trace", bind=True)
    def trace(self: Any) -> Any:
        return self.request.headers.get("traceparent")

    try:
        with app.worker():
            assert trace.delay().get(timeout=5) == "00-abc"
            assert trace.publish_many([()])[0].get(timeout=5) == "00-abc"
            assert trace.apply_async(countdown=0.05).get(timeout=5) == "00-abc"
    finally:
        assert signals.before_task_publish.disconnect(add_trace, sender="shop.trace")
    assert not signals.before_task_publish


def test_a_worker_is_told_of(app: App, listen: Callable[..., Heard]) -> None:
    names = [
        "worker_init",
        "import_modules",
        "worker_process_init",
        "worker_ready",
        "worker_shutting_down",
        "worker_process_shutdown",
        "worker_shutdown",
    ]
    heard = listen(*names)
    with app.worker():
        assert [name for name, _ in heard] == names[:4]
    assert [name for name, _ in heard] == names
    assert heard[4][1]["how"] == "warm"


def test_receivers_of_task_signals_run_where_the_task_runs(app: App) -> None:
    places: set[str] = set()
    here = threading.current_thread().name
    named = (signals.task_received, signals.task_prerun, signals.task_success, signals.task_postrun, signals.task_retry)

    def note(**_: Any) -> None:
        places.add(threading.current_thread().name)

    for signal in named:
        signal.connect(note)

    @app.task(name="shop.where")
    def where() -> str:
        if where.request.retries == 0:
            raise Retry(0)
        return threading.current_thread().name

    try:
        with app.worker(concurrency=1):
            ran: Any = where.delay().get(timeout=5)
    finally:
        for signal in named:
            signal.disconnect(note)
    assert places == {ran}
    assert ran != here
    assert "link" not in ran


def test_a_receiver_that_raises_is_logged_and_hurts_nobody(app: App, caplog: pytest.LogCaptureFixture) -> None:
    after: list[str] = []

    def broken(**_: Any) -> None:
        raise RuntimeError("the receiver is broken")

    def works(task_id: str, **_: Any) -> None:
        after.append(task_id)

    signals.task_prerun.connect(broken)
    signals.task_prerun.connect(works)

    @app.task(name="shop.fine")
    def fine() -> str:
        return "fine"

    try:
        with app.worker():
            result: Any = fine.delay()
            assert result.get(timeout=5) == "fine"
    finally:
        signals.task_prerun.disconnect(broken)
        signals.task_prerun.disconnect(works)
    assert after == [result.id]
    assert "a receiver of task_prerun raised" in caplog.text


def test_one_sender_may_be_meant() -> None:
    signal, heard = Signal("happened"), []
    app = App("shop", "memory://unused")
    mine, other = app.task(name="mine")(lambda: None), app.task(name="other")(lambda: None)

    @signal.connect(sender=mine)
    def receiver(sender: object, **_: Any) -> None:
        heard.append(sender)

    signal.send(other)
    signal.send(mine)
    signal.send("mine")
    assert heard == [mine, "mine"]


def test_connecting_twice_calls_once() -> None:
    signal, calls = Signal("happened"), []

    def receiver(**_: Any) -> None:
        calls.append(1)

    signal.connect(receiver)
    signal.connect(receiver)
    signal.connect(lambda **_: calls.append(2), dispatch_uid="once")
    signal.connect(lambda **_: calls.append(3), dispatch_uid="once")
    signal.send(None)
    assert calls == [1, 2]
    assert signal.disconnect(receiver)
    assert signal.disconnect(dispatch_uid="once")
    assert not signal.disconnect(receiver)
    assert not signal


def test_a_receiver_made_in_a_function_is_kept_unless_weak_is_asked_for() -> None:
    signal, calls = Signal("happened"), []

    def connect(weak: bool) -> None:
        def inner(**_: Any) -> None:
            calls.append(weak)

        signal.connect(inner, weak=weak)

    connect(False)
    connect(True)
    gc.collect()
    signal.send(None)
    assert calls == [False]
    assert len(signal._connections) == 1, "the other one is forgotten"


class _Counter:
    def __init__(self) -> None:
        self.count = 0

    def receive(self, **_: Any) -> None:
        self.count += 1


def test_a_method_may_be_connected_and_disconnected() -> None:
    signal, counter = Signal("happened"), _Counter()
    signal.connect(counter.receive)
    signal.connect(counter.receive)
    signal.send(None)
    assert counter.count == 1
    assert signal.disconnect(counter.receive)
