"""Where tasks run: one file a kind, one small interface.

A pool takes jobs in batches and hands them back in batches, each with its outcome. It never writes to the broker and
knows nothing of connections, so that a hung or dying task takes nothing else with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from amqptasks.worker.delivery import Steps
from amqptasks.worker.job import Job

Finished = Callable[[Job], None]


class Pool(Protocol):
    """Made with the steps to run and `finished`, which it calls once for each job, from any thread."""

    @property
    def running(self) -> int:
        """How many jobs are being run now."""

    def start(self) -> None: ...

    def submit(self, jobs: Sequence[Job]) -> None:
        """Run these, in order as far as there is room. From the link's thread."""

    def take_back(self) -> list[Job]:
        """The jobs that have not been started; they will not be."""

    def stop(self, timeout: float) -> None:
        """End the pool's threads once what runs has ended; give up waiting after `timeout` seconds."""


class MakePool(Protocol):
    def __call__(self, steps: Steps, finished: Finished, concurrency: int) -> Pool: ...


#: The kinds by the names of `-P`.
KINDS = ("threads", "solo")


def make(kind: str, steps: Steps, finished: Finished, concurrency: int) -> Pool:
    """The pool for plain functions. `async def` tasks always run on `asynchronous.AsyncPool`."""
    if kind == "threads":
        from amqptasks.worker.pools.threads import ThreadPool

        return ThreadPool(steps, finished, concurrency)
    if kind == "solo":
        from amqptasks.worker.pools.solo import SoloPool

        return SoloPool(steps, finished)
    from amqptasks.errors import ConfigurationError

    raise ConfigurationError(f"there is no pool {kind!r}: choose one of {', '.join(KINDS)}")
