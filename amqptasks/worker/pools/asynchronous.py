"""An event loop of its own, on a thread of its own, for `async def` tasks.

At most `concurrency` run at the same time; the rest waits, and each queue's jobs have their turn. Blocking code in a
task delays the other async tasks of this worker, with the ack of one that ended in that very turn, never its
heartbeats; the watch says which task it was.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from typing import Any

from amqptasks.errors import WorkerStopping
from amqptasks.runtime import forks
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.worker.execute.executor import Executor
from amqptasks.worker.execute.rescue import rescue
from amqptasks.worker.job.job import Job
from amqptasks.worker.job.turns import Turns
from amqptasks.worker.pools import AllFinished
from amqptasks.worker.pools.blocking import Watch

logger = get_logger(__name__)


class AsyncPool:
    """See `Pool`. The loop's thread starts with the first job: a worker without async tasks has none. What is killed
    is cancelled once more and given up: a task that swallows `CancelledError` goes on, and its result is dropped."""

    def __init__(self, steps: Executor, finished: AllFinished, concurrency: int) -> None:
        self._steps = steps
        self._finished = finished
        self._size = concurrency
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._arrived: Turns[Job] = Turns()
        self._jobs: dict[asyncio.Task[None], Job] = {}
        self._done: list[Job] = []  # to be handed back at the end of this turn
        self._given_up: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Task[None] | None = None
        self._over = False
        forks.in_child(self._leave_child)
        self._watch = Watch(lambda: len(self._jobs) > 0, self._name)

    @property
    def size(self) -> int:
        return self._size

    @property
    def running(self) -> int:
        return len(self._jobs)

    @property
    def trouble(self) -> str | None:
        dead = self._thread is not None and not self._thread.is_alive() and not self._over
        return "the thread of its event loop is dead; see the log" if dead else None

    @property
    def begins(self) -> bool:
        return False

    def current(self) -> list[Job]:
        return list(self._jobs.values())

    def started(self, job: Job) -> float:
        return job.started

    def pid(self, job: Job) -> int | None:  # noqa: ARG002 - as of every pool
        return os.getpid()

    def start(self) -> None: ...

    def submit(self, jobs: Sequence[Job]) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._start_thread()
        assert self._loop is not None
        self._arrived.add((job.delivery.queue, job) for job in jobs)
        self._loop.call_soon_threadsafe(self._begin)
        self._watch.look()

    def take_back(self) -> list[Job]:
        return self._arrived.take_all()

    def withdraw(self, job: Job) -> bool:
        return self._arrived.remove(job.delivery.queue, lambda one: one is job)

    def lose(self, job: Job) -> bool:
        """Its task sees the lease itself."""
        return self._task_of(job) is not None

    def regain(self, job: Job) -> None:
        """As `lose`."""

    def interrupt(self, job: Job, error: BaseException) -> bool:
        task = self._task_of(job)
        if task is None or self._loop is None:
            return False
        job.interruption = error
        self._loop.call_soon_threadsafe(task.cancel, str(error))
        return True

    def kill(self, job: Job) -> bool:
        task = self._task_of(job)
        if task is None or self._loop is None or self._jobs.pop(task, None) is None:
            return False
        self._given_up.add(task)
        self._loop.call_soon_threadsafe(task.cancel)
        self._loop.call_soon_threadsafe(self._begin)
        return True

    def resize(self, size: int) -> None:
        self._size = size
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._begin)

    def restart(self) -> None:
        """There is nothing to renew."""

    def abort(self) -> None:
        for job in self.current():
            self.kill(job)

    def stop(self, timeout: float) -> None:
        self._watch.stop()
        if self._loop is not None and self._thread is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._cancel_all)
            self._thread.join(timeout)

    def _start_thread(self) -> None:
        """For the first time, or because it is dead: then what it had runs on."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            if isinstance(self._loop, asyncio.BaseEventLoop):  # it goes by `time.monotonic`, which freezegun freezes
                self._loop.time = monotonic  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._run, name="amqptasks-async", daemon=True)
        self._thread.start()
        self._watch.start(self._loop, self._thread)

    def _leave_child(self) -> None:
        """In a child that a task forked. It may run to its next `await`. There it would go on with other tasks."""
        if self._loop is not None:
            self._loop.call_soon(forks.leave)

    def _task_of(self, job: Job) -> asyncio.Task[None] | None:
        """Asked now and then: what is asked for each task is the job of one."""
        return next((task for task, one in list(self._jobs.items()) if one is job), None)

    def _name(self, task: asyncio.Task[Any]) -> str:
        job = self._jobs.get(task)
        return task.get_name() if job is None else f"{job.task_name}[{job.task_id}]"

    def _run(self) -> None:
        assert self._loop is not None
        asyncio.set_event_loop(self._loop)
        while not self._over:
            try:
                self._loop.run_forever()
            except BaseException:  # asyncio lets SystemExit and KeyboardInterrupt of any callback end its loop
                logger.exception("the event loop goes on", extra={"action": "pool_goes_on"})
            else:
                if not self._over:
                    logger.error("a task stopped the event loop of all: it goes on", extra={"action": "pool_goes_on"})
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    # The loop's thread

    def _begin(self) -> None:
        loop, arrived, jobs, execute = self._loop, self._arrived, self._jobs, self._steps.execute_async
        while arrived and len(jobs) < self._size:
            try:
                _, job = arrived.take()
            except IndexError:  # it was taken back in this moment
                return
            task = asyncio.Task(execute(job), loop=loop, name=job.task_name)
            jobs[task] = job
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        job = self._jobs.pop(task, None)
        if job is None:
            self._given_up.discard(task)
            return
        if job.planned is None:  # it was cancelled before its first line
            error, job.interruption = job.interruption or WorkerStopping(), None
            rescue(self._steps, job, error)
        if not self._done:
            task.get_loop().call_soon(self._hand_back)
        self._done.append(job)
        if self._arrived:
            self._begin()

    def _hand_back(self) -> None:
        """All that ended in one turn of the loop together: else the link would wake up for the first alone."""
        done, self._done = self._done, []
        if done:
            self._finished(done)

    def _cancel_all(self) -> None:
        assert self._loop is not None
        self._ending = self._loop.create_task(self._end())
        for task, job in list(self._jobs.items()):
            job.interruption = WorkerStopping()
            task.cancel()

    async def _end(self) -> None:
        while self._jobs:
            await asyncio.wait(set(self._jobs))
        self._hand_back()
        self._over = True
        asyncio.get_running_loop().stop()
