"""What a worker holds when it learns of a revocation: what waits is dropped, once and for who asks."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from amqptasks.control.revocation import Revocation
from amqptasks.tasks.outcomes import Outcome
from amqptasks.worker.control.revocations import Revocations
from amqptasks.worker.control.sweep import Sweep
from amqptasks.worker.job.job import Job
from tests.unit.worker.jobs import job


class Node:
    """Holds jobs of which none has begun."""

    def __init__(self, *held: Job) -> None:
        self.held = list(held)
        self.completions = SimpleNamespace(end=self._end)

    def _end(self, job: Job, outcome: Outcome, *, force: bool) -> bool:
        assert not force
        job.outcome = outcome
        self.held.remove(job)
        return True


def sweep(*held: Job) -> tuple[Sweep, Revocations, Node]:
    node: Any = Node(*held)
    revocations = Revocations()
    return Sweep(node, revocations), revocations, node


def said(action: Any, at: float) -> Revocation:
    return Revocation(action, ("id-1",), (), {}, at)


def test_a_command_counts_what_its_record_has_dropped_before_it() -> None:
    made, _, node = sweep(job())
    revoked = said("revoke", time.time())
    made.record(revoked)
    assert node.held == []
    assert made.command(revoked, terminate=False, force=False) == {"dropped": 1, "terminated": 0}
    assert made.command(revoked, terminate=False, force=False) == {"dropped": 0, "terminated": 0}


def test_what_was_revoked_and_restored_while_nobody_read_stays() -> None:
    made, revocations, node = sweep(job())
    now = time.time()
    revocations.take(said("revoke", now - 2))
    revocations.take(said("restore", now - 1))
    made.look()
    assert len(node.held) == 1
    revocations.take(said("revoke", now))
    made.look()
    assert node.held == []
