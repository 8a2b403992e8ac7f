"""The plain objects of AMQP 0-9-1 that a topology comes down to: exchanges, queues, bindings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Arguments = Mapping[str, object]
Destination = Literal["queue", "exchange"]


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
