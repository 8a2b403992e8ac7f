"""A worker whose result store is down, slow or refuses: nothing is acknowledged before it is stored, nothing is lost,
and nothing else is held up. The store is one that obeys, the broker one in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from amqptasks import App, Reject
from amqptasks.errors import ConfigurationError, StoreRefused, StoreUnavailable
from amqptasks.memory.registry import broker_of
from amqptasks.results import backend as backends
from amqptasks.results.record import Record
from amqptasks.results.result import AsyncResult
from amqptasks.results.stores.memory import MemoryStore
from amqptasks.worker.consume.waits import STORE_DOWN
from amqptasks.worker.node import Node
from amqptasks.worker.settle import storing
from tests.harness.wait import wait_for
from tests.unit.tasks.test_followers import letters

SOON = 10.0


class Obedient(MemoryStore):
    """`error` is raised by each write of a final state; `largest` bytes are taken; a cleared `go_on` holds writes."""

    def __init__(self) -> None:
        super().__init__("memory://obedient")
        self.error: Exception | None = None
        self.largest = 10**9
        self.go_on = threading.Event()
        self.go_on.set()
        self.tries = 0

    def write(self, records: Sequence[Record]) -> None:
        self.go_on.wait(SOON)
        if any(record.final for record in records):
            self.tries += 1
            if self.error is not None:
                raise self.error
        if any(len(record.body) > self.largest for record in records):
            raise StoreRefused(f"it takes {self.largest} bytes")
        super().write(records)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Obedient:
    made = Obedient()
    monkeypatch.setattr(backends, "open_store", lambda *given: made)
    monkeypatch.setattr(storing, "LATE", 0.2)
    return made


@pytest.fixture
def app(store: Obedient, memory_broker: str) -> Iterator[App]:
    app = App("shop", memory_broker, backend="memory://obedient")
    ran = app.ran = []  # type: ignore[attr-defined]

    @app.task(name="add")
    def add(x: int, y: int) -> int:
        ran.append((x, y))
        return x + y

    @app.task(name="reject")
    def reject() -> Any:
        return Reject("no such customer")

    @app.task(name="early", acks_late=False)
    def early() -> str:
        ran.append("early")
        return "done"

    @app.task(name="again", max_retries=1, default_retry_delay=0.01, autoretry_for=(KeyError,), bind=True)
    def again(self: Any) -> None:
        ran.append(self.request.retries)
        raise KeyError("no")

    yield app
    app.close()


def unacked(node: Node, queue: str = "default") -> int:
    return node.queues[queue].unsettled


def down(node: Node) -> str | None:
    """What it says of the store; None while that is well."""
    return next((wait.detail for wait in node.waits.current() if wait.name == STORE_DOWN), None)


@pytest.mark.parametrize("error", [StoreUnavailable("connection refused"), RuntimeError("a mistake")], ids=str)
def test_a_task_is_not_acknowledged_before_its_result_is_stored(app: App, store: Obedient, error: Exception) -> None:
    store.error = error
    with app.worker() as node:
        result = app.tasks["add"].delay(1, 2)
        assert result.get(SOON) == 3  # who waits has the reply all the same
        wait_for(lambda: store.tries > 2, message="the store is tried again")
        said = wait_for(lambda: down(node), message="the worker says so")
        assert "1 task has ended and waits for the result store" in said
        assert str(error) in said
        assert (node.ready, node.trouble, unacked(node)) == (False, said, 1)
        store.error = None
        wait_for(lambda: unacked(node) == 0, message="it is acknowledged")
        wait_for(lambda: down(node) is None and node.ready, message="the worker is ready again")
        assert app.AsyncResult(result.id).get(SOON) == 3
    assert app.ran == [(1, 2)]  # type: ignore[attr-defined]


def test_a_store_that_does_not_answer_holds_neither_the_link_nor_other_queues(app: App, store: Obedient) -> None:
    store.go_on.clear()
    add = app.tasks["add"]
    with app.worker(queues={"default": 4, "other": 4}) as node:
        stored = [add.delay(number, 0) for number in range(10)]
        wait_for(lambda: unacked(node) == 4, message="its queue goes on up to the prefetch")
        for number in range(50):
            add.apply_async((number, 100), queue="other", ignore_result=True)
        wait_for(lambda: len(app.ran) == 54, message="the other queue goes on")  # type: ignore[attr-defined]
        wait_for(lambda: "has not answered" in (down(node) or ""), message="the worker says so")
        assert unacked(node, "other") == 0
        store.go_on.set()
        assert [app.AsyncResult(one.id).get(SOON) for one in stored] == list(range(10))
        wait_for(lambda: unacked(node) == 0, message="all are acknowledged")


def test_what_waits_for_a_store_takes_no_place_in_a_pool(app: App, store: Obedient) -> None:
    store.error = StoreUnavailable("it is down")
    with app.worker(queues={"default": 20}, concurrency=1) as node:
        for number in range(20):
            app.tasks["add"].delay(number, 0)
        wait_for(lambda: len(app.ran) == 20, message="all of them run")  # type: ignore[attr-defined]
        assert unacked(node) == 20
        store.error = None


def test_a_worker_that_stops_while_the_store_is_down_gives_its_tasks_back(app: App, store: Obedient) -> None:
    store.error = StoreUnavailable("it is down")
    with app.worker() as node:
        result = app.tasks["add"].delay(1, 2)
        wait_for(lambda: down(node), message="it waits")
    store.error = None
    assert result.get(SOON) == 3  # the reply; the store has nothing
    assert store.read([result.id], 0.0) == {}
    with app.worker() as node:
        wait_for(lambda: store.read([result.id], 0.0), message="it runs again, and is stored")
        wait_for(lambda: unacked(node) == 0, message="it is acknowledged")
    assert app.ran == [(1, 2), (1, 2)]  # type: ignore[attr-defined]


def test_a_dead_letter_is_written_once_its_result_is_stored(app: App, store: Obedient, memory_broker: str) -> None:
    store.error = StoreUnavailable("it is down")
    with app.worker() as node:
        result = app.tasks["reject"].delay()
        wait_for(lambda: down(node), message="it waits")
        assert letters(app) == []
        store.error = None
        wait_for(lambda: letters(app), message="its dead letter is there")
        assert app.AsyncResult(result.id).state == "REJECTED"


def test_what_follows_on_a_task_is_called_once_its_result_is_stored(app: App, store: Obedient) -> None:
    store.error = StoreUnavailable("it is down")
    with app.worker() as node:
        app.tasks["add"].apply_async((1, 2), link=app.tasks["add"].s(10))
        wait_for(lambda: down(node), message="it waits")
        assert app.ran == [(1, 2)]  # type: ignore[attr-defined]
        store.error = None
        wait_for(lambda: (3, 10) in app.ran, message="its link runs")  # type: ignore[attr-defined]


def test_a_retry_does_not_wait_for_the_store(app: App, store: Obedient) -> None:
    store.go_on.clear()
    with app.worker():
        app.tasks["again"].delay()
        wait_for(lambda: app.ran == [0, 1], message="it ran twice")  # type: ignore[attr-defined]
        store.go_on.set()


def test_a_result_that_the_store_refuses_is_a_failure_that_says_so(app: App, store: Obedient) -> None:
    store.largest = 2000
    app.task(name="many")(lambda: "x" * 5000)
    with app.worker() as node:
        result = app.tasks["many"].delay()
        wait_for(lambda: unacked(node) == 0 and node.counts.total() == 1, message="it is acknowledged")
        kept: AsyncResult[Any] = App("other", app.broker, backend="memory://obedient").AsyncResult(result.id)
        with pytest.raises(ConfigurationError, match=r"cannot be stored.*it takes 2000 bytes"):
            kept.get(SOON)


def test_a_store_that_refuses_everything_holds_up_nothing(
    app: App, store: Obedient, caplog: pytest.LogCaptureFixture
) -> None:
    store.largest = 0
    with app.worker() as node:
        result = app.tasks["add"].delay(1, 2)
        wait_for(lambda: node.counts.total() == 1 and unacked(node) == 0, message="it is acknowledged")
        assert result.get(SOON) == 3
    assert "its result is refused by the store" in caplog.text


def test_a_task_that_was_acknowledged_early_says_that_its_result_is_lost(
    app: App, store: Obedient, caplog: pytest.LogCaptureFixture
) -> None:
    store.error = StoreUnavailable("it is down")
    with app.worker() as node:
        app.tasks["early"].delay()
        wait_for(lambda: down(node), message="it waits")
    assert "early" in caplog.text
    assert "its result is lost: the store was down" in caplog.text
    assert app.ran == ["early"]  # type: ignore[attr-defined]


def test_a_run_whose_message_came_again_is_stored_once(app: App, store: Obedient, memory_broker: str) -> None:
    """Between write and ack the connection breaks: the message comes again, and the first result stays."""
    store.go_on.clear()
    with app.worker() as node:
        result = app.tasks["add"].delay(1, 2)
        wait_for(lambda: len(app.ran) == 1 and unacked(node) == 1, message="it ran")  # type: ignore[attr-defined]
        broker_of(memory_broker).break_connections()
        store.go_on.set()
        wait_for(lambda: store.read([result.id], 0.0) and unacked(node) == 0, message="it is stored and settled")
        first = store.read([result.id], 0.0)[result.id]
        wait_for(lambda: node.ready and unacked(node) == 0, message="the worker is back")
        assert store.read([result.id], 0.0)[result.id] == first
        assert app.AsyncResult(result.id).get(SOON) == 3


def test_a_caller_hears_that_the_store_does_not_answer(app: App, store: Obedient, monkeypatch: Any) -> None:
    def fail(ids: Sequence[str], now: float) -> dict[str, Record]:
        raise StoreUnavailable("memory://obedient: connection refused")

    monkeypatch.setattr(store, "read", fail)
    result = app.AsyncResult("1")
    for ask in (lambda: result.state, lambda: result.get(timeout=0), result.ready):
        with pytest.raises(StoreUnavailable, match="connection refused"):
            ask()
