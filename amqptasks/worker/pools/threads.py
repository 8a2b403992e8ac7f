"""Threads of this process: for tasks that wait (I/O), or that spend their time in C code without the GIL."""

from __future__ import annotations

import itertools
import threading

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


class ThreadPool(Waiting):
    """See `Pool`. `concurrency` threads, started at once. A thread cannot be killed: one that is given up goes on
    beside its replacement, and what its task returns is dropped; it ends with the process."""

    def __init__(self, steps: Executor, finished: Finished, concurrency: int) -> None:
        super().__init__()
        self._steps = steps
        self._finished = finished
        self._numbers = itertools.count()
        self._threads: set[threading.Thread] = set()
        self._size = concurrency
        self._busy: dict[int, Job] = {}  # what may be interrupted, by thread
        self._given_up: set[Job] = set()
        self._lock = LeavingLock()  # of `_busy`: no task is interrupted in place of another

    @property
    def size(self) -> int:
        return self._size

    @property
    def running(self) -> int:
        return len(self._busy)

    @property
    def trouble(self) -> str | None:
        return None

    @property
    def begins(self) -> bool:
        return False

    def current(self) -> list[Job]:
        return list(self._busy.values())

    def started(self, job: Job) -> float:
        return job.started

    def start(self) -> None:
        for _ in range(self._size):
            self._start_one()

    def lose(self, job: Job) -> bool:
        """Its task sees the lease itself."""
        return job in self.current()

    def regain(self, job: Job) -> None:
        """As `lose`."""

    def interrupt(self, job: Job, error: BaseException) -> bool:
        with self._lock:
            for identity, busy in self._busy.items():
                if busy is job:
                    job.interruption = error
                    raise_in_thread(identity, type(error))
                    return True
        return False

    def kill(self, job: Job) -> bool:
        with self._lock:
            found = next((identity for identity, busy in self._busy.items() if busy is job), None)
            if found is None:
                return False
            del self._busy[found]
            self._given_up.add(job)
        self._threads = {thread for thread in self._threads if thread.ident != found}
        self._start_one()
        return True

    def resize(self, size: int) -> None:
        for _ in range(size - self._size):
            self._start_one()
        for _ in range(self._size - size):
            self._tickets.put(False)  # who takes it leaves
        self._size = size

    def restart(self) -> None:
        """Threads have nothing to renew."""

    def abort(self) -> None:
        """A thread cannot be ended: it ends with the process."""

    def stop(self, timeout: float) -> None:
        deadline = monotonic() + timeout
        threads = list(self._threads)
        for _ in threads:
            self._tickets.put(False)
        for thread in threads:
            thread.join(max(0.0, deadline - monotonic()))

    def _start_one(self) -> None:
        thread = threading.Thread(target=self._work, name=f"amqptasks-task-{next(self._numbers)}", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _work(self) -> None:
        held: list[Job] = []  # at most one: what this thread has begun and not given away yet
        while True:
            try:
                self._run(threading.get_ident(), held)
            except INTERRUPTIONS:  # raised in our own lines, when the task's code had just ended: go on there
                continue
            except BaseException:  # nobody would miss a thread that ended here, nor the job that it has
                logger.exception("a thread of the pool goes on", extra={"action": "pool_goes_on"})
                continue
            return

    def _run(self, me: int, held: list[Job]) -> None:
        busy, get, claim = self._busy, self._tickets.get, self._unclaimed.remove
        execute, finished, take = self._steps.execute, self._finished, self._turns.take
        while True:
            if held:
                if not self._leave(me, held[0]):
                    return
                finished(held.pop())
            ticket = get()
            if ticket is False:
                return
            job = take()[1] if ticket is True else ticket
            try:
                claim(job)
            except KeyError:
                continue
            held.append(job)
            began = monotonic()
            try:
                busy[me] = job
                execute(job)
            except INTERRUPTIONS:
                continue
            finally:
                job.took = monotonic() - began

    def _leave(self, me: int, job: Job) -> bool:
        """No longer to be interrupted; False when the job was given up meanwhile. May be called again."""
        self._lock.acquire()
        self._busy.pop(me, None)
        ours = job not in self._given_up
        self._lock.release()
        if job.interruption is not None:
            clear(me)
            self._lock.release_wholly()
            error, job.interruption = job.interruption, None  # nothing can come any more
            rescue(self._steps, job, error)
        if not ours:
            self._given_up.discard(job)
        return ours
