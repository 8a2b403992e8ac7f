"""A queue of one connection to the broker in memory: gone with its consumer, made anew under another name."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace

from amqptasks.errors import BrokerError
from amqptasks.memory.broker import Broker
from amqptasks.memory.subscription import MemorySubscription
from amqptasks.messages.delivery import SETTLED
from amqptasks.transport import Listener
from amqptasks.transport.entities import Binding, Queue

#: Seconds before it is looked again whether the exchanges are there.
AGAIN = 0.2


class MemoryListening(MemorySubscription):
    """See `transport.Link.listen`."""

    def __init__(
        self,
        broker: Broker,
        call_soon: Callable[[Callable[[], None]], bool],
        prefix: str,
        bindings: Sequence[tuple[str, str]],
        listener: Listener,
    ) -> None:
        super().__init__(broker, call_soon, prefix, 0, listener)
        self._prefix = prefix
        self._bindings = tuple(bindings)

    def start(self) -> None:
        """Make the queue and consume it."""
        self._queue = f"{self._prefix}.{uuid.uuid4().hex}"
        try:
            with self._broker.lock:
                self._broker.declare_queue(Queue(self._queue, durable=False, auto_delete=True))
                for exchange, routing_key in self._bindings:
                    self._broker.bind(Binding(exchange, self._queue, routing_key))
                super().start()
        except BrokerError as error:
            queue, reason = self._queue, str(error)
            self._broker.delete_queue(queue)
            self._call_soon(lambda: self._listener.unavailable(queue, reason))
            with self._broker.lock:
                self._broker.clock.at(self._broker.clock.now() + AGAIN, self._begin_soon)

    def _hand_over(self) -> None:
        with self._broker.lock:
            batch, self._batch = self._batch, []
            for delivery in batch:
                delivery.lease.ack(delivery.tag)
        if batch:
            self._listener.deliveries([replace(delivery, lease=SETTLED) for delivery in batch])
