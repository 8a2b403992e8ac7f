"""What a worker's process does to Python's garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from amqptasks.worker.process.garbage import YOUNGEST, leave_alone


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """As it was, afterwards."""
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_what_is_there_is_frozen_and_what_comes_is_looked_at_less_often() -> None:
    gc.set_threshold(700, 10, 10)
    leave_alone()
    assert gc.get_freeze_count() > 1000
    assert gc.get_threshold() == (YOUNGEST, 10, 10)


@pytest.mark.parametrize("own", [0, YOUNGEST + 1])
def test_a_threshold_of_the_users_stays(own: int) -> None:
    gc.set_threshold(own, 5, 5)
    leave_alone()
    assert gc.get_threshold() == (own, 5, 5)
