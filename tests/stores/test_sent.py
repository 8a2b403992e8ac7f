"""`track_sent`: what a result store knows of a call before any worker does, and of an id that is nobody's."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from amqptasks import App, BrokerError
from amqptasks.errors import PartlyPublished, StoreUnavailable
from amqptasks.memory.registry import forget
from amqptasks.messages.properties import Properties
from amqptasks.messages.request import Request
from amqptasks.results.record import Record
from amqptasks.results.result import AsyncResult
from tests.harness.wait import wait_for

SOON = 30.0


@pytest.fixture
def broker() -> Iterator[str]:
    url = f"memory://{uuid.uuid4().hex}"
    yield url
    forget(url)


@pytest.fixture
def app(broker: str, address: str) -> Iterator[App]:
    app = App("shop", broker, backend=address, track_sent=True)

    @app.task(name="add")
    def add(x: int, y: int = 0) -> int:
        return x + y

    @app.task(name="quiet", track_sent=False)
    def quiet() -> None: ...

    yield app
    app.close()


@pytest.fixture
def other(broker: str, address: str) -> Iterator[App]:
    """It did not call."""
    app = App("other", broker, backend=address, track_sent=True)
    yield app
    app.close()


async def awaited(app: App) -> Any:
    return await app.tasks["add"].adelay(1)


CALLS = {
    "delay": lambda app: app.tasks["add"].delay(1),
    "apply_async": lambda app: app.tasks["add"].apply_async((1,), countdown=60),
    "publish_many": lambda app: app.tasks["add"].publish_many([(1,), (2,)])[1],
    "submit": lambda app: app.tasks["add"].submit(1).result(SOON),
    "send_task": lambda app: app.send_task("nobody.knows", (1,)),
    "adelay": lambda app: asyncio.run(awaited(app)),
}


@pytest.mark.parametrize("way", CALLS)
def test_a_call_is_sent_before_a_worker_has_it(app: App, other: App, way: str) -> None:
    result: AsyncResult[Any] = CALLS[way](app)
    for one in (result, other.AsyncResult(result.id)):
        assert (one.state, one.ready()) == ("SENT", False)
    assert other.AsyncResult(result.id).name in ("add", "nobody.knows")


def test_a_call_of_many_that_its_twin_keeps_out_is_not_sent(
    app: App, other: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert app.results is not None
    store, stored = app.results.store, []
    write = store.write

    def noted(records: Sequence[Record]) -> None:
        stored.extend(record.id for record in records)
        write(records)

    monkeypatch.setattr(store, "write", noted)
    with pytest.raises(PartlyPublished, match="1 of 2"):
        app.tasks["add"].publish_many([(1,), (1,)], unique=True)
    assert [other.AsyncResult(identity).state for identity in stored] == ["SENT", "UNKNOWN"]


def test_an_id_without_a_record_is_unknown_and_only_where_every_call_is_recorded(
    app: App, other: App, broker: str, address: str
) -> None:
    assert other.AsyncResult("nobody").state == "UNKNOWN"
    untracked = App("third", broker, backend=address)
    assert untracked.AsyncResult("nobody").state == "PENDING"
    untracked.close()


def test_what_comes_later_takes_its_place(app: App, other: App) -> None:
    result = app.tasks["add"].apply_async((1, 2), link=app.tasks["add"].s(10))
    with app.worker():
        by_id = other.AsyncResult(result.id)
        assert (result.get(SOON), by_id.get(SOON), by_id.state) == (3, 3, "SUCCESS")
        (child,) = by_id.children
        assert child.get(SOON) == 13


def test_that_a_task_was_sent_is_no_news_once_it_has_begun(app: App) -> None:
    """The record of a call that is published again may come late."""
    assert app.results is not None
    recording, store = app.results.recording, app.results.store
    request = Request("add", "1", (), {})
    store.write([recording.on_the_way(request, Properties(), "STARTED", None)])
    store.write([recording.on_the_way(request, Properties(), "SENT", None)])
    assert app.AsyncResult("1").state == "STARTED"


def test_a_task_says_itself_whether_it_is_tracked(app: App, other: App, broker: str, address: str) -> None:
    assert other.AsyncResult(app.tasks["quiet"].delay().id).state == "UNKNOWN"
    plain = App("plain", broker, backend=address)
    plain.task(name="loud", track_sent=True)(lambda: None)
    plain.task(name="soft")(lambda: None)
    loud, soft = plain.tasks["loud"].delay(), plain.tasks["soft"].delay()
    assert [other.AsyncResult(one.id).state for one in (loud, soft)] == ["SENT", "UNKNOWN"]
    plain.close()


def test_a_call_whose_result_nobody_wants_is_not_recorded(app: App, other: App) -> None:
    result = app.tasks["add"].apply_async((1,), ignore_result=True)
    assert (result.state, other.AsyncResult(result.id).state) == ("IGNORED", "UNKNOWN")


@pytest.mark.parametrize("way", CALLS)
def test_a_store_that_is_down_lets_no_call_through(
    app: App, broker: str, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    app.declare()
    assert app.results is not None

    def fail(records: Sequence[Record]) -> None:
        raise StoreUnavailable("it is down")

    monkeypatch.setattr(app.results.store, "write", fail)
    with pytest.raises(StoreUnavailable, match="it is down"):
        CALLS[way](app)
    monkeypatch.undo()
    with app.worker() as node:
        last = app.tasks["add"].delay(5)
        assert last.get(SOON) == 5
        wait_for(node.counts.total, SOON, "it is counted")
        assert node.counts.total() == 1


def test_a_call_that_was_not_published_is_forgotten(app: App, other: App) -> None:
    with pytest.raises(BrokerError) as caught:
        app.tasks["add"].apply_async((1,), exchange="nosuch", routing_key="x")
    assert caught.value.maybe_published is False
    assert other.AsyncResult(str(caught.value.task_id)).state == "UNKNOWN"


def test_a_worker_that_cannot_record_what_follows_publishes_it(
    app: App, other: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert app.results is not None
    write = app.results.store.write

    def fail(records: Sequence[Record]) -> None:
        if records[0].state == "SENT":
            raise StoreUnavailable("it is down")
        write(records)

    result = app.tasks["add"].apply_async((1, 2), link=app.tasks["add"].s(10))
    monkeypatch.setattr(app.results.store, "write", fail)
    with app.worker():
        assert result.get(SOON) == 3
        assert result.children[0].get(SOON) == 13
    wait_for(lambda: "without a record that it was sent" in caplog.text, message="it is told")
