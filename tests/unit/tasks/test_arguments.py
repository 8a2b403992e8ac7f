"""Arguments against the type hints of a task, where it runs."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from amqptasks import App
from amqptasks.errors import ConfigurationError, InvalidArguments, TaskRejected
from tests.unit.tasks.test_followers import letters


class Order(BaseModel):
    number: int
    lines: list[str] = []


def order(order: Order, day: date, *tags: str, count: Annotated[int, Field(gt=0)] = 1, **more: int) -> Any:
    return [type(order).__name__, type(day).__name__, list(tags), count, more]


def test_they_become_what_the_hints_say(app: App) -> None:
    task = app.task(name="shop.order", validate=True)(order)
    with app.worker():
        result: Any = task.delay({"number": 1}, "2026-05-01", "a", count="3", extra="4")  # type: ignore[arg-type]
        assert result.get(timeout=5) == ["Order", "date", ["a"], 3, {"extra": 4}]


def test_models_travel_as_plain_data_both_ways(app: App) -> None:
    @app.task(name="shop.echo", validate=True)
    def echo(order: Order) -> Order:
        return order

    with app.worker():
        assert echo.delay(Order(number=7, lines=["x"])).get(timeout=5) == {  # type: ignore[comparison-overlap]
            "number": 7,
            "lines": ["x"],
        }


def test_what_is_wrong_is_named_and_never_retried(app: App) -> None:
    runs: list[int] = []

    @app.task(name="shop.order", validate=True, autoretry_for=(Exception,), default_retry_delay=0)
    def strict(order: Order, count: int) -> None:
        runs.append(1)

    with app.worker() as worker, pytest.raises(TaskRejected, match="invalid-arguments"):
        app.send_task("shop.order", ({"number": "many"}, "few")).get(timeout=5)
    assert runs == []
    assert worker.counts["Retry"] == 0
    (letter,) = letters(app)
    assert letter["x-amqptasks-reason"] == "invalid-arguments"
    assert "order.number: " in letter["x-amqptasks-detail"]
    assert "count: " in letter["x-amqptasks-detail"]


def test_a_missing_argument_is_invalid_too(app: App) -> None:
    task = app.task(name="shop.order", validate=True)(order)
    assert task.arguments is not None
    with pytest.raises(InvalidArguments, match="missing a required argument: 'day'"):
        task.arguments.validated(({"number": 1},), {})


def test_a_hint_that_cannot_validate_says_so(app: App) -> None:
    def odd(x: NoSuchType) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    task = app.task(name="shop.odd", validate=True)(odd)
    assert task.arguments is not None
    with pytest.raises(ConfigurationError, match=r"type hints of .*odd cannot validate"):
        task.arguments.validated((1,), {})
