"""One task at a time, on the thread that waits for the worker: for debuggers, profilers and code that must own the
main thread. The link's thread keeps the heartbeats going all the same."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from amqptasks.worker.delivery import Steps
from amqptasks.worker.job import Job
from amqptasks.worker.pools import Finished


class SoloPool:
    """See `Pool`. Tasks run in whichever thread calls `work`."""

    def __init__(self, steps: Steps, finished: Finished) -> None:
        self._steps = steps
        self._finished = finished
        self._waiting: SimpleQueue[Job] = SimpleQueue()
        self._busy = threading.Event()

    @property
    def running(self) -> int:
        return int(self._busy.is_set())

    def start(self) -> None: ...

    def submit(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._waiting.put(job)

    def take_back(self) -> list[Job]:
        taken: list[Job] = []
        while True:
            try:
                taken.append(self._waiting.get_nowait())
            except Empty:
                return taken

    def stop(self, timeout: float) -> None: ...

    def work(self, timeout: float) -> None:
        """Run the next job here; return after `timeout` seconds without one."""
        try:
            job = self._waiting.get(timeout=timeout)
        except Empty:
            return
        self._busy.set()
        self._steps.execute(job)
        self._busy.clear()
        self._finished(job)
