"""Jobs that wait for a thread of this process, and can be taken back as long as none has begun them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from amqptasks.worker.job.job import Job


class Waiting:
    """The part of a `Pool` that threads take their jobs from."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[Job | None] = SimpleQueue()  # None: who takes it leaves
        self._unclaimed: set[Job] = set()  # whoever removes a job from it has it

    def submit(self, jobs: Sequence[Job]) -> None:
        self._unclaimed.update(jobs)
        put = self._waiting.put
        for job in jobs:
            put(job)

    def take_back(self) -> list[Job]:
        taken: list[Job] = []
        while True:
            try:
                job = self._waiting.get_nowait()
            except Empty:
                return taken
            if job is not None and self.withdraw(job):
                taken.append(job)

    def pid(self, job: Job) -> int | None:  # noqa: ARG002 - as of every pool
        return os.getpid()

    def withdraw(self, job: Job) -> bool:
        try:
            self._unclaimed.remove(job)
        except KeyError:
            return False
        return True
