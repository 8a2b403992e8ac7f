"""What was read of a broker, as plain values: all that the checks know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from amqptasks.capabilities import Capabilities
from amqptasks.doctor.finding import Level
from amqptasks.entities import Policy, Queue, QueueState
from amqptasks.errors import DeclarationConflict
from amqptasks.topology.delays import PREFIX
from amqptasks.topology.drift import OWN, RESERVED
from amqptasks.topology.expand import Objects
from amqptasks.topology.observed import Observed, ObservedQueue
from amqptasks.topology.policies import applied
from amqptasks.topology.topology import Topology

#: What can be read of a broker besides its version; `objects` over AMQP, the rest through the management API.
Section = Literal[
    "objects",
    "alarms",
    "nodes",
    "feature flags",
    "deprecated features",
    "clock",
    "virtual host",
    "consumers",
    "members",
    "lengths",
    "connections",
    "limits",
]


@dataclass(frozen=True, slots=True)
class Alarm:
    """A resource (`memory`, `disk`) of a node that is short: the broker does not read from publishers."""

    node: str
    resource: str


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the broker's cluster. Memory and disk are in bytes; figures are 0 for a node that does not run."""

    name: str
    running: bool = True
    memory_used: int = 0
    memory_limit: int = 0
    disk_free: int = 0
    disk_limit: int = 0
    files_used: int = 0
    files: int = 0
    partitions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Flag:
    """A feature flag that is off. `stable` ones are to be on, `experimental` ones are a choice."""

    name: str
    stable: bool


@dataclass(frozen=True, slots=True)
class Clock:
    """By how many seconds the broker's clock is ahead of this machine's, and how far off that may be."""

    ahead: float
    uncertain: float


@dataclass(frozen=True, slots=True)
class Members:
    """The nodes that hold a replica of a quorum queue or stream, and those of them that are up."""

    queue: str
    nodes: tuple[str, ...]
    online: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Length:
    """Of a queue: messages that it has expired, dead-lettered at least once and not got rid of yet (`leaving`), and by
    how many it grew within `seconds`."""

    queue: str
    leaving: int = 0
    grown: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Connection:
    """A client's connection. `heartbeat` is in seconds, 0: none."""

    name: str
    user: str
    heartbeat: int
    channels: int


@dataclass(frozen=True, slots=True)
class Consumers:
    """How many consume a queue; `timeout` is their shortest consumer timeout in seconds, where the broker tells it
    (RabbitMQ 4.3)."""

    count: int
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """A task, and the seconds that it may run at most."""

    task: str
    seconds: float


@dataclass(frozen=True)
class Seen:
    """`app` is how the command line names the app; `time_limits` holds, by queue, the task that may run longest;
    `broker_timeout` is the `consumer_timeout` of rabbitmq.conf in seconds, None where nobody knows; `most_connections`
    is the virtual host's limit, None where it has none.

    What was not read is empty, and `unread` says why: no check that needs it may draw conclusions from that.
    """

    capabilities: Capabilities
    vhost: str = "/"
    app: str | None = None
    topology: Topology | None = None
    wanted: Objects = field(default_factory=Objects)
    time_limits: Mapping[str, TimeLimit] = field(default_factory=dict)
    broker_timeout: float | None = None
    absent: tuple[tuple[str, str], ...] = ()
    conflicts: tuple[DeclarationConflict, ...] = ()
    older: tuple[str, ...] = ()
    refused: str | None = None
    states: Mapping[str, QueueState] = field(default_factory=dict)
    alarms: tuple[Alarm, ...] = ()
    nodes: tuple[Node, ...] = ()
    flags_off: tuple[Flag, ...] = ()
    deprecated: tuple[str, ...] = ()
    clock: Clock | None = None
    observed: Observed | None = None
    consumers: Mapping[str, Consumers] = field(default_factory=dict)
    members: tuple[Members, ...] = ()
    lengths: Mapping[str, Length] = field(default_factory=dict)
    connections: tuple[Connection, ...] = ()
    most_connections: int | None = None
    unread: Mapping[Section, str] = field(default_factory=dict)

    @property
    def queues(self) -> Iterator[ObservedQueue]:
        """Those that somebody declared to stay, in the order of their names."""
        if self.observed is not None:
            for _, queue in sorted(self.observed.queues.items()):
                if not queue.temporary and not queue.internal:
                    yield queue

    @property
    def tasks_queues(self) -> Iterator[ObservedQueue]:
        """Of `queues` those that workers are to consume: not those of amqptasks itself, not where dead letters end, not
        where messages only wait, and no streams."""
        for queue in self.queues:
            if queue.type != "stream" and queue.name not in self.ends and not self.waits(queue):
                yield queue

    @cached_property
    def ends(self) -> frozenset[str]:
        """Queues of dead letters: those of the topology, those that a queue's dead letters are routed to by name, and
        those that are called so."""
        named = {one.dead_letter for one in self.topology.queues.values()} if self.topology is not None else set()
        found = {name for name in named if name is not None}
        if self.observed is not None:
            found |= {name for name in self.observed.queues if name.endswith(".dead")}
            for queue in self.observed.queues.values():
                key = self.setting(queue, "dead-letter-routing-key")
                if isinstance(key, str) and key in self.observed.queues and not self.waits(queue):
                    found.add(key)
        return frozenset(found)

    def waits(self, queue: ObservedQueue) -> bool:
        """Whether messages only wait there, for what comes after their time: a rung of the delay ladder, a retry
        queue."""
        if queue.name.startswith((OWN, RESERVED)):
            return True
        timed = self.setting(queue, "message-ttl") is not None
        return timed and self.setting(queue, "dead-letter-exchange") is not None and queue.name not in self.declared

    @cached_property
    def declared(self) -> frozenset[str]:
        """The queues that the topology's file names."""
        return frozenset(() if self.topology is None else self.topology.queues)

    @cached_property
    def expected(self) -> frozenset[str]:
        """All queues that the topology brings."""
        return frozenset(queue.name for queue in self.wanted.queues)

    def is_ours(self, name: str) -> bool:
        """Whether what is wrong with this queue is the app's concern; without a topology, everything is."""
        return self.topology is None or name in self.expected or name.startswith(PREFIX)

    def level(self, name: str) -> Level:
        """Of something that is wrong with this queue."""
        return "wrong" if self.is_ours(name) else "note"

    def policy(self, queue: ObservedQueue) -> Policy | None:
        """The policy that counts for a queue, besides an operator's."""
        return next((one for one in self.policies(queue) if not one.operator), None)

    def policies(self, queue: ObservedQueue) -> tuple[Policy, ...]:
        """The operator policy and the policy that count for a queue."""
        if self.observed is None:
            return ()
        found = (applied(self.observed.policies, queue.name, queue.type, operator) for operator in (True, False))
        return tuple(policy for policy in found if policy is not None)

    def setting(self, queue: ObservedQueue, key: str) -> object:
        """What counts of arguments and policies, as the broker takes it: of numbers the smallest; for `overflow` the
        policy of a quorum queue; else the argument."""
        argument = queue.queue.arguments.get(f"x-{key}")
        given = [policy.definition[key] for policy in self.policies(queue) if key in policy.definition]
        if not given:
            return argument
        numbers = [value for value in (argument, *given) if isinstance(value, int)]
        if isinstance(given[0], int) and numbers:
            return min(numbers)
        if argument is None or (key == "overflow" and queue.type == "quorum"):
            return given[0]
        return argument

    def plain(self, name: str) -> Queue | None:
        """The queue as the topology wants it."""
        return next((queue for queue in self.wanted.queues if queue.name == name), None)
