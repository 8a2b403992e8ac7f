"""Threads of this process: for tasks that wait (I/O), or that spend their time in C code without the GIL."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from amqptasks.worker.delivery import Steps
from amqptasks.worker.job import Job
from amqptasks.worker.pools import Finished


class ThreadPool:
    """See `Pool`. `concurrency` threads, started at once; a hung one ends with the process."""

    def __init__(self, steps: Steps, finished: Finished, concurrency: int) -> None:
        self._steps = steps
        self._finished = finished
        self._waiting: SimpleQueue[Job | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"amqptasks-task-{number}", daemon=True)
            for number in range(concurrency)
        ]
        self._busy: set[int] = set()

    @property
    def running(self) -> int:
        return len(self._busy)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def submit(self, jobs: Sequence[Job]) -> None:
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
            if job is not None:
                taken.append(job)

    def stop(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        me = threading.get_ident()
        busy, get = self._busy, self._waiting.get
        execute, finished = self._steps.execute, self._finished
        while True:
            job = get()
            if job is None:
                return
            busy.add(me)
            execute(job)
            busy.discard(me)
            finished(job)
