"""From what people mean to plain AMQP objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from amqptasks.messages.outgoing import QUEUES_EXCHANGE
from amqptasks.topology.expand.permissions import of_roles, users
from amqptasks.topology.expand.releases import refuse
from amqptasks.topology.topology import (
    DeadLetterBounds,
    LeaderLocator,
    Overflow,
    QueueRetry,
    QueueSettings,
    QueueType,
    Topology,
)
from amqptasks.transport.capabilities import Capabilities
from amqptasks.transport.entities import (
    Binding,
    Exchange,
    Limit,
    Permission,
    Policy,
    Queue,
    TopicPermission,
    User,
    VirtualHost,
)

#: The broker's delivery limit lies this much above the worker's: the worker, which knows the reason, comes first; the
#: broker catches what kills workers.
NET = 5

#: Deliveries that nothing ever reaches: in place of no limit at all, because RabbitMQ before 4.3 puts a message that
#: is given back to a queue without a limit at its end, and because -1 (no limit) is unknown before 4.0, so that a
#: queue could not be declared the same before and after an upgrade.
UNREACHED = 1_000_000_000

#: What makes a dead-lettering quorum queue lose nothing when a broker is killed; anything less lost 4 to 29 % of the
#: messages under way in trials. Without reject-publish RabbitMQ silently falls back to dead-lettering at most once.
SAFE = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}


@dataclass(frozen=True, slots=True)
class Objects:
    """AMQP objects, in the order in which they can be declared; and what only the management API can make, where the
    topology speaks of it: `policies` and the rest.

    `retired` are bindings of earlier releases, which are to go. `older` holds, by queue name, other forms that a queue
    may have because it was declared on an older release of RabbitMQ; such a queue is left as it is.
    """

    exchanges: tuple[Exchange, ...] = ()
    queues: tuple[Queue, ...] = ()
    bindings: tuple[Binding, ...] = ()
    older: Mapping[str, tuple[Queue, ...]] = field(default_factory=dict)
    policies: tuple[Policy, ...] = ()
    users: tuple[User, ...] = ()
    permissions: tuple[Permission, ...] = ()
    topic_permissions: tuple[TopicPermission, ...] = ()
    limits: tuple[Limit, ...] = ()
    vhost: VirtualHost | None = None
    retired: tuple[Binding, ...] = ()

    def __add__(self, other: Objects) -> Objects:
        return Objects(
            self.exchanges + other.exchanges,
            self.queues + other.queues,
            self.bindings + other.bindings,
            {**self.older, **other.older},
            self.policies + other.policies,
            self.users + other.users,
            self.permissions + other.permissions,
            self.topic_permissions + other.topic_permissions,
            self.limits + other.limits,
            self.vhost or other.vhost,
            self.retired + other.retired,
        )

    def __len__(self) -> int:
        """How many objects of AMQP there are."""
        return len(self.exchanges) + len(self.queues) + len(self.bindings)

    @property
    def needs_management(self) -> bool:
        """True where something is asked for that AMQP cannot make."""
        return bool(
            self.policies or self.users or self.permissions or self.topic_permissions or self.limits or self.vhost
        )


def expand(topology: Topology, capabilities: Capabilities) -> Objects:
    """The objects of a topology on a broker with these capabilities, without the ladder of delays.

    Raises `TopologyError` for what this release cannot have at all; what it has in another way, or passes over, is in
    `decisions.py`.
    """
    refuse(topology, capabilities)
    by_name = Exchange(QUEUES_EXCHANGE, "direct")
    exchanges = [by_name] if topology.reached_by_name else []
    bindings: list[Binding] = []
    for settings in topology.exchanges.values():
        arguments = dict(settings.arguments)
        if settings.alternate_exchange is not None:
            arguments["alternate-exchange"] = settings.alternate_exchange
        exchanges.append(
            Exchange(settings.name, settings.type, settings.durable, settings.auto_delete, settings.internal, arguments)
        )
        bindings += [
            Binding(source.exchange, settings.name, source.routing_key, "exchange", source.arguments)
            for source in settings.bindings
        ]
    queues: list[Queue] = []
    older: dict[str, tuple[Queue, ...]] = {}
    for queue in topology.queues.values():
        generated = [*_dead_letter_queues(queue), *_retry_queues(queue)]
        # The dead-letter queue first, so that nothing is dead-lettered into the void between the two declarations.
        queues += [*generated, work_queue(queue, capabilities)]
        bindings += [Binding(QUEUES_EXCHANGE, one.name, one.name) for one in generated]
        if not queue.exact:
            bindings.append(Binding(QUEUES_EXCHANGE, queue.name, queue.name))
        bindings += [
            Binding(source.exchange, queue.name, source.routing_key, "queue", source.arguments)
            for source in queue.bindings
        ]
        older.update(_older_forms(queue, capabilities))
    permissions, topic_permissions = of_roles(topology)
    return Objects(
        tuple(exchanges),
        tuple(queues),
        tuple(bindings),
        older,
        topology.policies,
        users(topology),
        topology.permissions + permissions,
        topology.topic_permissions + topic_permissions,
        topology.limits,
        topology.virtual_host,
    )


def unlimited_queue(name: str, arguments: Mapping[str, object]) -> Queue:
    """A quorum queue that never drops a message for having been delivered too often."""
    return Queue(name, arguments={"x-queue-type": "quorum", "x-delivery-limit": UNREACHED, **arguments})


def dead_letter_queue(name: str, bounds: DeadLetterBounds) -> Queue:
    """Looking at its messages counts as a delivery before 4.3, so none is too many; a full one refuses."""
    arguments: dict[str, object] = {}
    if bounds.ttl is not None:
        arguments["x-message-ttl"] = milliseconds(bounds.ttl)
    return unlimited_queue(name, arguments | _bounds(bounds.max_length, bounds.max_length_bytes, None))


def work_queue(settings: QueueSettings, capabilities: Capabilities) -> Queue:
    """The queue itself, of the type that keeps what the settings promise on this broker."""
    if settings.exact:
        arguments: dict[str, object] = {"x-queue-type": settings.type} if settings.typed else {}
        return Queue(
            settings.name,
            durable=settings.durable,
            auto_delete=settings.auto_delete,
            arguments=arguments | dict(settings.arguments),
        )
    if effective_type(settings, capabilities) == "classic":
        return _classic(settings, capabilities)
    return _stream(settings) if settings.type == "stream" else _quorum(settings)


def effective_type(settings: QueueSettings, capabilities: Capabilities) -> QueueType:
    """Before 4.3 priorities make a quorum queue classic."""
    ordered = settings.max_priority is not None and not settings.exact
    return "classic" if settings.type == "quorum" and ordered and not capabilities.quorum_priorities else settings.type


def milliseconds(seconds: float) -> int:
    """As RabbitMQ's arguments want them."""
    return round(seconds * 1000)


def _dead_letter_queues(settings: QueueSettings) -> list[Queue]:
    if settings.own_dead_letter is None or settings.dead_letters is None:
        return []
    return [dead_letter_queue(settings.own_dead_letter, settings.dead_letters)]


def _retry_queues(settings: QueueSettings) -> list[Queue]:
    """One for each delay. A message comes to it cleaned of what brokers add, so its way back is no cycle to them."""
    back = {"x-dead-letter-exchange": QUEUES_EXCHANGE, "x-dead-letter-routing-key": settings.name, **SAFE}
    return [
        unlimited_queue(name, {"x-message-ttl": milliseconds(delay), **back})
        for delay, name in settings.retry_queues.items()
    ]


def _quorum(settings: QueueSettings) -> Queue:
    limit = settings.most_deliveries + NET if settings.delivery_limit else UNREACHED
    arguments: dict[str, object] = {"x-queue-type": "quorum", "x-delivery-limit": limit}
    if settings.dead_letter is not None:
        arguments |= _dead_letters_to(settings.dead_letter)
        if settings.overflow != "drop-head":
            arguments |= SAFE
    if settings.retry is not None and settings.retry.kind == "native":
        arguments |= _delayed_retry(settings.retry)
    sizes = {
        "x-quorum-initial-group-size": settings.initial_group_size,
        "x-quorum-target-group-size": settings.target_group_size,
        "x-queue-leader-locator": settings.leader_locator,
    }
    times = {"x-consumer-disconnected-timeout": settings.consumer_disconnected_timeout}
    return Queue(
        settings.name, arguments=arguments | _common(settings) | _given(sizes, times) | dict(settings.arguments)
    )


def _classic(settings: QueueSettings, capabilities: Capabilities) -> Queue:
    arguments: dict[str, object] = {"x-queue-type": "classic"}
    if settings.dead_letter is not None:
        arguments |= _dead_letters_to(settings.dead_letter)
    given = {
        "x-max-priority": settings.max_priority,
        "x-queue-mode": settings.queue_mode,
        "x-queue-version": settings.queue_version,
        **_locator(settings.leader_locator, capabilities),
    }
    return Queue(
        settings.name,
        durable=settings.durable,
        auto_delete=settings.auto_delete,
        arguments=arguments | _common(settings) | _given(given, {}) | dict(settings.arguments),
    )


def _locator(locator: LeaderLocator | None, capabilities: Capabilities) -> dict[str, object]:
    """Classic queues had a name of their own for it, and for `balanced`."""
    if capabilities.classic_leader_locator or locator is None:
        return {"x-queue-leader-locator": locator}
    return {"x-queue-master-locator": "min-masters" if locator == "balanced" else locator}


def _stream(settings: QueueSettings) -> Queue:
    given = {
        "x-max-length-bytes": settings.max_length_bytes,
        # RabbitMQ wants a number and a unit; a second is the finest.
        "x-max-age": None if settings.max_age is None else f"{max(1, round(settings.max_age))}s",
        "x-stream-max-segment-size-bytes": settings.max_segment_size,
        "x-stream-filter-size-bytes": settings.filter_size,
        "x-initial-cluster-size": settings.initial_cluster_size,
        "x-queue-leader-locator": settings.leader_locator,
    }
    return Queue(settings.name, arguments={"x-queue-type": "stream"} | _given(given, {}) | dict(settings.arguments))


def _common(settings: QueueSettings) -> dict[str, object]:
    arguments = _bounds(settings.max_length, settings.max_length_bytes, settings.overflow)
    if settings.single_active_consumer:
        arguments["x-single-active-consumer"] = True
    times = {
        "x-message-ttl": settings.message_ttl,
        "x-expires": settings.expires,
        "x-consumer-timeout": settings.consumer_timeout,
    }
    return arguments | _given({}, times)


def _given(values: Mapping[str, object], times: Mapping[str, float | None]) -> dict[str, object]:
    """Those that are set; `times` are in seconds, and sent in milliseconds."""
    found = {name: value for name, value in values.items() if value is not None}
    return found | {name: milliseconds(seconds) for name, seconds in times.items() if seconds is not None}


def _delayed_retry(retry: QueueRetry) -> dict[str, object]:
    """Sent to every release, so that a queue does not differ after an upgrade; those before 4.3 pass over it."""
    times = {"x-delayed-retry-min": retry.first, "x-delayed-retry-max": retry.max}
    return {"x-delayed-retry-type": "failed"} | _given({}, times)


def _dead_letters_to(queue: str) -> dict[str, object]:
    return {"x-dead-letter-exchange": QUEUES_EXCHANGE, "x-dead-letter-routing-key": queue}


def _bounds(max_length: int | None, max_length_bytes: int | None, overflow: Overflow | None) -> dict[str, object]:
    """Full means refused, unless the file says that the oldest is dropped."""
    bounds = {"x-max-length": max_length, "x-max-length-bytes": max_length_bytes}
    given: dict[str, object] = {name: value for name, value in bounds.items() if value is not None}
    return given | {"x-overflow": overflow or "reject-publish"} if given else given


def _older_forms(settings: QueueSettings, capabilities: Capabilities) -> dict[str, tuple[Queue, ...]]:
    """A queue keeps its type when the broker is upgraded: what it was there is no conflict here."""
    if settings.exact:
        return {}
    before = Capabilities(version=(3, 10, 0))
    if effective_type(settings, before) != effective_type(settings, capabilities) or (
        settings.type == "classic" and settings.leader_locator and capabilities.classic_leader_locator
    ):
        return {settings.name: (_classic(settings, before),)}
    return {}
