"""The virtual host that a file is for: its name, or more about it."""

from __future__ import annotations

from typing import Literal

from amqptasks.topology.model.part import Part, Wrong
from amqptasks.topology.model.values import Bound, Text
from amqptasks.transport.entities import Limit, VirtualHost


class VhostLimitsPart(Part):
    max_connections: Bound | None = None
    """Connections at a time; 0 is none."""
    max_queues: Bound | None = None
    """Queues in all."""


class VhostPart(Part):
    name: Text | None = None
    """Its name; the broker's address may name the same one or none."""
    description: str | None = None
    """What it is for."""
    tags: list[Text] | None = None
    """Labels."""
    default_queue_type: Literal["quorum", "classic", "stream"] | None = None
    """What a queue becomes that is declared without a type; RabbitMQ 3.11 and newer."""
    limits: VhostLimitsPart = VhostLimitsPart()
    """Bounds."""

    def virtual_host(self) -> VirtualHost | None:
        """None where nothing is said but the name and limits: then it stays as it is."""
        if self.description is None and self.tags is None and self.default_queue_type is None:
            return None
        return VirtualHost(self.description, tuple(self.tags or ()), self.default_queue_type)

    def bounds(self) -> tuple[Limit, ...]:
        named = {"max-connections": self.limits.max_connections, "max-queues": self.limits.max_queues}
        return tuple(Limit(name, value) for name, value in named.items() if value is not None)


def named(value: object) -> object:
    """A name alone is short for `{name: ...}`."""
    if value == "":
        raise Wrong("must not be empty", "Write a name, or remove the key")
    if value is not None and not isinstance(value, str | dict):
        raise Wrong("must be a name, or a mapping with `name`", 'Quote it, if it is a name: "5"')
    return {"name": value} if isinstance(value, str) else value
