"""How long the broker is to wait for the tasks of a queue, where they may take longer than it waits by itself."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from amqptasks.topology.ask.time_limits import TimeLimit, time_limits
from amqptasks.transport.capabilities import CONSUMER_TIMEOUT

if TYPE_CHECKING:
    from amqptasks.app.app import App
    from amqptasks.worker.consume.consumer import ConsumedQueue


class ConsumerTimeout:
    """`limit` is the worker's own time limit in seconds, for tasks that have none; `concurrency` how many run at once.
    Asked once the tasks are imported."""

    def __init__(self, app: App, limit: float | None, concurrency: int) -> None:
        self._app = app
        self._limit = limit or 0.0
        self._concurrency = concurrency

    def of(self, queue: ConsumedQueue) -> float | None:
        """In seconds; None where the broker's own is enough, or the topology says how long. A delivery may have to wait
        until those that were prefetched before it have run, each as long as it may, then runs, and is told of."""
        if queue.settings.type != "quorum" or queue.settings.consumer_timeout is not None:
            return None
        longest = self._longest.get(queue.name)
        limit = max(self._limit, longest.seconds if longest is not None else 0.0)
        turns = 2 + queue.prefetch // self._concurrency
        return limit * turns if limit * turns > CONSUMER_TIMEOUT else None

    @cached_property
    def _longest(self) -> Mapping[str, TimeLimit]:
        app = self._app
        return time_limits(((name, task.options) for name, task in app.tasks.items()), app.router, app.topology)
