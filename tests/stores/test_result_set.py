"""`ResultSet` over each store: results that are pushed, results by id, and both."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from amqptasks import App, ResultSet, ResultTimeout
from amqptasks.errors import TaskRejected
from amqptasks.results.record import Record
from tests.harness.wait import wait_for

SOON = 60.0


@pytest.fixture
def app(memory_broker: str, address: str) -> Iterator[App]:
    app = App("shop", memory_broker, backend=address)
    gate = app.gate = threading.Event()  # type: ignore[attr-defined]

    @app.task(name="double")
    def double(x: int) -> int:
        return 2 * x

    @app.task(name="fail")
    def fail(x: int) -> None:
        raise ValueError(x)

    @app.task(name="hold")
    def hold(x: int) -> int:
        assert gate.wait(SOON)
        return x

    yield app
    app.close()


@pytest.fixture(params=["pushed", "by id", "both"])
def results(request: pytest.FixtureRequest, app: App, memory_broker: str, address: str) -> Iterator[Any]:
    """A function that calls a task with each of some arguments, and makes the set of what it got."""
    other = App("other", memory_broker, backend=address)
    kept: list[Any] = []

    def call(name: str, values: Sequence[int]) -> ResultSet:
        called = app.tasks[name].publish_many([(value,) for value in values])
        kept.append(called)
        by_id = [other.AsyncResult(one.id) for one in called]
        both = [by_id[index] if index % 2 else called[index] for index in range(len(values))]
        return ResultSet({"pushed": called, "by id": by_id, "both": both}[request.param])

    yield call
    other.close()


def test_values_come_in_order(app: App, results: Any) -> None:
    with app.worker():
        found = results("double", range(50))
        assert found.get(SOON) == [2 * number for number in range(50)]
        assert (found.ready(), found.waiting(), found.successful(), found.failed()) == (True, False, True, False)
        assert found.completed_count() == 50


def test_a_failure_is_raised_or_stands_among_the_values(app: App, results: Any) -> None:
    with app.worker():
        found = results("double", range(3))
        found.update(results("fail", [7]))
        values = found.join(SOON, propagate=False)
        assert values[:3] == [0, 2, 4]
        assert repr(values[3]) == "ValueError(7)"
        with pytest.raises(ValueError, match="7"):
            found.get(SOON)
        assert (found.ready(), found.successful(), found.failed(), found.completed_count()) == (True, False, True, 3)


def test_results_come_as_their_tasks_end(app: App, results: Any) -> None:
    with app.worker(concurrency=2):
        held = results("hold", [100])
        found = ResultSet([*held, *results("double", range(5))])
        seen = found.iter(SOON)
        first = [next(seen).get(0) for _ in range(5)]
        assert sorted(first) == [0, 2, 4, 6, 8]
        assert (found.ready(), found.waiting(), found.completed_count()) == (False, True, 5)
        app.gate.set()  # type: ignore[attr-defined]
        assert [one.get(0) for one in seen] == [100]


def test_time_is_up_with_the_number_of_those_that_have_not_ended(app: App, results: Any) -> None:
    found = results("double", range(4))
    with pytest.raises(ResultTimeout, match=r"4 of 4 tasks have not ended within 0\.1 s"):
        found.get(0.1)
    assert (found.ready(), found.completed_count(), found.failed()) == (False, 0, False)


def test_it_can_be_awaited(app: App, results: Any) -> None:
    async def values(found: ResultSet) -> list[Any]:
        async with asyncio.timeout(SOON):
            return await found

    with app.worker():
        assert asyncio.run(values(results("double", range(10)))) == [2 * number for number in range(10)]


def test_the_store_is_asked_once_for_all(
    app: App, memory_broker: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with app.worker():
        called = app.tasks["double"].publish_many([(number,) for number in range(100)])
        ids = [one.id for one in called]
        ResultSet(called).get(SOON)
        assert app.results is not None
        store = app.results.store
        wait_for(lambda: len(store.read(ids, 0.0)) == 100, SOON, "all are stored")
    other = App("other", memory_broker, backend=address)
    assert other.results is not None
    questions: list[int] = []
    read = other.results.store.read

    def counted(asked: Sequence[str], now: float) -> dict[str, Record]:
        questions.append(len(asked))
        return read(asked, now)

    monkeypatch.setattr(other.results.store, "read", counted)
    assert ResultSet(map(other.AsyncResult, ids)).get(SOON) == [2 * number for number in range(100)]
    assert questions == [100]
    other.close()


def test_it_is_a_set_in_order(app: App) -> None:
    one, two, three = (app.AsyncResult(identity) for identity in "123")
    found = ResultSet([one, two])
    found.add(two)
    found.add(three)
    assert ([result.id for result in found], len(found), found[2] is three) == (["1", "2", "3"], 3, True)
    assert (two in found, app.AsyncResult("4") in found) == (True, False)
    found.remove(two)
    found.discard(two)
    with pytest.raises(KeyError):
        found.remove(two)
    assert found.results == [one, three]
    found.clear()
    assert (list(found), found.get(0), found.ready(), found.successful()) == ([], [], True, True)


def test_all_are_forgotten(app: App, results: Any, memory_broker: str, address: str) -> None:
    with app.worker():
        found = results("double", range(3))
        found.get(SOON)
        found.forget()
        third = App("third", memory_broker, backend=address)
        assert [third.AsyncResult(one.id).state for one in found] == ["PENDING"] * 3
        third.close()


def test_a_rejected_task_ends_the_waiting(app: App) -> None:
    with app.worker():
        found = ResultSet([app.send_task("nobody.knows")])
        with pytest.raises(TaskRejected):
            found.get(SOON)


def test_results_without_a_store_are_taken_too(memory_broker: str) -> None:
    app = App("shop", memory_broker)
    app.task(name="double")(lambda x: 2 * x)
    with app.worker():
        found = ResultSet(app.tasks["double"].publish_many([(number,) for number in range(20)]))
        assert found.get(SOON) == [2 * number for number in range(20)]
    app.close()
