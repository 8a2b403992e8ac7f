"""Programs about results that Celery's users write, with what their comments say, over each store."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from amqptasks import App
from amqptasks.errors import ResultError, StoreRefused
from amqptasks.results.result import AsyncResult
from tests.harness.wait import wait_for
from tests.stores.shop import NewApp

SOON = 60.0


@pytest.fixture
def app(new_app: NewApp) -> App:
    app = new_app()

    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    @app.task
    def broken() -> None:
        raise ValueError("no")

    return app


def task(app: App, name: str) -> Any:
    return next(one for known, one in app.tasks.items() if known.endswith(name))


def printed(run: Callable[[Callable[[object], None]], object]) -> list[str]:
    lines: list[str] = []
    run(lambda value: lines.append(str(value)))
    return lines


def test_executing_a_task(app: App) -> None:
    add = task(app, "add")

    def program(show: Callable[[object], None]) -> None:
        result = add.delay(4, 6)
        show(result.get(timeout=SOON))
        result = add.apply_async(args=[1, 2], countdown=60)
        show(result.status)

    with app.worker():
        assert printed(program) == ["10", "PENDING"]


def test_checking_a_result(app: App) -> None:
    add = task(app, "add")

    def program(show: Callable[[object], None]) -> None:
        result = add.apply_async(args=(4, 6), expires=3600, priority=9, serializer="json", compression="gzip")
        wait_for(result.ready, SOON)
        if result.ready():
            show(result.get())
            show(result.result)

    with app.worker():
        assert printed(program) == ["10", "10"]


def test_handling_a_result(app: App) -> None:
    add = task(app, "add")

    def program(show: Callable[[object], None]) -> None:
        result = add.delay(4, 6)
        show(result.get(timeout=SOON))
        if result.ready():
            show(result.result)
        for value in (result.status, result.successful(), result.failed(), result.traceback, result.info):
            show(value)

    with app.worker():
        assert printed(program) == ["10", "10", "SUCCESS", "True", "False", "None", "10"]


def test_forgetting_and_revoking(app: App, new_app: NewApp) -> None:
    add, gate = task(app, "add"), threading.Event()
    app.task(name="hold")(lambda: gate.wait(SOON))
    with app.worker(queues={"default": 10}, concurrency=1):
        result = add.delay(4, 6)
        assert result.get(timeout=SOON) == 10
        try:
            result.forget()
            assert new_app().AsyncResult(result.id).status == "PENDING"
        except StoreRefused:
            assert app.backend.scheme == "stream"
        held, first, second = app.tasks["hold"].delay(), add.delay(1, 1), add.delay(2, 2)
        first.revoke(terminate=True)
        task_id = second.id
        del second
        add.AsyncResult(task_id).revoke()
        gate.set()
        assert held.get(SOON) is True
        for one in (first, app.AsyncResult(task_id)):
            with pytest.raises(ResultError):
                one.get(timeout=SOON)
            assert one.status == "REVOKED"


def test_a_page_that_shows_a_status(app: App, new_app: NewApp) -> None:
    web = new_app()

    def check_status(task_id: str) -> dict[str, Any]:
        found: AsyncResult[Any] = web.AsyncResult(task_id)
        return {"task_id": task_id, "status": found.status, "result": found.result if found.ready() else None}

    identity = task(app, "add").delay(4, 6).id
    assert check_status(identity) == {"task_id": identity, "status": "PENDING", "result": None}
    with app.worker():
        done = wait_for(lambda: (said := check_status(identity))["status"] == "SUCCESS" and said, SOON)
        assert done == {"task_id": identity, "status": "SUCCESS", "result": 10}


def test_a_report_that_tells_its_progress(app: App, new_app: NewApp) -> None:
    go = threading.Event()

    @app.task(bind=True, time_limit=600, name="report")
    def generate_report(self: Any) -> dict[str, str]:
        self.update_state(state="PROGRESS", meta={"current": 0, "total": 100})
        self.update_state(state="PROGRESS", meta={"current": 30, "total": 100})
        assert go.wait(SOON)
        return {"status": "complete", "url": "reports/1"}

    with app.worker(pool="threads"):
        found: AsyncResult[Any] = new_app().AsyncResult(generate_report.delay().id)
        wait_for(lambda: found.state == "PROGRESS" and found.info["current"] == 30, SOON)
        assert found.info == {"current": 30, "total": 100}
        go.set()
        assert found.get(SOON) == {"status": "complete", "url": "reports/1"}


def test_a_failure_shows_its_traceback(app: App, new_app: NewApp) -> None:
    with app.worker():
        result = task(app, "broken").delay()
        for one in (result, new_app().AsyncResult(result.id)):
            wait_for(one.failed, SOON)
            assert one.traceback is not None
            assert one.traceback.startswith("Traceback (most recent call last)")
            assert 'raise ValueError("no")' in one.traceback
