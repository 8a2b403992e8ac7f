"""Jobs that wait for a thread of this process, and can be taken back as long as none has begun them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from amqptasks.worker.job.job import Job
from amqptasks.worker.job.turns import Turns


class Waiting:
    """The part of a `Pool` that threads take their jobs from: those of each queue in turn.

    While only one queue has jobs here, they stand in `_tickets` themselves. With those of a second one, all go to
    `_turns`, and each ticket says only that there is one more. So a worker pays for turns only where there are any."""

    def __init__(self) -> None:
        self._tickets: SimpleQueue[Job | bool] = SimpleQueue()  # True: the next of `_turns`; False: who takes it leaves
        self._turns: Turns[Job] = Turns()
        self._alone: str | None = None  # the queue whose jobs may stand in `_tickets` themselves
        self._unclaimed: set[Job] = set()  # whoever removes a job from it has it

    def submit(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        self._unclaimed.update(jobs)
        put, queue = self._tickets.put, jobs[0].delivery.queue
        if (queue == self._alone or self._tickets.empty()) and all(job.delivery.queue == queue for job in jobs):
            self._alone = queue
            for job in jobs:
                put(job)
            return
        if self._alone is not None:
            self._alone = None
            waiting, leaving = self._taken()
            self._put(waiting, leaving)
        self._put(jobs, 0)

    def take_back(self) -> list[Job]:
        waiting, leaving = self._taken()
        self._put((), leaving)
        return [job for job in waiting if self.withdraw(job)]

    def pid(self, job: Job) -> int | None:  # noqa: ARG002 - as of every pool
        return os.getpid()

    def withdraw(self, job: Job) -> bool:
        try:
            self._unclaimed.remove(job)
        except KeyError:
            return False
        return True

    def _taken(self) -> tuple[list[Job], int]:
        """All that nobody has taken yet, and for how many threads it was said that they leave."""
        waiting: list[Job] = []
        leaving = 0
        while True:
            try:
                ticket = self._tickets.get_nowait()
            except Empty:
                return waiting, leaving
            if ticket is False:
                leaving += 1
            else:
                waiting.append(self._turns.take()[1] if ticket is True else ticket)

    def _put(self, jobs: Sequence[Job], leaving: int) -> None:
        self._turns.add((job.delivery.queue, job) for job in jobs)
        for _ in jobs:
            self._tickets.put(True)
        for _ in range(leaving):
            self._tickets.put(False)
