"""One task at a time, on the thread that waits for the worker: for debuggers, profilers and code that must own the
main thread. The link's thread keeps the heartbeats going all the same."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from queue import Empty

from amqptasks.errors import INTERRUPTIONS
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.worker.execute.executor import Executor
from amqptasks.worker.execute.rescue import rescue
from amqptasks.worker.job.job import Job
from amqptasks.worker.pools import Finished
from amqptasks.worker.pools.interruption import LeavingLock, clear, raise_in_thread
from amqptasks.worker.pools.waiting import Waiting

logger = get_logger(__name__)


class SoloPool(Waiting):
    """See `Pool`. Tasks run in whichever thread calls `work`. It can be interrupted, but neither killed nor given up:
    there is no other thread to go on with."""

    size = 1

    def __init__(self, steps: Executor, finished: Finished) -> None:
        super().__init__()
        self._steps = steps
        self._finished = finished
        self._arrived = threading.Event()
        self._busy: Job | None = None
        self._identity = 0
        self._lock = LeavingLock()

    @property
    def running(self) -> int:
        return len(self.current())

    @property
    def trouble(self) -> str | None:
        return None

    @property
    def begins(self) -> bool:
        return False

    def current(self) -> list[Job]:
        busy = self._busy
        return [] if busy is None else [busy]

    def started(self, job: Job) -> float:
        return job.started

    def start(self) -> None: ...

    def submit(self, jobs: Sequence[Job]) -> None:
        super().submit(jobs)
        if not self._arrived.is_set():
            self._arrived.set()

    def lose(self, job: Job) -> bool:
        """Its task sees the lease itself."""
        return job is self._busy

    def regain(self, job: Job) -> None:
        """As `lose`."""

    def interrupt(self, job: Job, error: BaseException) -> bool:
        with self._lock:
            if self._busy is not job:
                return False
            job.interruption = error
            raise_in_thread(self._identity, type(error))
            return True

    def kill(self, job: Job) -> bool:  # noqa: ARG002 - as of every pool
        return False

    def resize(self, size: int) -> None:
        """One it is, whatever is asked."""

    def restart(self) -> None:
        """There is nothing to renew."""

    def abort(self) -> None:
        """A thread cannot be ended: it ends with the process."""

    def stop(self, timeout: float) -> None: ...

    def work(self, timeout: float) -> None:
        """Run the next job here, or wait `timeout` seconds at most until there is one."""
        self._arrived.clear()
        try:
            ticket = self._tickets.get_nowait()
        except Empty:
            # Not by the queue's own timeout: where a signal's handler outlasts it, Python 3.11's waits for ever.
            self._arrived.wait(timeout)
            return
        if ticket is False:
            return
        job = self._turns.take()[1] if ticket is True else ticket
        if not self.withdraw(job):
            return
        began = monotonic()
        self._identity = threading.get_ident()
        try:
            self._busy = job
            self._steps.execute(job)
        except INTERRUPTIONS:  # one that comes when the task's code has just ended
            pass
        except Exception:
            logger.exception("the pool goes on", extra={"action": "pool_goes_on"})
        left = False
        while not left:
            try:
                left = self._leave(job)
            except INTERRUPTIONS:  # raised in our own lines
                continue
        job.took = monotonic() - began
        self._finished(job)

    def _leave(self, job: Job) -> bool:
        """No longer to be interrupted. May be called again."""
        self._lock.acquire()
        self._busy = None
        self._lock.release()
        if job.interruption is not None:
            clear(self._identity)
            self._lock.release_wholly()
            error, job.interruption = job.interruption, None  # nothing can come any more
            rescue(self._steps, job, error)
        return True
