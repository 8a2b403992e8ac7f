"""A queue of one connection: exclusive, gone with it, made anew under another name whenever there is another."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence

from amqptasks.amqp.connection import Connection
from amqptasks.amqp.lease import ChannelLease
from amqptasks.amqp.loop import Loop
from amqptasks.amqp.subscription import Subscription
from amqptasks.messages.delivery import SETTLED, Delivery
from amqptasks.transport import Listener

#: Messages that the broker keeps for a listener that does not read; the oldest go first. A listener that hangs must not
#: fill the broker's memory.
MOST_WAITING = 10_000

#: Seconds between two times that it is bound once more, at most: nothing else shows that a binding is gone. Not more
#: often: 4.3 writes it each time, and a node that was cut off from its cluster closes the connection over a write that
#: times out (541).
BIND_EVERY = 60.0

#: The part of that which the shortest pause has.
SHORTEST_PART = 0.6


class ExclusiveSubscription(Subscription):
    """See `transport.Link.listen`."""

    def __init__(
        self,
        loop: Loop,
        connection: Connection,
        prefix: str,
        bindings: Sequence[tuple[str, str]],
        listener: Listener,
    ) -> None:
        self._prefix = prefix
        self._bindings = tuple(bindings)
        super().__init__(loop, connection, prefix, 0, listener)
        self._loop.call_later(BIND_EVERY * random.uniform(SHORTEST_PART, 1.0), self._bind_again)

    def _consume(self, *, auto_ack: bool = True, arguments: dict[str, object] | None = None) -> None:
        assert self._channel is not None
        # A new name: after a break the broker may still hold the old queue for the old connection (405).
        self.queue = f"{self._prefix}.{uuid.uuid4().hex}"
        # Without waiting for answers: the broker reads the channel in order, and closes it at what it refuses.
        self._channel.queue_declare(
            self.queue, exclusive=True, auto_delete=True, arguments={"x-max-length": MOST_WAITING}
        )
        for exchange, routing_key in self._bindings:
            self._channel.queue_bind(self.queue, exchange, routing_key)
        super()._consume(auto_ack=auto_ack, arguments=arguments)

    def _watch(self) -> None:
        """Ask for its exchanges, too: one that was deleted took the binding along, and nobody says so. Where one is
        gone, the broker closes the channel (404), and another queue is made once it is back."""
        super()._watch()
        if self.consuming and self._channel is not None:
            for exchange, _ in self._bindings:
                self._channel.exchange_declare(exchange, passive=True)

    def _bind_again(self) -> None:
        """An exchange that was deleted and made again in between has no binding to our queue."""
        if self._closing:
            return
        self._loop.call_later(BIND_EVERY * random.uniform(SHORTEST_PART, 1.0), self._bind_again)
        if self.consuming and self._channel is not None:
            for exchange, routing_key in self._bindings:
                self._channel.queue_bind(self.queue, exchange, routing_key)

    def _add(self, delivery: Delivery, lease: ChannelLease) -> None:  # noqa: ARG002 - nobody settles these
        if not self._batch:
            self._loop.call_later(0, self._hand_over)
        delivery.lease = SETTLED
        self._batch.append(delivery)
