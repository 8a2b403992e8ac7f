"""All pools of a worker, and which of them runs what: the task's `pool=`, else its queue's, else the worker's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, get_args

from amqptasks.errors import ConfigurationError
from amqptasks.messages import protocol
from amqptasks.runtime.clock import monotonic
from amqptasks.tasks.task import Task
from amqptasks.worker.job.job import Job
from amqptasks.worker.pools import Pool

Kind = Literal["prefork", "threads", "solo"]
KINDS: tuple[Kind, ...] = get_args(Kind)

#: The pool of `async def` tasks; no plain function runs there.
ASYNC = "async"


def kind_named(name: str) -> Kind:
    """`name` as a kind. Raises `ConfigurationError` with the names there are."""
    if name not in KINDS:
        raise ConfigurationError(f"there is no pool {name!r}: choose one of {', '.join(KINDS)}")
    return name


class Pools:
    """`make` makes the pool of a kind; each is made when something first needs it, before the worker starts."""

    def __init__(
        self, make: Callable[[str], Pool], tasks: Mapping[str, Task[..., Any]], kind: Kind, queues: Mapping[str, Kind]
    ) -> None:
        self._make = make
        self._tasks = tasks
        self._kind = kind
        self._queues = queues
        self._pools: dict[str, Pool] = {}
        self._known: dict[tuple[str, str | None], Pool] = {}
        self.prepared = self.started = False

    def __iter__(self) -> Iterator[Pool]:
        return iter(list(self._pools.values()))

    def items(self) -> list[tuple[str, Pool]]:
        """The pools by kind."""
        return list(self._pools.items())

    def named(self, kind: str) -> Pool | None:
        """The pool of this kind, where there is one."""
        return self._pools.get(kind)

    @property
    def default_kind(self) -> str:
        """The kind of `default`."""
        return self._kind

    @property
    def default(self) -> Pool:
        """Where plain functions run that say nothing else."""
        return self._pool(self._kind)

    @property
    def running(self) -> int:
        return sum(pool.running for pool in self._pools.values())

    @property
    def trouble(self) -> str | None:
        """Why a part of the tasks cannot run now; None where all can."""
        for kind, pool in self._pools.items():
            if (trouble := pool.trouble) is not None:
                return f"the {kind} pool can run nothing: {trouble}"
        return None

    def of(self, job: Job) -> Pool:
        """The pool for this job; the same each time."""
        return self.for_task(job.delivery.queue, protocol.task_name(job.delivery.shared_headers))

    def for_task(self, queue: str, name: str | None) -> Pool:
        """The pool for jobs of this task that come from this queue; `name` None for messages that name no task."""
        key = (queue, name)
        pool = self._known.get(key)
        if pool is None:
            pool = self._chosen(*key)
            if key[1] in self._tasks:  # other names may be anything, and without end
                self._known[key] = pool
        return pool

    def prepare(self) -> None:
        """Make those that the tasks and queues known by now need. Before this process has another thread: a fork server
        must not begin as a copy of several."""
        self.prepared = True
        for kind in (self._kind, *self._queues.values(), ASYNC):
            self._pool(kind)
        for task in self._tasks.values():
            if not task.is_async and "pool" in task.options:
                self._pool(kind_named(task.options["pool"]))

    def start(self) -> None:
        """Start all; once the worker is known to the broker."""
        self.started = True
        for pool in self._pools.values():
            pool.start()

    def stop(self, timeout: float) -> None:
        """All of them, within `timeout` seconds."""
        deadline = monotonic() + timeout
        for pool in self._pools.values():
            pool.stop(max(0.0, deadline - monotonic()))

    def _chosen(self, queue: str, name: str | None) -> Pool:
        task = self._tasks.get(name or "")
        if task is None:
            return self.default
        if task.is_async:
            return self._pool(ASYNC)
        own = task.options.get("pool") or self._queues.get(queue)
        return self._pool(kind_named(own)) if own else self.default

    def _pool(self, kind: str) -> Pool:
        pool = self._pools.get(kind)
        if pool is None:
            pool = self._pools[kind] = self._make(kind)
            if self.started:  # a task that was registered while the worker runs
                pool.start()
        return pool
