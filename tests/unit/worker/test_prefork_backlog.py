"""How many jobs a prefork child is sent ahead: those of another queue wait behind all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from amqptasks.worker.pools.prefork.backlog import AHEAD, Backlog, ahead
from amqptasks.worker.pools.prefork.child_process import ChildProcess
from amqptasks.worker.pools.prefork.slots import Slots
from tests.unit.worker.jobs import delivery, job


@pytest.mark.parametrize(
    ("pace", "jobs"), [(0.0, AHEAD), (0.0001, AHEAD), (0.001, 6), (0.002, 3), (0.006, 2), (0.5, 2), (1e9, 2)]
)
def test_a_prefork_child_is_sent_ahead_some_milliseconds_of_work(pace: float, jobs: int) -> None:
    assert ahead(pace) == jobs


def test_the_pace_of_a_prefork_child_follows_its_jobs(child: ChildProcess) -> None:
    child.ended(0.02)
    assert (child.pace, child.done) == (0.02, 1)
    for _ in range(100):
        child.ended(0.001)
    assert child.pace == pytest.approx(0.001, rel=0.01)


@pytest.mark.parametrize(("took", "given"), [(0.0001, AHEAD), (0.02, 2)])
def test_a_slow_prefork_child_has_one_job_ahead_and_a_quick_one_several(
    child: ChildProcess, took: float, given: int
) -> None:
    child.ended(took)
    backlog = Backlog({1: child}, Slots(), None, lambda _job, _outcome: None)
    backlog.add([job(delivery(tag=tag)) for tag in range(20)])
    backlog.hand_out()
    assert len(child.outstanding) == given


@pytest.fixture
def child() -> Iterator[ChildProcess]:
    with ExitStack() as stack:
        made = ChildProcess(1, 0)
        stack.callback(made.close)
        yield made
