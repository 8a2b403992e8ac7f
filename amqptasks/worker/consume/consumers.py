"""The queues that a node consumes, and how they become more and fewer while it runs. Link thread only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from amqptasks.worker.consume.consumer import ConsumedQueue
from amqptasks.worker.consume.consumer_timeout import ConsumerTimeout
from amqptasks.worker.consume.prefetch import LEAST, Prefetch
from amqptasks.worker.consume.prefetching import Prefetching

if TYPE_CHECKING:
    from amqptasks.worker.node import Node


class Consumers:
    """`wanted` are the queues by name, with a prefetch of their own where they have one. `prefetch` is the others';
    None: as the topology says, else it follows the tasks (see `consume.prefetch`). `at_once` tasks run at once."""

    def __init__(
        self,
        node: Node,
        wanted: Mapping[str, int | None],
        prefetch: int | None,
        at_once: int,
        consumer_timeout: ConsumerTimeout,
    ) -> None:
        self._node = node
        self._consumer_timeout = consumer_timeout
        self._prefetch = prefetch
        self._at_once = at_once
        self._closed = False
        self.queues = {name: self._consumed(name, own) for name, own in wanted.items()}
        self._prefetching = Prefetching(node)

    @property
    def ready(self) -> bool:
        """True while the broker has confirmed our consumer on every queue, but for those that somebody paused."""
        wanted = [queue for queue in self.queues.values() if not (queue.cancelled or queue.paused or queue.is_aside)]
        return all(queue.consuming for queue in wanted)

    @property
    def is_closed(self) -> bool:
        """Nothing is consumed any more, and the broker has said so."""
        return all(queue.is_closed for queue in self.queues.values())

    def begin(self) -> None:
        """Consume all of them."""
        for queue in self.queues.values():
            self._subscribe(queue)
        self._prefetching.begin()

    def close(self) -> None:
        """Take nothing more, for good; what is held is still to be settled."""
        self._closed = True
        for queue in self.queues.values():
            if queue.subscription is not None:
                queue.subscription.close()

    def pause(self, name: str) -> None:
        """Take nothing more from a queue until `resume`. Raises `KeyError` for one that is not consumed here."""
        self.queues[name].pause()

    def resume(self, name: str) -> None:
        """Undo `pause`."""
        self.queues[name].resume()

    def follow(self, at_once: int) -> None:
        """So many tasks run at once from now on: begin anew with twice as many of each queue, unless somebody said how
        many."""
        self._at_once = at_once
        for queue in self.queues.values():
            if queue.follows is not None:
                queue.follows.at_once, queue.follows.size = at_once, LEAST * at_once
                queue.resize(LEAST * at_once)

    def add(self, name: str, prefetch: int | None = None) -> None:
        """Consume one more queue. Raises `TopologyError` for a name that the topology does not have, and for a queue
        that cannot be worked on."""
        known = self.queues.get(name)
        if known is not None and not known.cancelled:
            return
        self._node.app.add_queues([name])
        queue = self._consumed(name, prefetch)
        if known is not None:
            queue.held = known.held  # what came before is still to be settled
        self.queues[name] = queue
        self._subscribe(queue)

    def cancel(self, name: str) -> None:
        """Consume a queue no more: what has not begun goes back to it, what runs is finished. Raises `KeyError`."""
        queue = self.queues[name]
        queue.cancel()
        for job in list(queue.held):
            if self._node.pools.of(job).withdraw(job):
                self._node.completions.hand_back(job)

    def _consumed(self, name: str, prefetch: int | None) -> ConsumedQueue:
        settings = self._node.app.topology.work_queue(name)
        fixed = prefetch or self._prefetch or settings.prefetch
        if fixed is not None:
            return ConsumedQueue(settings, fixed)
        follows = Prefetch(self._at_once, priorities=settings.max_priority is not None)
        return ConsumedQueue(settings, follows.size, follows)

    def _subscribe(self, queue: ConsumedQueue) -> None:
        if self._closed:
            # A node that is told to stop while it starts. It gives back whatever comes, at once, and gets it again: so
            # before 4.3, where that counts, a second is enough to bring a queue's whole content to its delivery limit.
            return
        consumer_timeout = self._consumer_timeout.of(queue)
        queue.subscription = self._node.link.subscribe(
            queue.name, queue.prefetch, self._node.dispatcher, consumer_timeout=consumer_timeout
        )
