"""Which limits of time hold for a job."""

from __future__ import annotations

from typing import Any

import pytest

from amqptasks.options import TaskOptions
from amqptasks.worker.pools.time_limits import Limits, TimeLimits
from tests.unit.worker.jobs import delivery, job

TASK: TaskOptions = {"time_limit": 30, "soft_time_limit": 25}
WORKER = TimeLimits(300, 250)


def limits(own: TimeLimits | None = None, default: TimeLimits = WORKER) -> Limits:
    nothing: Any = None
    made = Limits(nothing, nothing, nothing, default)
    if own is not None:
        made.own["shop.work"] = own
    return made


@pytest.mark.parametrize(
    ("call", "own", "task", "found"),
    [
        (None, None, None, (300, 250)),
        (None, None, TASK, (30, 25)),
        ([5, None], None, TASK, (5, 25)),
        (None, TimeLimits(3600, None), TASK, (3600, None)),
        (None, TimeLimits(None, 50), TASK, (None, 50)),
        (None, TimeLimits(None, None), TASK, None),
        ([5, None], TimeLimits(3600, 50), TASK, (5, 50)),
        ([5, None], TimeLimits(None, None), TASK, (5, None)),
    ],
)
def test_a_calls_own_come_first_and_what_was_set_stands_in_place_of_the_tasks_and_the_workers(
    call: Any, own: TimeLimits | None, task: TaskOptions | None, found: tuple[float | None, float | None] | None
) -> None:
    headers = {} if call is None else {"timelimit": call}
    made, those = job(delivery(headers=headers)), limits(own)
    expected = None if found is None else TimeLimits(*found)
    assert those.of(made, headers, task) == expected
    assert call is not None or those.concern("shop.work", task) == (expected is not None)


def test_nothing_is_watched_where_nothing_was_set() -> None:
    none = limits(default=TimeLimits())
    assert not none.concern("shop.work", {})
    assert not none.concern(None, None)
    assert none.of(job(), {}, {}) is None
