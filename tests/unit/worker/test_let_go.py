"""A job that has ended keeps nothing of its task's variables, though no garbage collector looks."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from amqptasks.errors import Ignore, Reject, Retry, Snooze
from tests.unit.worker.jobs import delivery, job, steps


class Large:
    """In a variable of a task."""


def fails(self: Any, large: Large) -> None:
    raise ValueError(str(large))


def retries(self: Any, large: Large) -> None:
    raise self.retry(exc=ValueError(str(large)), countdown=0)


def retries_what_it_caught(self: Any, large: Large) -> None:
    try:
        fails(self, large)
    except ValueError as error:
        raise self.retry(exc=error) from error


def keeps_its_retry(self: Any, large: Large) -> None:
    again = Retry(0.0, cause=ValueError(str(large)))
    raise again


def rejects(self: Any, large: Large) -> None:
    rejected = Reject(str(large))
    raise rejected


def snoozes(self: Any, large: Large) -> None:
    snoozed = Snooze(60.0)
    raise snoozed


def ignores(self: Any, large: Large) -> None:
    ignored = Ignore()
    raise ignored


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize(
    "body",
    [fails, retries, retries_what_it_caught, keeps_its_retry, rejects, snoozes, ignores],
    ids=lambda f: f.__name__,
)
def test_the_variables_of_a_task_go_with_its_job(body: Callable[..., None]) -> None:
    kept: list[weakref.ref[Large]] = []

    def work(self: Any) -> None:
        large = Large()
        kept.append(weakref.ref(large))
        body(self, large)

    executor = steps(work, bind=True, max_retries=1)
    made = job(delivery("shop.work"), decoded=False)
    executor.execute(made)
    assert made.outcome is not None
    assert kept[0]() is None
