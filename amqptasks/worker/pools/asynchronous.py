"""An event loop of its own, on a thread of its own, for `async def` tasks.

What the broker lets the worker hold (its prefetch) may run at the same time. Blocking code in a task delays the other
async tasks of this worker, never its heartbeats or acks.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence

from amqptasks.worker.delivery import Steps
from amqptasks.worker.job import Job
from amqptasks.worker.outcomes import HAND_BACK
from amqptasks.worker.pools import Finished


class AsyncPool:
    """See `Pool`. The loop's thread starts with the first job: a worker without async tasks has none."""

    def __init__(self, steps: Steps, finished: Finished) -> None:
        self._steps = steps
        self._finished = finished
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._arrived: deque[Job] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Task[None] | None = None

    @property
    def running(self) -> int:
        return len(self._tasks)

    def start(self) -> None: ...

    def submit(self, jobs: Sequence[Job]) -> None:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._run, name="amqptasks-async", daemon=True)
            self._thread.start()
        self._arrived.extend(jobs)
        self._loop.call_soon_threadsafe(self._begin)

    def take_back(self) -> list[Job]:
        taken: list[Job] = []
        while self._arrived:
            try:
                taken.append(self._arrived.popleft())
            except IndexError:  # the loop took the last one in this moment
                break
        return taken

    def stop(self, timeout: float) -> None:
        if self._loop is not None and self._thread is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._cancel_all)
            self._thread.join(timeout)

    def _run(self) -> None:
        assert self._loop is not None
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _begin(self) -> None:
        assert self._loop is not None
        while self._arrived:
            try:
                job = self._arrived.popleft()
            except IndexError:
                return
            task = self._loop.create_task(self._execute(job))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _execute(self, job: Job) -> None:
        try:
            await self._steps.execute_async(job, lambda: self._ending is not None)
        except asyncio.CancelledError:
            job.outcome = HAND_BACK
        self._finished(job)

    def _cancel_all(self) -> None:
        assert self._loop is not None
        self._ending = self._loop.create_task(self._end())
        for task in self._tasks:
            task.cancel()

    async def _end(self) -> None:
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        asyncio.get_running_loop().stop()
