"""One thing that is probably not meant, and what mends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from amqptasks.topology.advice.effective import effective
from amqptasks.topology.expand.expand import Objects, expand
from amqptasks.topology.read.document import Where
from amqptasks.topology.topology import QueueSettings, Topology
from amqptasks.transport.capabilities import Capabilities
from amqptasks.transport.entities import Queue


@dataclass(frozen=True, slots=True)
class Advice:
    """A `warning` loses messages or does nothing of what the file says; a `note` is good to know. `rule` is its short
    name, `fix` begins with what to do."""

    severity: Literal["warning", "note"]
    rule: str
    where: Where
    problem: str
    fix: str


@dataclass(frozen=True)
class Subject:
    """What the lints look at: a topology, and the release of RabbitMQ that it is for."""

    topology: Topology
    capabilities: Capabilities

    @cached_property
    def objects(self) -> Objects:
        return expand(self.topology, self.capabilities)

    @cached_property
    def queues(self) -> Mapping[str, Queue]:
        """The queues on the broker, generated ones too."""
        return {queue.name: queue for queue in self.objects.queues}

    @cached_property
    def settled(self) -> Mapping[str, QueueSettings]:
        """The queues with what their arguments and the file's policies say of them, too."""
        return {name: effective(queue, self.topology) for name, queue in self.topology.queues.items()}

    @property
    def release(self) -> str:
        major, minor, _ = self.capabilities.version
        return f"RabbitMQ {major}.{minor}"
