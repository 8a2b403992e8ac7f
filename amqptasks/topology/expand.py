"""From what people mean to plain AMQP objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from amqptasks.capabilities import Capabilities
from amqptasks.entities import (
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
from amqptasks.routing import QUEUES_EXCHANGE
from amqptasks.topology.arguments import fitting
from amqptasks.topology.topology import DeadLetter, QueueSettings, Topology

#: The broker's delivery limit lies this much above the worker's: the worker, which knows the reason, comes first; the
#: broker catches what kills workers.
NET = 5

#: Deliveries that nothing ever reaches: in place of no limit at all, because RabbitMQ before 4.3 puts a message that
#: is given back to a queue without a limit at its end, and because -1 (no limit) is unknown before 4.0, so that a
#: queue could not be declared the same before and after an upgrade.
UNREACHED = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Objects:
    """AMQP objects, in the order in which they can be declared; and what only the management API can make, where the
    topology speaks of it: `policies` and the rest.

    `older` holds, by queue name, other forms that a queue may have because it was declared on an older release of
    RabbitMQ; such a queue is left as it is.
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
    """The objects of a topology on a broker with these capabilities, without the ladder of delays."""
    exchanges = [Exchange(QUEUES_EXCHANGE, "direct")]
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
        own = [work_queue(queue, capabilities)]
        if queue.dead_letter is not None and queue.dead_letters is not None:
            # First, so that nothing is dead-lettered into the void between the two declarations.
            own.insert(0, dead_letter_queue(queue.dead_letter, queue.dead_letters))
        queues += own
        bindings += [Binding(QUEUES_EXCHANGE, one.name, one.name) for one in own]
        bindings += [
            Binding(source.exchange, queue.name, source.routing_key, "queue", source.arguments)
            for source in queue.bindings
        ]
        older.update(_older_forms(queue, capabilities))
    return Objects(
        tuple(exchanges),
        tuple(queues),
        tuple(bindings),
        older,
        topology.policies,
        topology.users,
        topology.permissions,
        topology.topic_permissions,
        topology.limits,
        topology.virtual_host,
    )


def unlimited_queue(name: str, arguments: Mapping[str, object]) -> Queue:
    """A quorum queue that never drops a message for having been delivered too often."""
    return Queue(name, arguments={"x-queue-type": "quorum", "x-delivery-limit": UNREACHED, **arguments})


def dead_letter_queue(name: str, bounds: DeadLetter) -> Queue:
    """Looking at its messages counts as a delivery before 4.3, so none is too many; a full one refuses."""
    arguments: dict[str, object] = {}
    if bounds.ttl is not None:
        arguments["x-message-ttl"] = milliseconds(bounds.ttl)
    return unlimited_queue(name, arguments | _bounds(bounds.max_length, bounds.max_length_bytes))


def work_queue(settings: QueueSettings, capabilities: Capabilities) -> Queue:
    """The queue itself, of the type that keeps what the settings promise on this broker."""
    if settings.type == "quorum" and settings.max_priority is not None and not capabilities.quorum_priorities:
        return _classic(settings)
    return {"quorum": _quorum, "classic": _classic, "stream": _stream}[settings.type](settings)


def milliseconds(seconds: float) -> int:
    """As RabbitMQ's arguments want them."""
    return round(seconds * 1000)


def _quorum(settings: QueueSettings) -> Queue:
    arguments: dict[str, object] = {"x-queue-type": "quorum", "x-delivery-limit": settings.delivery_limit + NET}
    if settings.dead_letter is not None:
        arguments |= _dead_letters_to(settings.dead_letter)
        # Without reject-publish RabbitMQ silently falls back to dead-lettering at most once.
        arguments |= {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
    return Queue(settings.name, arguments=arguments | _common(settings) | dict(settings.arguments))


def _classic(settings: QueueSettings) -> Queue:
    arguments: dict[str, object] = {"x-queue-type": "classic"}
    if settings.dead_letter is not None:
        arguments |= _dead_letters_to(settings.dead_letter)
    if settings.max_priority is not None:
        arguments["x-max-priority"] = settings.max_priority
    # Settings made for a quorum queue may hold arguments that a classic one refuses.
    return Queue(settings.name, arguments=arguments | _common(settings) | fitting(settings.arguments, "classic"))


def _stream(settings: QueueSettings) -> Queue:
    arguments: dict[str, object] = {"x-queue-type": "stream"}
    if settings.max_length_bytes is not None:
        arguments["x-max-length-bytes"] = settings.max_length_bytes
    return Queue(settings.name, arguments=arguments | dict(settings.arguments))


def _common(settings: QueueSettings) -> dict[str, object]:
    arguments = _bounds(settings.max_length, settings.max_length_bytes)
    if settings.message_ttl is not None:
        arguments["x-message-ttl"] = milliseconds(settings.message_ttl)
    if settings.single_active_consumer:
        arguments["x-single-active-consumer"] = True
    if settings.consumer_timeout is not None:
        arguments["x-consumer-timeout"] = milliseconds(settings.consumer_timeout)
    return arguments


def _dead_letters_to(queue: str) -> dict[str, object]:
    return {"x-dead-letter-exchange": QUEUES_EXCHANGE, "x-dead-letter-routing-key": queue}


def _bounds(max_length: int | None, max_length_bytes: int | None) -> dict[str, object]:
    """Full means refused, never that the oldest is dropped."""
    bounds = {"x-max-length": max_length, "x-max-length-bytes": max_length_bytes}
    given: dict[str, object] = {name: value for name, value in bounds.items() if value is not None}
    return given | {"x-overflow": "reject-publish"} if given else given


def _older_forms(settings: QueueSettings, capabilities: Capabilities) -> dict[str, tuple[Queue, ...]]:
    """A queue keeps its type when the broker is upgraded: what it was there is no conflict here."""
    if settings.type == "quorum" and settings.max_priority is not None and capabilities.quorum_priorities:
        return {settings.name: (_classic(settings),)}
    return {}
