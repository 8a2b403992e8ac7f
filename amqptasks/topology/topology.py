"""A topology as plain values: what a file said, checked. Light: needs neither pydantic nor YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

from amqptasks.errors import TopologyError
from amqptasks.messages.outgoing import QUEUES_EXCHANGE
from amqptasks.messages.routing import Route
from amqptasks.runtime.forks.cached import cached
from amqptasks.topology import durations
from amqptasks.topology.delays import LONGEST, room
from amqptasks.topology.old_words import OldWord
from amqptasks.transport.entities import Arguments, Limit, Permission, Policy, TopicPermission, User, VirtualHost

#: direct, topic, fanout, headers, or a name that begins with `x-`: one of `exchange_types.EXTENSIONS`, or a plugin's.
ExchangeType = str
QueueType = Literal["quorum", "classic", "stream"]
Overflow = Literal["reject-publish", "drop-head", "reject-publish-dlx"]
LeaderLocator = Literal["client-local", "balanced"]
RetryKind = Literal["ladder", "queues", "native"]
Role = Literal["publisher", "worker", "beat", "viewer", "operator", "declarer"]

#: Deliveries after which the worker gives a message up. RabbitMQ's own default from 4.0 on.
DELIVERY_LIMIT = 20

#: The queue that `default()` declares, and that takes what no route takes where a file declares it.
DEFAULT_QUEUE = "default"

#: How the names end of the dead-letter queues that are made for work queues.
DEAD = ".dead"

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
    from `first` to `max`; `jitter` is a fraction (0.1 for 10 %). None means: the task's own policy decides.

    `kind` says where: in the `ladder`; in `queues` of the queue's own, one a delay; or, `native`, in the queue itself
    where the broker can do that (`delays` are then the steps of its linear back-off from `first` to `max`), and
    otherwise in the ladder.
    """

    delays: tuple[float, ...] = ()
    first: float | None = None
    max: float | None = None
    jitter: float = 0.0
    max_retries: int | None = None
    kind: RetryKind = "ladder"


@dataclass(frozen=True, slots=True)
class DeadLetterBounds:
    """Bounds of a dead-letter queue: `ttl` in seconds, `max_length` in messages, `max_length_bytes`. None: none.
    Or `queue`, the name of a declared queue that several may share."""

    ttl: float | None = None
    max_length: int | None = None
    max_length_bytes: int | None = None
    queue: str | None = None


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """A work queue. Times are in seconds, sizes in bytes. `dead_letters` None: what cannot run is dropped, as the file
    asked. `delivery_limit` 0: none. `exact`: nothing is added to `arguments`, not even a binding to the exchange
    `amqptasks.queues`; `typed` False then leaves out `x-queue-type`, too.
    """

    name: str
    type: QueueType = "quorum"
    bindings: tuple[Source, ...] = ()
    max_priority: int | None = None
    retry: QueueRetry | None = None
    dead_letters: DeadLetterBounds | None = DeadLetterBounds()
    delivery_limit: int = DELIVERY_LIMIT
    max_length: int | None = None
    max_length_bytes: int | None = None
    message_ttl: float | None = None
    single_active_consumer: bool = False
    consumer_timeout: float | None = None
    prefetch: int | None = None
    arguments: Arguments = field(default_factory=dict)
    durable: bool = True
    auto_delete: bool = False
    exact: bool = False
    typed: bool = True
    overflow: Overflow | None = None
    expires: float | None = None
    leader_locator: LeaderLocator | None = None
    initial_group_size: int | None = None
    target_group_size: int | None = None
    consumer_disconnected_timeout: float | None = None
    queue_mode: Literal["default", "lazy"] | None = None
    queue_version: int | None = None
    max_age: float | None = None
    max_segment_size: int | None = None
    filter_size: int | None = None
    initial_cluster_size: int | None = None

    @property
    def dead_letter(self) -> str | None:
        """The dead-letter queue's name, None where there is none."""
        return None if self.dead_letters is None else self.dead_letters.queue or f"{self.name}{DEAD}"

    @property
    def own_dead_letter(self) -> str | None:
        """As `dead_letter`, without one that is declared on its own and only named here."""
        return None if self.dead_letters is None or self.dead_letters.queue else f"{self.name}{DEAD}"

    @property
    def retry_queues(self) -> Mapping[float, str]:
        """By delay in seconds, the queues in which retries wait where `retry` says so."""
        if self.retry is None or self.retry.kind != "queues":
            return {}
        return {delay: f"{self.name}.retry.{durations.named(delay)}" for delay in self.retry.delays}

    @property
    def generated(self) -> tuple[str, ...]:
        """The names of the queues that are made for this one, apart from what the delay ladder has for it."""
        return tuple(name for name in (self.own_dead_letter, *self.retry_queues.values()) if name is not None)

    @property
    def most_deliveries(self) -> int:
        """Failed deliveries after which a worker gives a message up; 0: never. Retries in the queue itself count as
        deliveries there, so there is room for them."""
        if self.delivery_limit and self.retry is not None and self.retry.kind == "native":
            return self.delivery_limit + (self.retry.max_retries or 0)
        return self.delivery_limit

    @property
    def refuses(self) -> bool:
        """Whether the file makes the queue refuse when it is full."""
        full = self.max_length is not None or self.max_length_bytes is not None
        return full and self.overflow != "drop-head" and self.type != "stream"

    @property
    def room(self) -> str | None:
        """The queue in which delayed messages wait for room, and the exchange behind it. None for a stream, which
        never refuses; any other queue refuses when a policy says so, whatever its own arguments say."""
        return None if self.type == "stream" else room(self.name)


@dataclass(frozen=True)
class Topology:
    """What the files said. `routes` are in the order of the file; `vhost` None means: the one of the address.
    `longest_delay` is in seconds; 0: nothing can be delayed. `roles` names what a user is there for, where the file
    leaves the rights to us. `old_words` are values of `arguments` that YAML 1.2 reads otherwise, by their place."""

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
    old_words: Mapping[tuple[str | int, ...], OldWord] = field(default_factory=dict, compare=False)

    @property
    def queue_names(self) -> tuple[str, ...]:
        """The declared queues, without what is generated for them, in the order of the file."""
        return tuple(self.queues)

    @cached
    def ends(self) -> Mapping[str, tuple[str, ...]]:
        """For each queue of dead letters, declared or generated, the queues whose they are."""
        found: dict[str, list[str]] = {}
        for queue in self.queues.values():
            if queue.dead_letter is not None:
                found.setdefault(queue.dead_letter, []).append(queue.name)
        return {name: tuple(whose) for name, whose in found.items()}

    @cached
    def workable(self) -> tuple[str, ...]:
        """The queues that a worker can consume. What it runs leaves its queue, which a stream does not allow; and what
        fails must have a place to go to, which dead letters mostly have not."""
        return tuple(
            queue.name
            for queue in self.queues.values()
            if queue.type != "stream" and not (queue.name in self.ends and queue.dead_letter is None)
        )

    @property
    def work_queues(self) -> tuple[str, ...]:
        """Those that it consumes unless it is told which: dead letters are run again by nobody who did not ask."""
        return tuple(name for name in self.workable if name not in self.ends)

    def work_queue(self, name: str) -> QueueSettings:
        """As `queue`. Raises `TopologyError` for one that is not `workable`, too."""
        found = self.queue(name)
        if name in self.workable:
            return found
        if found.type == "stream":
            why = "is a stream: a worker takes tasks out of a queue, and nothing leaves a stream"
            hint = "bind a queue to the exchange that fills it, and consume that"
        else:
            whose = self.ends[name]
            why = f"holds the dead letters of {', '.join(whose)}: what failed there once more would be lost"
            hint = f"`amqptasks dead replay {whose[0]}` brings them back, when their cause is mended"
        raise TopologyError(f"a worker cannot consume {name!r}: it {why}", hint=hint)

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

    def routes_as(self, name: str) -> ExchangeType | None:
        """The type by which an exchange chooses: its own, and `delayed_type` of an `x-delayed-message`."""
        declared = self.exchanges.get(name)
        if declared is not None and declared.type == "x-delayed-message":
            return str(declared.arguments.get("x-delayed-type"))
        return self.exchange_type(name)

    def compares_keys(self, exchange: str) -> bool:
        """True where an exchange holds the routing key of a message against those of its bindings. Of types other than
        direct and topic the keys of bindings are shares, or say nothing."""
        return self.routes_as(exchange) in ("direct", "topic")

    @cached
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

    @cached
    def reached_by_name(self) -> frozenset[str]:
        """The queues that `amqptasks.queues` leads to under their own name: all but the exact ones that do not ask
        for it."""
        return frozenset(
            queue.name
            for queue in self.queues.values()
            if not queue.exact
            or any(source.exchange == QUEUES_EXCHANGE and source.routing_key == queue.name for source in queue.bindings)
        )

    @cached
    def delay_targets(self) -> frozenset[str]:
        """The exchanges that a delayed message can be for: those that publishers may write to. Whoever enters the
        ladder names the exchange at its end, so an internal exchange, or one of RabbitMQ's own that only binds queues
        here, would be open to them that way."""
        named = {route.exchange for route in self.routes if route.exchange}
        internal = {exchange.name for exchange in self.exchanges.values() if exchange.internal}
        return frozenset({QUEUES_EXCHANGE, *self.exchanges, *named} - internal)

    @cached
    def twinned(self) -> frozenset[str]:
        """The exchanges that have a twin for delayed messages: the targets, and all exchanges that a target leads on
        to, by a binding or as an alternate."""
        found, todo = set[str](), set(self.delay_targets)
        while todo:
            name = todo.pop()
            found.add(name)
            declared = self.exchanges.get(name)
            onward = {other for kind, other, _ in self.bound_from.get(name, ()) if kind == "exchange"}
            if declared is not None and declared.alternate_exchange is not None:
                onward.add(declared.alternate_exchange)
            todo |= {other for other in onward if self.exchange_type(other) is not None} - found
        return frozenset(found)


def default(*more: str) -> Topology:
    """What an app without a topology file has: quorum queues, `default` and `more`, with their dead-letter queues."""
    names = dict.fromkeys((DEFAULT_QUEUE, *more))
    return Topology(queues={name: QueueSettings(name) for name in names}, default_queue=DEFAULT_QUEUE)


def did_you_mean(name: str, known: Mapping[str, object] | tuple[str, ...], otherwise: str | None = None) -> str | None:
    """A hint at the likeliest of the `known` names, or `otherwise`."""
    close = get_close_matches(name, list(known), 1)
    return f"did you mean `{close[0]}`?" if close else otherwise
