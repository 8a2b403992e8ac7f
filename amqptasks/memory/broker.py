"""The broker in this process: exchanges, queues and everything between them, under one lock.

`memory://` and `memory://NAME` name brokers that every link and session of the process shares; `forget` drops one.
It answers as RabbitMQ 4.3 does; the conformance suite runs against both. It has no streams, no exclusive queues (a link
and a session are two connections), no `CC` header, no policies, users or permissions.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass

from amqptasks.errors import (
    AccessRefused,
    BrokerError,
    Nacked,
    PublishRejected,
    Unroutable,
)
from amqptasks.memory import arguments
from amqptasks.memory.acceptance import accepted
from amqptasks.memory.clock import Clock
from amqptasks.memory.dead_letters import DeadLettered
from amqptasks.memory.exchanges import MemoryExchange
from amqptasks.memory.messages import Message
from amqptasks.memory.queues import MemoryQueue
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import REPLY_TO, Headers
from amqptasks.transport.capabilities import Capabilities
from amqptasks.transport.entities import Binding, Exchange, Queue

#: What this broker claims to be: the RabbitMQ whose answers it gives.
CAPABILITIES = Capabilities("memory", (4, 3, 0))

_PREDECLARED = (
    Exchange("", "direct"),
    Exchange("amq.direct", "direct"),
    Exchange("amq.fanout", "fanout"),
    Exchange("amq.topic", "topic"),
    Exchange("amq.headers", "headers"),
    Exchange("amq.match", "headers"),
)

Reply = Callable[[Message], None]


@dataclass(frozen=True, slots=True)
class Transfer:
    """A message on its way from an exchange into queues; where it is a dead letter, its `deaths` say from where."""

    message: Message
    queues: tuple[str, ...]


class Broker:
    """Methods take the lock themselves. Errors are those of the RabbitMQ transport, with the broker's own words."""

    def __init__(
        self,
        clock: Callable[[threading.RLock], Clock] = Clock,
        watch: Callable[[Transfer], None] = lambda _: None,
    ) -> None:
        """`clock` makes the clock that times to live are counted on; `watch` hears of each message that an exchange has
        passed on, with the lock held."""
        self.lock = threading.RLock()
        self.clock = clock(self.lock)
        self._watch = watch
        self._exchanges = {exchange.name: MemoryExchange(exchange) for exchange in _PREDECLARED}
        self._queues: dict[str, MemoryQueue] = {}
        self._awaiting: dict[str, list[Callable[[], None]]] = {}
        self._replies: dict[str, Reply] = {}
        self._reply_numbers = itertools.count(1)
        self._links: set[Callable[[str], None]] = set()

    def connect(self, broken: Callable[[str], None]) -> None:
        """`broken(reason)` is called by `break_connections`."""
        with self.lock:
            self._links.add(broken)

    def disconnect(self, broken: Callable[[str], None]) -> None:
        with self.lock:
            self._links.discard(broken)

    def break_connections(self, reason: str = "the connection was broken") -> None:
        """As when the network fails: every link loses its leases and pending replies, and comes back at once."""
        with self.lock:
            for broken in self._links:
                broken(reason)

    def exchange_exists(self, name: str) -> bool:
        with self.lock:
            return name in self._exchanges

    def queue(self, name: str) -> MemoryQueue:
        """Raises `BrokerError` where there is none."""
        with self.lock:
            if name not in self._queues:
                raise BrokerError(f"404 NOT_FOUND - no queue '{name}'")
            return self._queues[name]

    def find_queue(self, name: str) -> MemoryQueue | None:
        with self.lock:
            return self._queues.get(name)

    def declare_exchange(self, exchange: Exchange) -> None:
        with self.lock:
            current = self._exchanges.get(exchange.name)
            _refuse_default(exchange.name)
            if current is not None:
                arguments.check_same_exchange(exchange, current.declared)
            else:
                _refuse_reserved("exchange", exchange.name)
                self._exchanges[exchange.name] = MemoryExchange(exchange)

    def declare_queue(self, queue: Queue) -> None:
        with self.lock:
            current = self._queues.get(queue.name)
            if current is not None:
                arguments.check_same_queue(queue, current.declared)
                current.touch()
                return
            _refuse_reserved("queue", queue.name)
            self._queues[queue.name] = MemoryQueue(queue, self.clock, self._bury, lambda: self.delete_queue(queue.name))
            for declared in self._awaiting.pop(queue.name, ()):
                declared()

    def when_declared(self, queue: str, call: Callable[[], None]) -> None:
        """Call once, as soon as there is such a queue, with the lock held."""
        with self.lock:
            if queue in self._queues:
                call()
            else:
                self._awaiting.setdefault(queue, []).append(call)

    def bind(self, binding: Binding) -> None:
        with self.lock:
            _refuse_default(binding.source)
            source = self._exchange(binding.source)
            if binding.destination_type == "queue":
                self.queue(binding.destination)
            else:
                _refuse_default(binding.destination)
                self._exchange(binding.destination)
            source.bind(binding)

    def unbind(self, binding: Binding) -> None:
        with self.lock:
            if binding.source in self._exchanges:
                self._unbind(binding.source, lambda bound: bound == binding)

    def delete_exchange(self, name: str) -> None:
        with self.lock:
            _refuse_default(name)
            if name.startswith("amq."):
                raise AccessRefused(f"403 ACCESS_REFUSED - deletion of system exchange '{name}' not allowed")
            if self._exchanges.pop(name, None) is not None:
                self._unbind_destination("exchange", name)

    def delete_queue(self, name: str) -> None:
        with self.lock:
            queue = self._queues.pop(name, None)
            if queue is not None:
                self._unbind_destination("queue", name)
                queue.close()

    def publish(self, outgoing: Outgoing, replies: str | None = None) -> None:
        """Raises a `PublishError`. `replies`: the address that stands for the direct reply-to of who publishes."""
        identity = outgoing.properties.correlation_id
        message = accepted(outgoing, replies, CAPABILITIES.maximum_message_size)
        with self.lock:
            exchange = self._exchanges.get(outgoing.exchange)
            if exchange is None:
                raise PublishRejected(f"404 NOT_FOUND - no exchange '{outgoing.exchange}'", identity)
            if exchange.declared.internal:
                raise PublishRejected(
                    f"403 ACCESS_REFUSED - cannot publish to internal exchange '{outgoing.exchange}'", identity
                )
            if not outgoing.exchange and outgoing.routing_key.startswith(f"{REPLY_TO}."):
                reply = self._replies.get(outgoing.routing_key)
                if reply is not None:
                    reply(message)
                return
            queues = self._route(exchange, message)
            self._watch(Transfer(message, tuple(queue.name for queue in queues)))
            refused = [queue.name for queue in queues if not queue.offer(message)]
        where = f"routing key {outgoing.routing_key!r} of exchange {outgoing.exchange!r}"
        if refused:
            raise Nacked(f"queue {refused[0]!r} behind {where} refused the message: it is full", identity)
        if not queues and outgoing.mandatory:
            raise Unroutable(f"no queue takes {where}: declare the topology, or mend the route", identity)

    def open_replies(self, reply: Reply) -> str:
        """The address under which `reply` gets messages, with the lock held, until `close_replies`."""
        with self.lock:
            address = f"{REPLY_TO}.{next(self._reply_numbers)}"
            self._replies[address] = reply
            return address

    def close_replies(self, address: str) -> None:
        with self.lock:
            del self._replies[address]

    def _bury(self, letter: DeadLettered) -> bool:
        """Publish a dead letter (`dead_letters.Bury`). At most once, quorum queues take it whatever their limit."""
        exchange = self._exchanges.get(letter.message.exchange)
        routed = self._route(exchange, letter.message) if exchange is not None else []
        targets = [queue for queue in routed if not letter.message.would_cycle(queue.name)]
        self._watch(Transfer(letter.message, tuple(queue.name for queue in targets)))
        for queue in targets:
            if queue.name not in letter.taken and queue.offer(
                letter.message, limited=letter.at_least_once or not queue.settings.quorum
            ):
                letter.taken.add(queue.name)
        return bool(targets) and all(queue.name in letter.taken for queue in targets)

    def _route(self, exchange: MemoryExchange, message: Message) -> list[MemoryQueue]:
        """Each queue once, however many ways lead there; each exchange is passed once, so that circles end."""
        headers: Headers = message.properties.headers or {}
        if not exchange.declared.name:
            queue = self._queues.get(message.routing_key)
            return [queue] if queue is not None else []
        queues: dict[str, MemoryQueue] = {}
        passed = {exchange.declared.name}
        ahead = [exchange]
        while ahead:
            current = ahead.pop()
            bindings = current.route(message.routing_key, headers)
            for binding in bindings:
                if binding.destination_type == "queue":
                    queues[binding.destination] = self._queues[binding.destination]
            onward = [binding.destination for binding in bindings if binding.destination_type == "exchange"]
            if not bindings and current.alternate is not None:
                onward = [current.alternate]
            for name in onward:
                if name in self._exchanges and name not in passed:
                    passed.add(name)
                    ahead.append(self._exchanges[name])
        return list(queues.values())

    def _exchange(self, name: str) -> MemoryExchange:
        if name not in self._exchanges:
            raise BrokerError(f"404 NOT_FOUND - no exchange '{name}'")
        return self._exchanges[name]

    def _unbind_destination(self, kind: str, name: str) -> None:
        for source in list(self._exchanges):
            self._unbind(source, lambda bound: (bound.destination_type, bound.destination) == (kind, name))

    def _unbind(self, source: str, removed: Callable[[Binding], bool]) -> None:
        exchange = self._exchanges.get(source)
        if (
            exchange is not None
            and exchange.unbind(removed)
            and exchange.declared.auto_delete
            and not exchange.bindings
        ):
            self.delete_exchange(source)


def _refuse_default(name: str) -> None:
    if not name:
        raise AccessRefused("403 ACCESS_REFUSED - operation not permitted on the default exchange")


def _refuse_reserved(kind: str, name: str) -> None:
    if name.startswith("amq."):
        raise AccessRefused(f"403 ACCESS_REFUSED - {kind} name '{name}' contains reserved prefix 'amq.*'")
