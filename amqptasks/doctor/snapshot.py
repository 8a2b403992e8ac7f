"""What was read of a broker, as plain values: all that the checks know."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from amqptasks.doctor.finding import Level
from amqptasks.doctor.values import (
    Alarm,
    Clock,
    Connection,
    Consumers,
    Flag,
    Length,
    Members,
    Node,
    Section,
    Unread,
)
from amqptasks.errors import DeclarationConflict
from amqptasks.options.unique import PREFIX as CLAIMS
from amqptasks.topology.ask.time_limits import TimeLimit
from amqptasks.topology.broker.observed import Observed, ObservedQueue
from amqptasks.topology.delays import PREFIX
from amqptasks.topology.expand.expand import Objects
from amqptasks.topology.plan.drift import OWN, RESERVED
from amqptasks.topology.plan.policies import applied
from amqptasks.topology.topology import DEAD, Topology
from amqptasks.transport.capabilities import Capabilities
from amqptasks.transport.entities import Binding, Policy, Queue, QueueState


@dataclass(frozen=True)
class Snapshot:
    """`app` is how the command line names the app; `time_limits` holds, by queue, the task that may run longest;
    `broker_timeout` is the `consumer_timeout` of rabbitmq.conf in seconds, None where nobody knows; `most_connections`
    is the virtual host's limit, None where it has none; `overridden` are the queues below a policy that is wrong, and
    that `observed` leaves out.

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
    unread: Mapping[Section, Unread] = field(default_factory=dict)
    overridden: frozenset[str] = frozenset()

    @property
    def queues(self) -> Iterator[ObservedQueue]:
        """Those that somebody declared to stay, in the order of their names: claims of calls (`unique=`) go by
        themselves, and hold no message."""
        if self.observed is not None:
            for _, queue in sorted(self.observed.queues.items()):
                claim = queue.name.startswith(f"{CLAIMS}.")
                if not queue.temporary and not queue.internal and not claim:
                    yield queue

    @property
    def names(self) -> Collection[str]:
        """Of all queues, as far as they were looked at."""
        return self.states.keys() if self.observed is None else self.observed.queues.keys()

    @property
    def tasks_queues(self) -> Iterator[ObservedQueue]:
        """Of `queues` those that workers are to consume: not those of amqptasks itself, not where dead letters end, not
        where messages only wait, and no streams."""
        for queue in self.queues:
            if queue.type != "stream" and queue.name not in self.ends and not self.waits(queue):
                yield queue

    @cached_property
    def ends(self) -> frozenset[str]:
        """Queues of dead letters: those of the topology, those that a queue's dead letters are routed to by a key or a
        fanout exchange, and those that are called so."""
        found = set(self.topology.ends) if self.topology is not None else set()
        if self.observed is not None:
            found |= {name for name in self.observed.queues if name.endswith(DEAD)}
            for exchange, keys in self._ways_of_dead_letters.items():
                fanout = exchange in self.observed.exchanges and self.observed.exchanges[exchange].type == "fanout"
                found |= {key for key in keys if exchange == "" and key is not None}
                found |= {
                    binding.destination
                    for binding in self.bindings.get(exchange, ())
                    if binding.destination_type == "queue" and (fanout or binding.routing_key in keys)
                }
        return frozenset(found)

    @cached_property
    def _ways_of_dead_letters(self) -> Mapping[str, set[str | None]]:
        """By exchange, the keys that dead letters go to it with; None: the one that they came with."""
        found: dict[str, set[str | None]] = {}
        for queue in self.queues:
            exchange, key = (self.setting(queue, f"dead-letter-{what}") for what in ("exchange", "routing-key"))
            if isinstance(exchange, str) and not self.waits(queue):
                found.setdefault(exchange, set()).add(key if isinstance(key, str) else None)
        return found

    @cached_property
    def keys_bound(self) -> Mapping[str, frozenset[str]]:
        """By source, the routing keys of its bindings."""
        return {source: frozenset(one.routing_key for one in found) for source, found in self.bindings.items()}

    @cached_property
    def bindings(self) -> Mapping[str, Sequence[Binding]]:
        """By source."""
        found: dict[str, list[Binding]] = {}
        for binding in () if self.observed is None else self.observed.bindings:
            found.setdefault(binding.source, []).append(binding)
        return found

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

    def is_ours(self, name: str) -> bool:
        """Whether what is wrong with this queue is the app's concern; without a topology, everything is."""
        return self.topology is None or name in self.planned or name.startswith(PREFIX)

    def level(self, name: str) -> Level:
        """Of something that is wrong with this queue."""
        return "wrong" if self.is_ours(name) else "note"

    def policy(self, queue: ObservedQueue) -> Policy | None:
        """The policy that counts for a queue, besides an operator's."""
        return next((one for one in self.policies(queue) if not one.operator), None)

    def policies(self, queue: ObservedQueue) -> tuple[Policy, ...]:
        """The operator policy and the policy that count for a queue."""
        found = self._policies.get(queue.name)
        if found is None:
            known = () if self.observed is None else self.observed.policies
            both = (applied(known, queue.name, queue.type, operator) for operator in (True, False))
            found = self._policies[queue.name] = tuple(policy for policy in both if policy is not None)
        return found

    @cached_property
    def _policies(self) -> dict[str, tuple[Policy, ...]]:
        """By queue, as far as asked for: every check asks, of every queue."""
        return {}

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

    @cached_property
    def planned(self) -> Mapping[str, Queue]:
        """The queues as the topology wants them."""
        return {queue.name: queue for queue in self.wanted.queues}
