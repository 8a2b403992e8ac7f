"""The plain objects that a topology comes down to: AMQP's exchanges, queues and bindings, and what RabbitMQ has around
them (policies, users, permissions, limits), which its management API alone can make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Arguments = Mapping[str, object]
Destination = Literal["queue", "exchange"]
AppliesTo = Literal["all", "exchanges", "queues", "classic_queues", "quorum_queues", "streams"]


@dataclass(frozen=True, slots=True)
class Exchange:
    """`type` is direct, topic, fanout, headers, or one that a broker plugin brings."""

    name: str
    type: str = "direct"
    durable: bool = True
    auto_delete: bool = False
    internal: bool = False
    arguments: Arguments = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue; its type is `arguments["x-queue-type"]`: always sent, because a vhost may have a default of its own."""

    name: str
    durable: bool = True
    exclusive: bool = False
    auto_delete: bool = False
    arguments: Arguments = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Binding:
    """From the exchange `source` to `destination`, a queue or (a RabbitMQ extension) another exchange."""

    source: str
    destination: str
    routing_key: str = ""
    destination_type: Destination = "queue"
    arguments: Arguments = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QueueState:
    """What a passive declare tells: ready messages (delayed and unacked ones excluded) and consumers."""

    messages: int
    consumers: int


@dataclass(frozen=True, slots=True)
class Policy:
    """Settings for all queues or exchanges whose name fits `pattern`, a regular expression; of several that fit, the
    one of the highest `priority` counts. `operator` policies are the operator's: they bound what the others may say."""

    name: str
    pattern: str
    definition: Arguments = field(default_factory=dict)
    apply_to: AppliesTo = "all"
    priority: int = 0
    operator: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """A user of the broker. `password` is the name of the environment variable that holds it, never the password
    itself; None for a user who logs in by other means (a certificate, OAuth 2)."""

    name: str
    tags: tuple[str, ...] = ()
    password: str | None = None


@dataclass(frozen=True, slots=True)
class Permission:
    """What a user may do in a virtual host: regular expressions over the names of queues and exchanges. The empty
    text allows nothing."""

    user: str
    configure: str = ""
    write: str = ""
    read: str = ""


@dataclass(frozen=True, slots=True)
class TopicPermission:
    """What a user may publish to (`write`) and bind from (`read`) a topic exchange: expressions over routing keys."""

    user: str
    exchange: str
    write: str = ""
    read: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound of a virtual host (`max-connections`, `max-queues`) or, where `user` is set, of a user
    (`max-connections`, `max-channels`)."""

    name: str
    value: int
    user: str | None = None


@dataclass(frozen=True, slots=True)
class VirtualHost:
    """The virtual host itself. `default_queue_type` is what a queue becomes that names no type (3.11 and newer)."""

    description: str | None = None
    tags: tuple[str, ...] = ()
    default_queue_type: str | None = None
