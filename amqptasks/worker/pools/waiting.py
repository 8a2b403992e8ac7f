"""Jobs that wait for a thread of this process, and can be taken back as long as none has begun them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from amqptasks.worker.job.job import Job
from amqptasks.worker.job.turns import Turns


class Waiting:
    """The part of a `Pool` that threads take their jobs from: each queue's jobs in turn."""

    def __init__(self) -> None:
        self._tickets: SimpleQueue[bool] = SimpleQueue()  # one for each job of `_turns`; False: who takes it leaves
        self._turns: Turns[Job] = Turns()
        self._unclaimed: set[Job] = set()  # whoever removes a job from it has it

    def submit(self, jobs: Sequence[Job]) -> None:
        self._unclaimed.update(jobs)
        self._turns.add((job.delivery.queue, job) for job in jobs)
        put = self._tickets.put
        for _ in jobs:
            put(True)

    def take_back(self) -> list[Job]:
        taken: list[Job] = []
        leaving = 0
        while True:
            try:
                ticket = self._tickets.get_nowait()
            except Empty:
                break
            if not ticket:
                leaving += 1
                continue
            _, job = self._turns.take()
            if self.withdraw(job):
                taken.append(job)
        for _ in range(leaving):
            self._tickets.put(False)
        return taken

    def pid(self, job: Job) -> int | None:  # noqa: ARG002 - as of every pool
        return os.getpid()

    def withdraw(self, job: Job) -> bool:
        try:
            self._unclaimed.remove(job)
        except KeyError:
            return False
        return True
