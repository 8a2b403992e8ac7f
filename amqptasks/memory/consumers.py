"""Who gets a queue's messages, and holds them until they are settled."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from amqptasks.memory.messages import copied
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.properties import Headers

if TYPE_CHECKING:
    from amqptasks.memory.queues import MemoryQueue
    from amqptasks.memory.ready import Entry


class Consumer:
    """A consumer on a channel of its own, and the lease (`messages.delivery.Lease`) of what it was given. Any thread.

    `receive(delivery)` and `cancelled(reason)` are called with the broker's lock held: they only pass the word on.
    """

    def __init__(
        self,
        queue: MemoryQueue,
        lock: threading.RLock,
        prefetch: int,
        receive: Callable[[Delivery], None],
        cancelled: Callable[[str], None],
    ) -> None:
        self._queue = queue
        self._lock = lock
        self._prefetch = prefetch
        self._receive = receive
        self._cancelled = cancelled
        self._held: dict[int, Entry] = {}
        self._last_tag = 0
        self._alive = True

    @property
    def alive(self) -> bool:
        return self._alive

    @property
    def lost(self) -> bool:
        return not self._alive

    @property
    def is_orphaned(self) -> bool:
        """Its queue was deleted while it took no messages."""
        return self._queue.is_closed

    @property
    def has_room(self) -> bool:
        return not self._prefetch or len(self._held) < self._prefetch

    @property
    def unsettled(self) -> int:
        return len(self._held)

    @property
    def is_empty(self) -> bool:
        return not self._held

    def resize(self, prefetch: int) -> None:
        """Lock held."""
        self._prefetch = prefetch

    def attach(self) -> None:
        """Start, or go on, to take messages. Lock held."""
        self._queue.add_consumer(self)

    def detach(self) -> None:
        """Take no more messages; those held stay held. Lock held."""
        self._queue.remove_consumer(self)

    def deliver(self, entry: Entry) -> None:
        """Lock held."""
        self._last_tag += 1
        self._held[self._last_tag] = entry
        message = entry.message
        properties = copied(message.properties)
        if entry.acquired and self._queue.settings.quorum:
            headers: Headers = properties.headers or {}
            headers["x-acquired-count"] = entry.acquired
            if entry.failures:
                headers["x-delivery-count"] = message.failures + entry.failures
            properties.headers = headers
        self._receive(
            Delivery(
                self._queue.name,
                self._last_tag,
                message.exchange,
                message.routing_key,
                entry.acquired > 0,
                properties,
                message.body,
                self,
            )
        )

    def ack(self, tag: int) -> None:
        with self._lock:
            if self._held.pop(tag, None) is not None:
                self._queue.advance()

    def nack(self, tag: int) -> None:
        with self._lock:
            if (entry := self._held.pop(tag, None)) is not None:
                self._queue.take_back([entry], failed=False)

    def reject(self, tag: int) -> None:
        with self._lock:
            if (entry := self._held.pop(tag, None)) is not None:
                self._queue.take_back([entry], failed=True)

    def discard(self, tag: int) -> None:
        """`basic.reject` without requeue: to the dead-letter exchange, where the queue has one."""
        with self._lock:
            if (entry := self._held.pop(tag, None)) is not None:
                self._queue.discard(entry)

    def close(self) -> None:
        """End the channel: what is held goes back, and counts as failed. Lock held."""
        self._alive = False
        returned, self._held = list(self._held.values()), {}
        self._queue.remove_consumer(self, returned)

    def give_back(self) -> None:
        """End the channel; what is held goes back, and does not count as failed."""
        with self._lock:
            returned, self._held = list(self._held.values()), {}
            self._queue.take_back(returned, failed=False)
            self.close()

    def cancel(self, reason: str) -> None:
        """The queue is gone, with what is held of it, or the connection broke. Lock held."""
        self.close()
        self._cancelled(reason)
