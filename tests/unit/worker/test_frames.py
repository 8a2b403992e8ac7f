"""The frames of a task that failed keep nothing alive, whether or not the garbage collector looks."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator

import pytest

from amqptasks import Task
from amqptasks.errors import Reject
from amqptasks.messages.exception_info import let_go_of_frames
from amqptasks.worker.job.job import Job
from tests.unit.worker.jobs import delivery, job, steps


class Large:
    """Something that a task holds in a local variable."""


held: list[weakref.ref[Large]] = []


def large() -> Large:
    made = Large()
    held.append(weakref.ref(made))
    return made


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    held.clear()
    gc.disable()
    yield
    gc.enable()


def fails() -> None:
    data = large()
    raise ValueError(id(data))


def keeps_its_error() -> None:
    data, last = large(), None
    try:
        raise KeyError(id(data))  # noqa: TRY301
    except KeyError as error:
        last = error
    raise last


def fails_of_another() -> None:
    data = large()
    try:
        fails()
    except ValueError as error:
        raise RuntimeError(id(data)) from error


def fails_in_a_group() -> None:
    data = large()
    errors = []
    for _ in range(2):
        try:
            fails()
        except ValueError as error:
            errors.append(error)
    raise ExceptionGroup(f"{id(data)}", errors)


def is_rejected() -> None:
    data = large()
    raise Reject(str(id(data)))


def fails_in_a_generator() -> None:
    def numbers() -> Iterator[int]:
        data = large()
        yield 1
        raise ValueError(id(data))

    data = large()
    list(numbers())
    raise AssertionError(data)


KINDS: list[Callable[[], None]] = [
    fails,
    keeps_its_error,
    fails_of_another,
    fails_in_a_group,
    is_rejected,
    fails_in_a_generator,
]


def ended(function: Callable[..., object], **options: object) -> Job:
    one = job(delivery(f"shop.{function.__name__}"), decoded=False)
    known = steps(function, **options)
    if asyncio.iscoroutinefunction(function):
        asyncio.run(known.execute_async(one))
    else:
        known.execute(one)
    return one


@pytest.mark.parametrize("retried", [False, True])
@pytest.mark.parametrize("function", KINDS)
def test_the_frames_of_a_failed_task_are_let_go(function: Callable[[], None], retried: bool) -> None:
    one = ended(function, **({"autoretry_for": (Exception,), "max_retries": 3} if retried else {}))
    assert one.planned is not None
    assert one.planned.kind in ("Failure", "Retry", "Reject")
    assert held
    assert not [ref for ref in held if ref() is not None]


async def fails_later() -> None:
    data = large()
    await asyncio.sleep(0)
    raise ValueError(id(data))


def test_the_frames_of_an_async_task_are_let_go() -> None:
    assert ended(fails_later).planned is not None
    assert not [ref for ref in held if ref() is not None]


def again(self: Task[[], None]) -> None:
    data = large()
    try:
        raise ValueError(id(data))  # noqa: TRY301
    except ValueError as error:
        raise self.retry(exc=error) from error


def test_the_frames_of_a_task_that_retries_itself_are_let_go() -> None:
    one = ended(again, bind=True, max_retries=5)
    assert one.planned is not None
    assert one.planned.kind == "Retry"
    assert not [ref for ref in held if ref() is not None]


def test_let_go_of_frames_ends_where_errors_lead_to_each_other() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    let_go_of_frames(one)
    assert one.__cause__ is other
