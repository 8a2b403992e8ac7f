"""A blocking connection to RabbitMQ for rare things: declare, look, move, purge."""

from __future__ import annotations

import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from pika import exceptions
from pika.adapters.blocking_connection import BlockingChannel
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from amqptasks.amqp.address import masked, parameters
from amqptasks.amqp.bounded import BoundedConnection, TimedOut
from amqptasks.amqp.failures import CONNECTING_FAILED, explain
from amqptasks.amqp.pipeline import Declared, declare_all
from amqptasks.amqp.properties import EncodedProperties
from amqptasks.amqp.quiet import quietly
from amqptasks.amqp.replies import InternalFault, NotFound, Refused, explained
from amqptasks.amqp.taken import Taken, collector
from amqptasks.amqp.wire_frames import publish_method
from amqptasks.capabilities import Capabilities, from_server_properties
from amqptasks.entities import Binding, Exchange, Queue, QueueState
from amqptasks.errors import (
    BrokerError,
    BrokerUnreachable,
    ConfigurationError,
    ConnectionBlocked,
    Nacked,
    PublishRejected,
    PublishTimeout,
    Unroutable,
)
from amqptasks.transport import Delivery, Outgoing

#: Seconds without a delivery after which `take` asks the broker whether the queue is empty.
QUIET = 0.2

#: Seconds without a delivery after which `take` ends although the broker counts ready messages: somebody else's
#: consumer gets them, or the queue is a single active consumer's.
STALLED = 2.0

#: The largest prefetch: AMQP's 16 bits.
PREFETCH_LIMIT = 65535


class Session:
    """Implements `transport.Session` over pika's blocking connection. Not thread-safe.

    `urls` are tried in turn, round after round with growing pauses, until `timeout` seconds are over; every later
    answer of the broker is waited for as long. The connection is opened by the first call, and again after a break.

    Raises, from every call: `BrokerUnreachable`, `AccessRefused` (user, password, virtual host, permission),
    `ConfigurationError` for an address that is none.
    """

    def __init__(self, urls: Sequence[str], timeout: float = 10.0, ssl: ssl.SSLContext | None = None) -> None:
        if not urls:
            raise ConfigurationError("no broker address is given: write one, as amqp://guest:guest@localhost:5672/")
        self._urls = tuple(urls)
        self._parameters = [parameters(url, ssl) for url in urls]
        self._where = ", ".join(masked(url) for url in urls)
        self._timeout = timeout
        self._connection: BoundedConnection | None = None
        self._channel: BlockingChannel | None = None
        self._taken: list[Taken] = []
        self._blocked: str | None = None
        self._capabilities: Capabilities | None = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def capabilities(self) -> Capabilities:
        """What the broker can do; connects where that has not been done."""
        self._connected()
        if self._capabilities is None:  # pragma: no cover
            raise BrokerUnreachable(f"{self._where} did not say what it is")
        return self._capabilities

    def exchange_exists(self, name: str) -> bool:
        """Raises `BrokerError` where the broker can neither say yes nor no."""
        try:
            with self._asking(f"exchange {name!r}") as channel:
                channel.exchange_declare(name, passive=True)
        except NotFound:
            return False
        return True

    def queue_state(self, name: str) -> QueueState | None:
        """Ready messages and consumers; None where there is no such queue."""
        try:
            with self._asking(f"queue {name!r}") as channel:
                found = channel.queue_declare(name, passive=True).method
        except NotFound:
            return None
        return QueueState(found.message_count, found.consumer_count)

    def declare_exchange(self, exchange: Exchange) -> None:
        with self._asking(f"exchange {exchange.name!r}") as channel:
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
        self._until_in_time(InternalFault)(self._declare_queue_once, queue)

    def _declare_queue_once(self, queue: Queue) -> None:
        with self._asking(f"queue {queue.name!r}") as channel:
            channel.queue_declare(
                queue.name,
                durable=queue.durable,
                exclusive=queue.exclusive,
                auto_delete=queue.auto_delete,
                arguments=dict(queue.arguments),
            )

    def bind(self, binding: Binding) -> None:
        arguments = dict(binding.arguments)
        with self._asking(_described(binding)) as channel:
            if binding.destination_type == "queue":
                channel.queue_bind(binding.destination, binding.source, binding.routing_key, arguments)
            else:
                channel.exchange_bind(binding.destination, binding.source, binding.routing_key, arguments)

    def declare_all(self, objects: Iterable[Declared], progress: Callable[[Declared], None]) -> None:
        """Exchanges, queues and bindings in no order among each other, as fast as the broker makes them; `progress`
        hears of each. Raises as `declare_queue` for the first that is refused; those before it may be made."""
        with self._asking("what is declared"):
            declare_all(self._connected(), objects, progress)

    def unbind(self, binding: Binding) -> None:
        arguments = dict(binding.arguments)
        with self._asking(_described(binding)) as channel:
            if binding.destination_type == "queue":
                channel.queue_unbind(binding.destination, binding.source, binding.routing_key, arguments)
            else:
                channel.exchange_unbind(binding.destination, binding.source, binding.routing_key, arguments)

    def delete_exchange(self, name: str) -> None:
        with self._asking(f"exchange {name!r}") as channel:
            channel.exchange_delete(name)

    def delete_queue(self, name: str) -> int:
        with self._asking(f"queue {name!r}") as channel:
            return channel.queue_delete(name).method.message_count or 0

    def delete_empty_queue(self, name: str) -> bool:
        try:
            with self._asking(f"queue {name!r}", answers=_NOT_EMPTY) as channel:
                channel.queue_delete(name, if_empty=True)
        except Refused:
            return False
        return True

    def purge_queue(self, name: str) -> int:
        with self._asking(f"queue {name!r}") as channel:
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
            with self._asking(place, answers=_REJECTED) as channel:
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
        except _Unanswered as unanswered:
            if unanswered.blocked is not None:
                raise ConnectionBlocked(f"{self._where} blocks publishers: {unanswered.blocked}") from None
            raise PublishTimeout(f"no confirm from {place} within {self._timeout:g} s", message_id) from None
        except Refused as refused:
            raise PublishRejected(f"{place}: {refused.text}", message_id) from None

    def take(self, queue: str, limit: int) -> Iterator[Delivery]:
        """At most `limit` messages, until none is ready. Uses a consumer: on quorum queues `basic.get` is slow, and
        the management API's `get` counts against the delivery limit."""
        arrived: deque[Delivery] = deque()
        with self._asking(f"queue {queue!r}"):  # also connects
            taken = Taken(self._connected().channel())
        with self._asking(f"queue {queue!r}"):
            taken.channel.basic_qos(prefetch_count=min(limit, PREFETCH_LIMIT))
            consumer = taken.channel.basic_consume(queue, collector(queue, taken, arrived))
        self._taken.append(taken)
        for count, delivery in enumerate(self._arriving(queue, arrived), start=1):
            if not taken.alive:
                break
            if count == limit and consumer:
                with self._asking(f"queue {queue!r}"):
                    taken.channel.basic_cancel(consumer)
                consumer = ""
            yield delivery
            if count >= limit:
                break
        if consumer and taken.alive:
            with self._asking(f"queue {queue!r}"):
                taken.channel.basic_cancel(consumer)
        for surplus in arrived:  # acks made room in the prefetch for more than was asked for
            taken.nack(surplus.tag)

    def ack(self, delivery: Delivery) -> None:
        """Takes the message out of its queue. Raises `BrokerUnreachable` where the connection that got it is gone:
        then the broker delivers it again."""
        if not delivery.lease.alive:
            raise BrokerUnreachable(f"the connection that took a message from {delivery.queue!r} is gone")
        with self._asking(f"queue {delivery.queue!r}"):
            delivery.lease.ack(delivery.tag)

    def give_back(self) -> None:
        taken, self._taken = self._taken, []
        for one in taken:
            if one.alive:
                with self._asking("messages given back"):
                    for consumer in one.channel.consumer_tags:
                        one.channel.basic_cancel(consumer)
                    # nack, not close: from 4.3 on it does not count as a failed delivery. 0: all of this channel.
                    one.channel.basic_nack(0, multiple=True, requeue=True)
                    one.channel.close()

    def close(self) -> None:
        """Give back what is held and disconnect. Idempotent."""
        if self._connection is not None and self._connection.is_open:
            with suppress(BrokerError):  # a connection that breaks now gives everything back all the same
                self.give_back()
        self._drop()

    def _arriving(self, queue: str, arrived: deque[Delivery]) -> Iterator[Delivery]:
        """Deliveries as they come; ends when the queue has no more for us."""
        last = time.monotonic()
        while True:
            while arrived:
                yield arrived.popleft()
                last = time.monotonic()
            with self._asking(f"queue {queue!r}"):
                self._connected().process_data_events(QUIET)
            quiet = time.monotonic() - last
            if arrived or quiet < QUIET:
                continue
            state = self.queue_state(queue)
            if not arrived and (state is None or state.messages == 0 or quiet > STALLED):
                return

    def _connected(self) -> BoundedConnection:
        if self._connection is not None and self._connection.is_open:
            return self._connection
        self._drop()
        connection: BoundedConnection = self._until_in_time(BrokerUnreachable)(self._connect_once)
        connection.add_on_connection_blocked_callback(self._on_blocked)
        connection.add_on_connection_unblocked_callback(self._on_unblocked)
        self._capabilities = from_server_properties(connection.server_properties)
        self._connection = connection
        return connection

    def _until_in_time(self, error: type[BrokerError]) -> Retrying:
        return Retrying(
            stop=stop_after_delay(self._timeout),
            wait=wait_random_exponential(multiplier=0.1, max=2.0),
            retry=retry_if_exception_type(error),
            reraise=True,
        )

    def _connect_once(self) -> BoundedConnection:
        """One round over all addresses; the last one's error where none answers, a refusal before a silence."""
        failures: list[BrokerError] = []
        for url, wanted in zip(self._urls, self._parameters, strict=True):
            wanted.socket_timeout = min(wanted.socket_timeout or self._timeout, self._timeout)
            wanted.stack_timeout = min(wanted.stack_timeout or self._timeout, self._timeout)
            try:
                with quietly():
                    connection = BoundedConnection(wanted)
            except CONNECTING_FAILED as error:
                failures.append(explain(error, masked(url)))
            else:
                connection.seconds = self._timeout
                return connection
        unreachable = [failure for failure in failures if isinstance(failure, BrokerUnreachable)]
        if len(failures) == len(unreachable):
            raise BrokerUnreachable("; ".join(str(failure) for failure in failures))
        raise next(failure for failure in failures if not isinstance(failure, BrokerUnreachable))

    def _opened(self) -> BlockingChannel:
        connection = self._connected()
        if self._channel is None or not self._channel.is_open:
            self._channel = connection.channel()
            self._channel.confirm_delivery()
        return self._channel

    @contextmanager
    def _asking(self, what: str, answers: frozenset[int] = frozenset()) -> Iterator[BlockingChannel]:
        """One exchange with the broker about `what`; pika's errors become ours. A reply code in `answers` is raised as
        `Refused`, for the caller to name."""
        try:
            with quietly():
                yield self._opened()
        except exceptions.ChannelClosedByBroker as error:
            raise explained(what, error.reply_code, error.reply_text, answers) from None
        except TimedOut:
            blocked = self._blocked_now()
            self._drop()
            raise _Unanswered(
                f"{self._where} did not answer within {self._timeout:g} s about {what}", blocked
            ) from None
        except (exceptions.UnroutableError, exceptions.NackError):
            raise
        except exceptions.ConnectionClosedByBroker as error:
            self._drop()
            raise explained(what, error.reply_code, error.reply_text, answers) from None
        except (exceptions.AMQPError, OSError) as error:
            self._drop()
            raise explain(error, self._where) from error

    def _blocked_now(self) -> str | None:
        """Why the broker blocks us: it said so while we waited for something else."""
        if self._connection is not None and self._connection.is_open:
            with suppress(exceptions.AMQPError):
                self._connection.process_data_events(0)
        return self._blocked

    def _on_blocked(self, _connection: object, method: object) -> None:
        reason = getattr(getattr(method, "method", None), "reason", None)
        self._blocked = str(reason or "the broker did not say why")

    def _on_unblocked(self, _connection: object, _method: object) -> None:
        self._blocked = None

    def _drop(self) -> None:
        connection, self._connection, self._channel, self._taken, self._blocked = self._connection, None, None, [], None
        if connection is not None and connection.is_open:
            connection.seconds = min(self._timeout, 1.0)  # an unanswered goodbye is no reason to wait long
            try:
                with quietly():
                    connection.close()
            except TimedOut:
                connection.abandon()
            except (exceptions.AMQPError, OSError):  # it broke by itself, and pika has freed what it held
                return


class _Unanswered(BrokerUnreachable):
    """No answer in time; `blocked` tells why the broker blocks this connection, where it does."""

    def __init__(self, message: str, blocked: str | None) -> None:
        self.blocked = blocked
        super().__init__(message)


#: Reply codes that a publish alone can bring about: no right, no exchange, a bad property.
_REJECTED = frozenset({403, 404, 406})

#: What the broker closes the channel with when it is asked to delete a queue if empty, and it is not.
_NOT_EMPTY = frozenset({406})


def _described(binding: Binding) -> str:
    return f"the binding of {binding.destination_type} {binding.destination!r} to exchange {binding.source!r}"
