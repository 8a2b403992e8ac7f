"""A topology as plain values: what a file said, checked. Light: needs neither pydantic nor YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from typing import Literal

from amqptasks.entities import Arguments, Limit, Permission, Policy, TopicPermission, User, VirtualHost
from amqptasks.errors import TopologyError
from amqptasks.routing import QUEUES_EXCHANGE, Route
from amqptasks.topology.delays import LONGEST

ExchangeType = Literal["direct", "topic", "fanout", "headers"]
QueueType = Literal["quorum", "classic", "stream"]
Role = Literal["publisher", "worker", "declarer", "observer"]

#: Deliveries after which the worker gives a message up. RabbitMQ's own default from 4.0 on.
DELIVERY_LIMIT = 20

#: The queue that `default()` declares, and that takes what no route takes where a file declares it.
DEFAULT_QUEUE = "default"

#: Exchanges that every virtual host has (AMQP 0-9-1, 3.1.3; `amq.match` is the older name of `amq.headers`).
BUILT_IN: Mapping[str, ExchangeType] = {
    "amq.direct": "direct",
    "amq.topic": "topic",
    "amq.fanout": "fanout",
    "amq.headers": "headers",
    "amq.match": "headers",
}


@dataclass(frozen=True, slots=True)
class Source:
    """A binding, seen from its destination: `exchange` sends here what fits `routing_key` and `arguments`."""

    exchange: str
    routing_key: str = ""
    arguments: Arguments = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExchangeSettings:
    """An exchange. `bindings` are the exchanges that it gets messages from."""

    name: str
    type: ExchangeType = "direct"
    durable: bool = True
    auto_delete: bool = False
    internal: bool = False
    alternate_exchange: str | None = None
    arguments: Arguments = field(default_factory=dict)
    bindings: tuple[Source, ...] = ()


@dataclass(frozen=True, slots=True)
class QueueRetry:
    """How failed tasks of a queue wait, in seconds. Either `delays` (the last repeats) or an exponential back-off
    from `first` to `max`; `jitter` is a fraction (0.1 for 10 %). None means: the task's own policy decides."""

    delays: tuple[float, ...] = ()
    first: float | None = None
    max: float | None = None
    jitter: float = 0.0
    max_retries: int | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Bounds of a dead-letter queue: `ttl` in seconds, `max_length` in messages, `max_length_bytes`. None: none."""

    ttl: float | None = None
    max_length: int | None = None
    max_length_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """A work queue. Times are in seconds. `dead_letters` None: what cannot run is dropped, as the file asked."""

    name: str
    type: QueueType = "quorum"
    bindings: tuple[Source, ...] = ()
    max_priority: int | None = None
    retry: QueueRetry | None = None
    dead_letters: DeadLetter | None = DeadLetter()
    delivery_limit: int = DELIVERY_LIMIT
    max_length: int | None = None
    max_length_bytes: int | None = None
    message_ttl: float | None = None
    single_active_consumer: bool = False
    consumer_timeout: float | None = None
    arguments: Arguments = field(default_factory=dict)

    @property
    def dead_letter(self) -> str | None:
        """The dead-letter queue's name, None where there is none."""
        return None if self.dead_letters is None else f"{self.name}.dead"

    @property
    def due(self) -> str | None:
        """The queue in which delayed messages wait for room, None for a queue that is never full."""
        full = self.max_length is not None or self.max_length_bytes is not None
        return f"{self.name}.due" if full and self.type != "stream" else None


@dataclass(frozen=True)
class Topology:
    """What the files said. `routes` are in the order of the file; `vhost` None means: the one of the address.
    `longest_delay` is in seconds. `roles` names what a user is there for, where the file leaves the rights to us."""

    queues: Mapping[str, QueueSettings]
    exchanges: Mapping[str, ExchangeSettings] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    default_queue: str | None = None
    vhost: str | None = None
    longest_delay: float = LONGEST
    virtual_host: VirtualHost | None = None
    policies: tuple[Policy, ...] = ()
    users: tuple[User, ...] = ()
    roles: Mapping[str, Role] = field(default_factory=dict)
    permissions: tuple[Permission, ...] = ()
    topic_permissions: tuple[TopicPermission, ...] = ()
    limits: tuple[Limit, ...] = ()

    @property
    def queue_names(self) -> tuple[str, ...]:
        """The declared queues, without what is generated for them, in the order of the file."""
        return tuple(self.queues)

    def queue(self, name: str) -> QueueSettings:
        """The settings of a declared queue. Raises `TopologyError` for any other name."""
        found = self.queues.get(name)
        if found is None:
            raise TopologyError(f"there is no queue {name!r}", hint=did_you_mean(name, self.queues, "declare it first"))
        return found

    def exchange_type(self, name: str) -> ExchangeType | None:
        """The type of a declared or built-in exchange, or None."""
        declared = self.exchanges.get(name)
        return declared.type if declared else BUILT_IN.get(name)

    @cached_property
    def bound_from(self) -> Mapping[str, tuple[tuple[Literal["queue", "exchange"], str, Source], ...]]:
        """For each exchange what is bound to it: kind and name of the destination, and the binding."""
        found: dict[str, list[tuple[Literal["queue", "exchange"], str, Source]]] = {}
        for queue in self.queues.values():
            for source in queue.bindings:
                found.setdefault(source.exchange, []).append(("queue", queue.name, source))
        for exchange in self.exchanges.values():
            for source in exchange.bindings:
                found.setdefault(source.exchange, []).append(("exchange", exchange.name, source))
        return {name: tuple(bound) for name, bound in found.items()}

    @cached_property
    def delay_targets(self) -> frozenset[str]:
        """The exchanges that a delayed message can be for: all of this topology, and those that it uses."""
        named = {route.exchange for route in self.routes if route.exchange}
        return frozenset({QUEUES_EXCHANGE, *self.exchanges, *self.bound_from, *named})


def default(*more: str) -> Topology:
    """What an app without a topology file has: quorum queues, `default` and `more`, with their dead-letter queues."""
    names = dict.fromkeys((DEFAULT_QUEUE, *more))
    return Topology(queues={name: QueueSettings(name) for name in names}, default_queue=DEFAULT_QUEUE)


def did_you_mean(name: str, known: Mapping[str, object] | tuple[str, ...], otherwise: str | None = None) -> str | None:
    """A hint at the likeliest of the `known` names, or `otherwise`."""
    close = get_close_matches(name, list(known), 1)
    return f"did you mean `{close[0]}`?" if close else otherwise
