"""A session with a broker in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from amqptasks.errors import BrokerError, BrokerUnreachable
from amqptasks.memory.broker import CAPABILITIES
from amqptasks.memory.consumers import Consumer
from amqptasks.memory.registry import broker_of
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.outgoing import Outgoing
from amqptasks.transport.capabilities import Capabilities
from amqptasks.transport.entities import Binding, Exchange, Queue, QueueState


class MemorySession:
    """See `transport.Session`. `url` is `memory://` or `memory://NAME`."""

    def __init__(self, url: str) -> None:
        self._broker = broker_of(url)
        self._taken: list[Consumer] = []
        self.timeout = 10.0  # nothing takes time here

    def __enter__(self) -> MemorySession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    def exchange_exists(self, name: str) -> bool:
        return self._broker.exchange_exists(name)

    def queue_state(self, name: str) -> QueueState | None:
        with self._broker.lock:
            queue = self._broker.find_queue(name)
            return queue.state if queue is not None else None

    def declare_exchange(self, exchange: Exchange) -> None:
        self._broker.declare_exchange(exchange)

    def declare_queue(self, queue: Queue) -> None:
        self._broker.declare_queue(queue)

    def bind(self, binding: Binding) -> None:
        self._broker.bind(binding)

    def declare_in_order(self, objects: Iterable[Exchange | Queue | Binding], retired: Iterable[Binding] = ()) -> bool:
        try:
            for one in objects:
                if isinstance(one, Exchange):
                    self.declare_exchange(one)
                elif isinstance(one, Queue):
                    self.declare_queue(one)
                else:
                    self.bind(one)
            for binding in retired:
                self.unbind(binding)
        except BrokerError:
            return False
        return True

    def unbind(self, binding: Binding) -> None:
        self._broker.unbind(binding)

    def delete_exchange(self, name: str) -> None:
        self._broker.delete_exchange(name)

    def delete_queue(self, name: str) -> int:
        with self._broker.lock:
            state = self.queue_state(name)
            self._broker.delete_queue(name)
        return 0 if state is None else state.messages

    def delete_empty_queue(self, name: str) -> bool:
        with self._broker.lock:
            state = self.queue_state(name)
            if state is not None and state.messages:
                return False
            self._broker.delete_queue(name)
        return True

    def purge_queue(self, name: str, within: float | None = None) -> int:  # noqa: ARG002 - nothing takes time here
        with self._broker.lock:
            return self._broker.queue(name).purge()

    def publish(self, outgoing: Outgoing) -> None:
        self._broker.publish(outgoing)

    def take(self, queue: str, limit: int) -> Iterator[Delivery]:
        arrived: list[Delivery] = []
        with self._broker.lock:
            consumer = Consumer(
                self._broker.queue(queue), self._broker.lock, max(1, limit), arrived.append, lambda _: None
            )
            consumer.attach()
            consumer.detach()
        self._taken.append(consumer)
        yield from arrived

    def ack(self, delivery: Delivery) -> None:
        if not delivery.lease.alive:
            raise BrokerUnreachable(f"what was taken from {delivery.queue!r} has been given back")
        delivery.lease.ack(delivery.tag)

    def give_back(self) -> None:
        taken, self._taken = self._taken, []
        for consumer in taken:
            consumer.give_back()

    def close(self) -> None:
        self.give_back()
