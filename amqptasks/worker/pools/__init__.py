"""Where tasks run: one file a kind, one small interface.

A pool takes jobs in batches and hands them back one by one, each with its outcome. It never writes to the broker and
knows nothing of connections, so that a hung or dying task takes nothing else with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from amqptasks.worker.job.job import Job

Finished = Callable[[Job], None]
AllFinished = Callable[[Sequence[Job]], None]


class Pool(Protocol):
    """Made with what runs a job and `finished`, which it calls once for each job, from any thread; not for those that
    `take_back`, `withdraw` and `kill` took away. All but `start` and `stop` is called on the link's thread. A job that
    is settled (`notifications.telling`) is run like any other: `Executor` only tells what became of it."""

    @property
    def size(self) -> int:
        """How many jobs can run at once."""

    @property
    def running(self) -> int:
        """How many jobs are being run now."""

    @property
    def trouble(self) -> str | None:
        """Why it can run nothing now, though it is to; None where it can."""

    @property
    def begins(self) -> bool:
        """True while nothing can run yet, as none of its processes has begun."""

    def current(self) -> list[Job]:
        """The jobs that are being run now."""

    def started(self, job: Job) -> float:
        """When it began, in seconds on the monotonic clock; 0 while it waits."""

    def pid(self, job: Job) -> int | None:
        """The process in which it runs; None where that is not known."""

    def start(self) -> None: ...

    def submit(self, jobs: Sequence[Job]) -> None:
        """Run these as far as there is room: the queues in turn, those of one queue in order."""

    def take_back(self) -> list[Job]:
        """The jobs that have not been started; they will not be."""

    def withdraw(self, job: Job) -> bool:
        """As `take_back`, for this one; False when it has begun, or ended."""

    def lose(self, job: Job) -> bool:
        """The lease of a job that cannot be withdrawn is lost: let its task know, where it cannot see by itself. False
        where the pool does not run it."""

    def regain(self, job: Job) -> None:
        """A job that lost its lease has another one: as `lose`."""

    def interrupt(self, job: Job, error: BaseException) -> bool:
        """Have `error` raised in the code of a job that runs; False when it does not."""

    def kill(self, job: Job) -> bool:
        """End a job that runs by force, or at least give it up; False when it does not run, or cannot be."""

    def resize(self, size: int) -> None:
        """Run so many at once from now on; what runs is not disturbed."""

    def restart(self) -> None:
        """Run what comes from now on in fresh processes, where the pool has any."""

    def abort(self) -> None:
        """End what runs by force, where that can be; nothing of it comes back. The worker ends."""

    def stop(self, timeout: float) -> None:
        """End the pool's threads once what runs has ended; give up waiting after `timeout` seconds."""
