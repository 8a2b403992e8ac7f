"""The jobs that no child has begun, and which child gets which: each queue's jobs in turn. Link thread only."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

from amqptasks.runtime.clock import monotonic
from amqptasks.tasks.outcomes import LOST, Outcome
from amqptasks.worker.job.job import Job
from amqptasks.worker.job.turns import Turns
from amqptasks.worker.pools.prefork import wire
from amqptasks.worker.pools.prefork.child_process import ChildProcess
from amqptasks.worker.pools.prefork.slots import Slots

#: Jobs that a child has at most, the one that runs included, where its tasks are short: enough that it never waits for
#: the node.
AHEAD = 8

#: Seconds of work that are sent ahead: the node answers in a millisecond. A job of another queue waits behind all of
#: it. On a busy machine, and with tasks that take longer, that is one job.
LEAD = 0.005

#: Seconds that its task may have run for a child to get more ahead: then it is long, and others will be faster.
SHORT = 0.01

#: A job that waits: its number, itself, its datagram.
Entry = tuple[int, Job, bytes]


class Backlog:
    """`children` are the pool's, by number, and `slots` say what they run; each gets `most` jobs in its life (None: any
    number). `conclude` ends a job that is not ours any more."""

    def __init__(
        self,
        children: Mapping[int, ChildProcess],
        slots: Slots,
        most: int | None,
        conclude: Callable[[Job, Outcome], None],
    ) -> None:
        self._children = children
        self._slots = slots
        self._most = most
        self._conclude = conclude
        self._numbers = itertools.count(1)
        self._waiting: Turns[Entry] = Turns()

    def __bool__(self) -> bool:
        """Whether something waits, here or in the socket of a child that is busy."""
        return bool(self._waiting) or any(len(child.outstanding) > 1 for child in self._children.values())

    def add(self, jobs: Sequence[Job]) -> None:
        """After all others of their queue."""
        self._waiting.add(map(self._entry, jobs))

    def retract(self, child: ChildProcess) -> None:
        """Take back from a child what it has not begun: of each queue, that is the next to be handed out."""
        for entry in reversed(child.retract()):
            self._waiting.put_back(entry[1].delivery.queue, entry)

    def take_all(self) -> list[Job]:
        """All that has not begun, in order; nothing of it is here any more."""
        taken = [entry for child in self._children.values() for entry in child.retract()]
        taken.extend(self._waiting.take_all())
        return [job for _, job, _ in sorted(taken, key=lambda entry: entry[0])]

    def remove(self, job: Job) -> bool:
        """True when it was here."""
        return self._waiting.remove(job.delivery.queue, lambda entry: entry[1] is job)

    def hand_out(self) -> None:
        """Give each job that waits to a child that is idle, or ahead to one whose tasks are short. What was sent ahead
        to a child whose task is long comes back and waits for its turn; it goes to an idle one when nothing else
        waits."""
        now = monotonic()
        staying = [child for child in self._children.values() if not child.leaving]
        idle = [child for child in staying if not child.outstanding]
        few = len(idle) > 0 and len(self._waiting) < len(idle)
        for busy in staying:
            if len(busy.outstanding) > 1 and (few or self._runs_long(busy, now)):
                self.retract(busy)
        for child in idle:
            if not self._give(child, now):
                break
        if self._waiting:
            self._send_ahead(staying, now)

    def _send_ahead(self, children: Iterable[ChildProcess], now: float) -> None:
        for child in children:
            if now - child.since < SHORT:
                most = ahead(child.pace)
                while len(child.outstanding) < most and self._give(child, now):
                    pass

    def _give(self, child: ChildProcess, now: float) -> bool:
        """The next job that is still ours, to this child; False when none was given."""
        while self._waiting:
            queue, entry = self._waiting.take()
            number, job, data = entry
            if not (job.ours or job.settled):
                self._conclude(job, LOST)
                continue
            if (self._most is not None and child.given >= self._most) or not child.give(number, job, data):
                self._waiting.put_back(queue, entry, its_turn=True)
                return False
            if len(child.outstanding) == 1:
                child.since = now
            return True
        return False

    def _runs_long(self, child: ChildProcess, now: float) -> bool:
        number, began = self._slots.runs(child.slot)
        return number in child.outstanding and now - began >= SHORT

    def _entry(self, job: Job) -> tuple[str, Entry]:
        number = next(self._numbers)
        return job.delivery.queue, (number, job, wire.encode_job(number, job))


def ahead(pace: float) -> int:
    """How many jobs a child has at once whose jobs take so many seconds each (0: not known)."""
    return AHEAD if not pace else max(2, min(AHEAD, 1 + int(LEAD / pace)))
