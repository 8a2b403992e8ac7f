"""How a worker's pools are made: each imported only where something needs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from amqptasks import dial
from amqptasks.errors import ConfigurationError
from amqptasks.options.workers import MOST_PREFETCH
from amqptasks.runtime.clock import broker_time
from amqptasks.transport import Watching
from amqptasks.worker.pools import Pool
from amqptasks.worker.pools.choice import ASYNC
from amqptasks.worker.pools.prefork.settings import PreforkSettings

if TYPE_CHECKING:
    from amqptasks.worker.job.job import Job
    from amqptasks.worker.node import Node
    from amqptasks.worker.pools.prefork.child import ChildConfig

#: Async tasks that run at once unless a number is asked for: what the prefetch lets the worker hold.
UNLIMITED = MOST_PREFETCH


class Making:
    """Makes the pools of a node. `ack_early` hears of a job that is to be acknowledged before it runs."""

    def __init__(
        self,
        node: Node,
        ack_early: Callable[[Job], None],
        async_concurrency: int | None = None,
        prefork: PreforkSettings | None = None,
    ) -> None:
        self._node = node
        self._ack_early = ack_early
        self._async_concurrency = async_concurrency or UNLIMITED
        self._prefork_settings = prefork or PreforkSettings()

    def pool(self, kind: str) -> Pool:
        """A new pool of this kind. Raises `ConfigurationError` for one that the broker cannot serve."""
        node, finished = self._node, self._node.completions.finished
        if kind == ASYNC:
            from amqptasks.worker.pools.asynchronous import AsyncPool

            return AsyncPool(node.steps, node.completions.all_finished, self._async_concurrency)
        if kind == "solo":
            from amqptasks.worker.pools.solo import SoloPool

            return SoloPool(node.steps, finished)
        if kind == "prefork":
            return self._prefork()
        from amqptasks.worker.pools.threads import ThreadPool

        return ThreadPool(node.steps, finished, node.concurrency)

    def _prefork(self) -> Pool:
        node, settings = self._node, self._prefork_settings
        app = node.app
        if dial.is_memory(app.broker):
            raise ConfigurationError("memory:// lives within one process: a prefork pool needs a broker beside it")
        from amqptasks.worker.pools.prefork.child import ChildConfig
        from amqptasks.worker.pools.prefork.pool import PreforkPool

        def child_config() -> ChildConfig:
            return ChildConfig(
                node.name, app.capabilities, settings.max_memory is not None, settings.logs, broker_time.ahead()
            )

        return PreforkPool(
            app,
            cast("Watching", node.link),
            node.completions.conclude,
            self._ack_early,
            node.completions.finished,
            child_config,
            node.concurrency,
            settings,
        )
