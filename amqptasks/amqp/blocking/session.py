"""A blocking connection to RabbitMQ for rare things: declare, look, move, purge."""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

from pika import exceptions

from amqptasks.amqp.blocking.pipeline import Declared, declare_all, declare_in_order
from amqptasks.amqp.blocking.session_channel import SessionChannel, Unanswered
from amqptasks.amqp.blocking.session_lease import SessionLease, collector
from amqptasks.amqp.failures.replies import InternalFault, NotFound, Refused
from amqptasks.amqp.wire.properties import EncodedProperties
from amqptasks.amqp.wire.wire_frames import publish_method
from amqptasks.errors import (
    BrokerError,
    BrokerUnreachable,
    ConnectionBlocked,
    Nacked,
    PublishRejected,
    PublishTimeout,
    Unroutable,
)
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.outgoing import Outgoing
from amqptasks.runtime.clock import monotonic
from amqptasks.transport.capabilities import Capabilities
from amqptasks.transport.entities import Binding, Exchange, Queue, QueueState

#: Seconds without a delivery after which `take` asks the broker whether the queue is empty.
QUIET = 0.2

#: Seconds without a delivery after which `take` ends although the broker counts ready messages: somebody else's
#: consumer gets them, or the queue is a single active consumer's.
STALLED = 2.0

#: The largest prefetch: AMQP's 16 bits.
PREFETCH_LIMIT = 65535


class Session:
    """Implements `transport.Session` over pika's blocking connection. Not thread-safe.

    `urls` are tried in turn, round after round with growing pauses, until `timeout` seconds are over, or only
    `connect_timeout` while nobody has ever answered there (None: as long). Every later answer of the broker is waited
    for `timeout` seconds. The connection is opened by the first call, and again after a break.

    Raises, from every call: `BrokerUnreachable`, `TlsError`, `AccessRefused` (user, password, virtual host,
    permission), `ConfigurationError` for an address that is none.
    """

    def __init__(
        self,
        urls: Sequence[str],
        timeout: float = 10.0,
        ssl: ssl.SSLContext | None = None,
        connect_timeout: float | None = None,
    ) -> None:
        self._taken: list[SessionLease] = []
        self._broker = SessionChannel(urls, timeout, ssl, self._taken.clear, connect_timeout)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def capabilities(self) -> Capabilities:
        """What the broker can do; connects where that has not been done."""
        return self._broker.capabilities

    @property
    def timeout(self) -> float:
        return self._broker.timeout

    @timeout.setter
    def timeout(self, seconds: float) -> None:
        self._broker.wait_at_most(seconds)

    def exchange_exists(self, name: str) -> bool:
        """Raises `BrokerError` where the broker can neither say yes nor no."""
        try:
            with self._broker.asking(f"exchange {name!r}") as channel:
                channel.exchange_declare(name, passive=True)
        except NotFound:
            return False
        return True

    def queue_state(self, name: str) -> QueueState | None:
        """Ready messages and consumers; None where there is no such queue."""
        try:
            with self._broker.asking(f"queue {name!r}") as channel:
                found = channel.queue_declare(name, passive=True).method
        except NotFound:
            return None
        return QueueState(found.message_count, found.consumer_count)

    def declare_exchange(self, exchange: Exchange) -> None:
        with self._broker.asking(f"exchange {exchange.name!r}") as channel:
            channel.exchange_declare(
                exchange.name,
                exchange.type,
                durable=exchange.durable,
                auto_delete=exchange.auto_delete,
                internal=exchange.internal,
                arguments=dict(exchange.arguments),
            )

    def declare_queue(self, queue: Queue) -> None:
        """Tried again while the broker fails inside: a declaration may be repeated, and a queue that was half made is
        gone by then."""
        self._broker.until_in_time(InternalFault)(self._declare_queue_once, queue)

    def _declare_queue_once(self, queue: Queue) -> None:
        with self._broker.asking(f"queue {queue.name!r}") as channel:
            channel.queue_declare(
                queue.name,
                durable=queue.durable,
                exclusive=queue.exclusive,
                auto_delete=queue.auto_delete,
                arguments=dict(queue.arguments),
            )

    def bind(self, binding: Binding) -> None:
        arguments = dict(binding.arguments)
        with self._broker.asking(_described(binding)) as channel:
            if binding.destination_type == "queue":
                channel.queue_bind(binding.destination, binding.source, binding.routing_key, arguments)
            else:
                channel.exchange_bind(binding.destination, binding.source, binding.routing_key, arguments)

    def declare_all(self, objects: Iterable[Declared], progress: Callable[[Declared], None]) -> None:
        """Exchanges, queues and bindings in no order among each other, as fast as the broker makes them; `progress`
        hears of each. Raises as `declare_queue` for the first that is refused; those before it may be made."""
        with self._broker.asking("what is declared"):
            declare_all(self._broker.connected(), objects, progress)

    def declare_in_order(self, objects: Iterable[Declared], retired: Iterable[Binding] = ()) -> bool:
        try:
            with self._broker.talking("what is declared", answers=_REFUSED):
                declare_in_order(self._broker.connected(), objects, retired)
        except (Refused, InternalFault):
            return False
        return True

    def unbind(self, binding: Binding) -> None:
        arguments = dict(binding.arguments)
        with self._broker.asking(_described(binding)) as channel:
            if binding.destination_type == "queue":
                channel.queue_unbind(binding.destination, binding.source, binding.routing_key, arguments)
            else:
                channel.exchange_unbind(binding.destination, binding.source, binding.routing_key, arguments)

    def delete_exchange(self, name: str) -> None:
        with self._broker.asking(f"exchange {name!r}") as channel:
            channel.exchange_delete(name)

    def delete_queue(self, name: str) -> int:
        with self._broker.asking(f"queue {name!r}") as channel:
            return channel.queue_delete(name).method.message_count or 0

    def delete_empty_queue(self, name: str) -> bool:
        try:
            with self._broker.asking(f"queue {name!r}", answers=_NOT_EMPTY) as channel:
                channel.queue_delete(name, if_empty=True)
        except Refused:
            return False
        return True

    def purge_queue(self, name: str, within: float | None = None) -> int:
        with self._broker.in_haste(within), self._broker.asking(f"queue {name!r}") as channel:
            return channel.queue_purge(name).method.message_count or 0

    def publish(self, outgoing: Outgoing) -> None:
        """Waits for the confirm. Raises `Unroutable`, `Nacked`, `PublishRejected`, `PublishTimeout` (none within the
        session's `timeout`: the message may or may not be stored) or `ConnectionBlocked`."""
        message_id = outgoing.properties.correlation_id
        place = f"exchange {outgoing.exchange!r} with routing key {outgoing.routing_key!r}"
        try:
            properties = EncodedProperties(outgoing.properties)
            publish_method(1, outgoing.exchange, outgoing.routing_key, mandatory=outgoing.mandatory)
        except ValueError as error:
            raise PublishRejected(f"the message cannot be encoded: {error}", message_id) from None
        try:
            with self._broker.asking(place, answers=_REJECTED) as channel:
                channel.basic_publish(
                    outgoing.exchange,
                    outgoing.routing_key,
                    outgoing.body,
                    properties,
                    mandatory=outgoing.mandatory,
                )
        except exceptions.UnroutableError:
            raise Unroutable(f"no queue takes what goes to {place}", message_id) from None
        except exceptions.NackError:
            raise Nacked(f"the queue behind {place} refused: it is full, or has no leader now", message_id) from None
        except Unanswered as unanswered:
            if unanswered.blocked is not None:
                raise ConnectionBlocked(f"{self._broker.where} blocks publishers: {unanswered.blocked}") from None
            raise PublishTimeout(f"no confirm from {place} within {self._broker.timeout:g} s", message_id) from None
        except Refused as refused:
            raise PublishRejected(f"{place}: {refused.text}", message_id) from None

    def take(self, queue: str, limit: int) -> Iterator[Delivery]:
        """At most `limit` messages, until none is ready. Uses a consumer: on quorum queues `basic.get` is slow, and
        the management API's `get` counts against the delivery limit."""
        arrived: deque[Delivery] = deque()
        with self._broker.asking(f"queue {queue!r}"):  # also connects
            taken = SessionLease(self._broker.connected().channel())
        with self._broker.asking(f"queue {queue!r}"):
            taken.channel.basic_qos(prefetch_count=min(limit, PREFETCH_LIMIT))
            consumer = taken.channel.basic_consume(queue, collector(queue, taken, arrived))
        self._taken.append(taken)
        for count, delivery in enumerate(self._arriving(queue, arrived), start=1):
            if not taken.alive:
                break
            if count == limit and consumer:
                with self._broker.asking(f"queue {queue!r}"):
                    taken.channel.basic_cancel(consumer)
                consumer = ""
            yield delivery
            if count >= limit:
                break
        if consumer and taken.alive:
            with self._broker.asking(f"queue {queue!r}"):
                taken.channel.basic_cancel(consumer)
        for surplus in arrived:  # acks made room in the prefetch for more than was asked for
            taken.nack(surplus.tag)

    def ack(self, delivery: Delivery) -> None:
        """Takes the message out of its queue. Raises `BrokerUnreachable` where the connection that got it is gone:
        then the broker delivers it again."""
        if not delivery.lease.alive:
            raise BrokerUnreachable(f"the connection that took a message from {delivery.queue!r} is gone")
        with self._broker.asking(f"queue {delivery.queue!r}"):
            delivery.lease.ack(delivery.tag)

    def give_back(self) -> None:
        taken = list(self._taken)
        self._taken.clear()
        for one in taken:
            if one.alive:
                with self._broker.asking("messages given back"):
                    for consumer in one.channel.consumer_tags:
                        one.channel.basic_cancel(consumer)
                    # nack, not close: from 4.3 on it does not count as a failed delivery. 0: all of this channel.
                    one.channel.basic_nack(0, multiple=True, requeue=True)
                    one.channel.close()

    def close(self) -> None:
        """Give back what is held and disconnect. Idempotent."""
        if self._broker.is_open:
            with suppress(BrokerError):  # a connection that breaks now gives everything back all the same
                self.give_back()
        self._broker.drop()

    def _arriving(self, queue: str, arrived: deque[Delivery]) -> Iterator[Delivery]:
        """Deliveries as they come; ends when the queue has no more for us."""
        last = monotonic()
        while True:
            while arrived:
                yield arrived.popleft()
                last = monotonic()
            with self._broker.asking(f"queue {queue!r}"):
                self._broker.connected().process_data_events(QUIET)
            quiet = monotonic() - last
            if arrived or quiet < QUIET:
                continue
            state = self.queue_state(queue)
            if not arrived and (state is None or state.messages == 0 or quiet > STALLED):
                return


#: Reply codes that a publish alone can bring about: no right, no exchange, a bad property.
_REJECTED = frozenset({403, 404, 406})

#: Reply codes with which the broker refuses to make an object, or to bind it.
_REFUSED = frozenset({403, 404, 405, 406, 503})

#: What the broker closes the channel with when it is asked to delete a queue if empty, and it is not.
_NOT_EMPTY = frozenset({406})


def _described(binding: Binding) -> str:
    return f"the binding of {binding.destination_type} {binding.destination!r} to exchange {binding.source!r}"
