"""What a task can ask about its run: Celery's names, and what Celery does not tell."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from amqptasks import App, Request


def test_a_running_task_knows_its_request(app: App) -> None:
    seen: list[Request] = []

    @app.task(name="shop.look", bind=True, time_limit=60, soft_time_limit=30)
    def look(self: Any, x: int, y: int) -> float:
        seen.append(self.request)
        return float(self.request.remaining())

    with app.worker() as worker:
        before = datetime.now(UTC)
        result: Any = look.apply_async(
            (1,), {"y": 2}, headers={"tenant": "acme"}, shadow="look at it", expires=60, priority=3
        )
        assert 25 < result.get(timeout=5) <= 30
    (request,) = seen
    assert (request.id, request.root_id, request.parent_id) == (result.id, result.id, None)
    assert (request.args, request.kwargs, request.retries, request.attempt) == ((1,), {"y": 2}, 0, 1)
    assert request.timelimit == (60, 30)
    assert request.delivery_info == {
        "exchange": "amqptasks.queues",
        "routing_key": "default",
        "priority": 3,
        "redelivered": False,
        "is_eager": False,
    }
    assert (request.queue, request.delivery_count, request.redelivered) == ("default", 0, False)
    assert (request.hostname, request.is_eager, request.called_directly) == (worker.name, False, False)
    assert (request.headers["tenant"], request.shadow) == ("acme", "look at it")
    assert request.correlation_id == result.id
    assert request.reply_to
    assert request.expires is not None
    assert request.first_published is not None
    assert abs(request.first_published - before) < timedelta(seconds=5)


def test_outside_of_a_run_there_is_an_empty_one(app: App) -> None:
    look = app.task(name="shop.look")(lambda: None)
    assert look.request.id == ""
    assert look.request.called_directly
    assert look.request.remaining() is None


def test_when_a_call_with_a_foreign_id_was_made_is_known_from_its_first_attempt() -> None:
    assert Request("shop.look", "celery's own").first_published is None
    again = Request("shop.look", "celery's own", headers={"x-amqptasks-first-time": 1_700_000_000.0})
    assert again.first_published == datetime.fromtimestamp(1_700_000_000, UTC)
    assert Request("shop.look", "01234567-89ab-7xyz-8000-000000000000").first_published is not None
    assert Request("shop.look", "g1234567-89ab-7cde-8000-000000000000").first_published is None


@pytest.mark.parametrize(
    ("hard", "soft", "left"), [(10.0, None, 10), (10.0, 4.0, 4), (None, 4.0, 4), (None, None, None)]
)
def test_what_remains_is_until_the_first_limit(hard: float | None, soft: float | None, left: float | None) -> None:
    request = Request("shop.look", "id", time_limit=hard, soft_time_limit=soft, started=time.monotonic())
    remaining = request.remaining()
    assert remaining == left if left is None else remaining == pytest.approx(left, abs=0.5)
