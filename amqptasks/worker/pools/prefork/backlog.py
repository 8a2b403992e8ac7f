"""The jobs that no child has begun, and which child gets which. Link thread only."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from amqptasks.runtime.clock import monotonic
from amqptasks.tasks.outcomes import LOST, Outcome
from amqptasks.worker.job.job import Job
from amqptasks.worker.pools.prefork import wire
from amqptasks.worker.pools.prefork.child_process import ChildProcess

#: Jobs that are sent ahead to a child that is busy with short tasks: enough that it never waits for the node.
AHEAD = 8

#: Seconds that its task may have run for a child to get more ahead: then it is long, and others will be faster.
SHORT = 0.01

#: A job that waits: its number, itself, its datagram.
Entry = tuple[int, Job, bytes]


class Backlog:
    """`children` are the pool's, by number; each gets `most` jobs in its life (None: any number). `conclude` ends a job
    that is not ours any more."""

    def __init__(
        self, children: Mapping[int, ChildProcess], most: int | None, conclude: Callable[[Job, Outcome], None]
    ) -> None:
        self._children = children
        self._most = most
        self._conclude = conclude
        self._numbers = itertools.count(1)
        self._waiting: deque[Entry] = deque()

    def __bool__(self) -> bool:
        """Whether something waits, here or in the socket of a child that is busy."""
        return bool(self._waiting) or any(len(child.outstanding) > 1 for child in self._children.values())

    def add(self, jobs: Sequence[Job]) -> None:
        """After all others."""
        for job in jobs:
            number = next(self._numbers)
            self._waiting.append((number, job, wire.encode_job(number, job)))

    def retract(self, child: ChildProcess) -> None:
        """Take back from a child what it has not begun: that is the next to be handed out."""
        self._waiting.extendleft(reversed(child.retract()))

    def take_all(self) -> list[Job]:
        """All that has not begun, in order; nothing of it is here any more."""
        taken = [entry for child in self._children.values() for entry in child.retract()]
        taken.extend(self._waiting)
        self._waiting.clear()
        return [job for _, job, _ in sorted(taken, key=lambda entry: entry[0])]

    def remove(self, job: Job) -> bool:
        """True when it was here."""
        for entry in self._waiting:
            if entry[1] is job:
                self._waiting.remove(entry)
                return True
        return False

    def hand_out(self) -> None:
        """Give each job that waits to a child that is idle, or ahead to one whose tasks are short; what was sent ahead
        to a busy child goes to an idle one when nothing else waits."""
        staying = [child for child in self._children.values() if not child.leaving]
        idle = [child for child in staying if not child.outstanding]
        if idle and len(self._waiting) < len(idle):
            for busy in staying:
                if len(busy.outstanding) > 1:
                    self.retract(busy)
        now = monotonic()
        for child in idle:
            if not self._give(child, now):
                break
        if self._waiting:
            self._send_ahead(staying, now)

    def _send_ahead(self, children: Iterable[ChildProcess], now: float) -> None:
        for child in children:
            if now - child.since < SHORT:
                while len(child.outstanding) < AHEAD and self._give(child, now):
                    pass

    def _give(self, child: ChildProcess, now: float) -> bool:
        """The next job that is still ours, to this child; False when none was given."""
        while self._waiting:
            number, job, data = self._waiting[0]
            if not (job.ours or job.settled):
                self._waiting.popleft()
                self._conclude(job, LOST)
                continue
            if (self._most is not None and child.given >= self._most) or not child.give(number, job, data):
                return False
            self._waiting.popleft()
            if len(child.outstanding) == 1:
                child.since = now
            return True
        return False
