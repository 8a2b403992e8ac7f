"""`GroupResult`, and what a result does besides giving its value: `then`, `collect`, `revoke`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from amqptasks import App, GroupResult, ResultSet
from amqptasks.errors import ConfigurationError, ResultsNotKept, ResultTimeout, TaskRevoked
from amqptasks.results.result import AsyncResult
from tests.harness.wait import wait_for
from tests.stores.shop import NewApp

SOON = 30.0


@pytest.fixture
def app(new_app: NewApp) -> App:
    return with_tasks(new_app())


def with_tasks(app: App) -> App:
    @app.task(name="double")
    def double(x: int) -> int:
        return 2 * x

    @app.task(name="fail")
    def fail() -> None:
        raise ValueError("no")

    @app.task(name="parent")
    def parent(x: int) -> list[str]:
        return [double.delay(number).id for number in range(x)]

    return app


def test_a_group_is_restored_by_another_process(app: App, new_app: NewApp) -> None:
    with app.worker():
        group = GroupResult(results=app.tasks["double"].publish_many([(number,) for number in range(5)]))
        group.save()
        other = new_app()
        found = GroupResult.restore(group.id, app=other)
        assert found is not None
        assert (found.id, [one.id for one in found]) == (group.id, [one.id for one in group])
        assert found.join(SOON) == [0, 2, 4, 6, 8]
        assert (found.completed_count(), found.ready(), found.successful(), found.waiting()) == (5, True, True, False)
        assert {one.id for one in found.iter(SOON)} == {one.id for one in group}


def test_a_group_that_was_not_saved_is_none(app: App) -> None:
    assert GroupResult.restore("nobody", app=app) is None


def test_the_id_of_a_group_is_that_of_no_task(app: App) -> None:
    group = GroupResult("1", [app.AsyncResult("1")])
    group.save()
    assert app.AsyncResult("1").state == "PENDING"
    found = GroupResult.restore("1", app=app)
    assert found is not None
    assert [one.id for one in found] == ["1"]


def test_a_group_is_saved_again_with_more(app: App, new_app: NewApp) -> None:
    group = GroupResult("g", [app.AsyncResult("1")])
    group.save()
    group.add(app.AsyncResult("2"))
    group.save()
    found = GroupResult.restore("g", app=new_app())
    assert found is not None
    assert [one.id for one in found] == ["1", "2"]


def test_an_empty_group_names_its_store(app: App) -> None:
    with pytest.raises(ResultsNotKept):
        GroupResult("g").save()
    GroupResult("g").save(app)
    found = GroupResult.restore("g", app=app)
    assert found is not None
    assert (len(found), found.get(0)) == (0, [])


def test_a_group_that_is_deleted_is_gone_and_its_results_stay(app: App) -> None:
    with app.worker():
        group = GroupResult(results=[app.tasks["double"].delay(2)])
        assert group.get(SOON) == [4]
        group.save()
        group.delete()
        assert GroupResult.restore(group.id, app=app) is None
        assert app.AsyncResult(group[0].id).get(SOON) == 4


def test_a_group_without_a_store_is_not_saved() -> None:
    app = App("shop", "memory://")
    with pytest.raises(ResultsNotKept, match="stream://"):
        GroupResult.restore("g", app=app)


def test_a_group_of_too_many_is_refused(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amqptasks.results.backend.MOST_IN_A_GROUP", 1)
    group = GroupResult("g", [app.AsyncResult("1"), app.AsyncResult("2")])
    with pytest.raises(ConfigurationError, match="1 tasks at most, not 2"):
        group.save()


@pytest.fixture(params=["pushed", "by id", "without a store"])
def calls(request: pytest.FixtureRequest, new_app: NewApp) -> tuple[App, Callable[..., AsyncResult[Any]]]:
    app = with_tasks(new_app(**({"backend": None} if request.param == "without a store" else {})))
    other = new_app()

    def call(name: str, *args: Any) -> AsyncResult[Any]:
        result: AsyncResult[Any] = app.tasks[name].delay(*args)
        kept.append(result)
        return other.AsyncResult(result.id) if request.param == "by id" else result

    kept: list[AsyncResult[Any]] = []
    return app, call


def test_then_calls_back_once_the_task_has_ended(calls: tuple[App, Callable[..., AsyncResult[Any]]]) -> None:
    app, call = calls
    told: dict[str, Any] = {}
    threads = set()

    def note(kind: str) -> Callable[[AsyncResult[Any]], None]:
        def heard(result: AsyncResult[Any]) -> None:
            threads.add(threading.current_thread().name)
            told[kind] = result.get(0, propagate=False)

        return heard

    first = call("double", 4)
    assert first.then(note("returned"), note("not")) is first
    call("fail").then(note("not"), note("failed"))
    call("double", 5).then(lambda result: 1 / 0)
    with app.worker():
        last = call("double", 6).then(note("last"))
        wait_for(lambda: len(told) == 3, SOON, "all were called")
    assert (told["returned"], repr(told["failed"]), told["last"]) == (8, "ValueError('no')", 12)
    assert threads == {"amqptasks-then"}
    last.then(note("again"))
    wait_for(lambda: told.get("again") == 12, SOON, "it is called for one that has ended")
    wait_for(
        lambda: all(thread.name != "amqptasks-then" for thread in threading.enumerate()), SOON, "the thread has ended"
    )


def test_collect_gives_the_results_of_children(app: App, new_app: NewApp) -> None:
    with app.worker():
        called = app.tasks["parent"].delay(3)
        for one in (called, new_app().AsyncResult(called.id)):
            found = list(one.collect(SOON))
            ids = found[0][1]
            assert [(result.id, value) for result, value in found[1:]] == [(ids[0], 0), (ids[1], 2), (ids[2], 4)]
            assert found[0][0].id == called.id


def test_collect_ends_with_the_time(app: App) -> None:
    with pytest.raises(ResultTimeout):
        list(app.tasks["double"].delay(1).collect(0.05))


def test_revoke_lets_a_task_not_run(calls: tuple[App, Callable[..., AsyncResult[Any]]]) -> None:
    app, call = calls
    gate = threading.Event()
    app.task(name="hold")(lambda: gate.wait(SOON))
    with app.worker(queues={"default": 10}, concurrency=1) as node:
        held = call("hold")
        first, second, third = call("double", 1), call("double", 2), call("double", 3)
        ignored = app.tasks["double"].apply_async((4,), ignore_result=True)
        first.revoke()
        ResultSet([second]).revoke()
        ignored.revoke()
        gate.set()
        assert [held.get(SOON), third.get(SOON)] == [True, 6]
        for one in (first, second):
            with pytest.raises(TaskRevoked):
                one.get(SOON)
            assert one.state == "REVOKED"
        wait_for(lambda: node.counts.total() == 5, SOON, "its turn came")
        assert node.counts["Success"] == 2


def test_a_result_of_no_app_says_who_revokes() -> None:
    with pytest.raises(ConfigurationError, match=r"app\.control\.revoke"):
        AsyncResult("1").revoke()
