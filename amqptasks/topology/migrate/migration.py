"""One migration: the queue, how it shall be, the ways to the broker, and what has been counted so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from amqptasks.amqp.link import Link
from amqptasks.management.client import Management
from amqptasks.runtime.clock import monotonic
from amqptasks.topology.broker.identity import spelled
from amqptasks.topology.broker.observed import Observed, ObservedQueue, observe_bindings, observe_queue
from amqptasks.topology.delays import due
from amqptasks.topology.expand.expand import Objects
from amqptasks.topology.migrate import figures, marks
from amqptasks.topology.migrate.mover import Mover
from amqptasks.transport import Session
from amqptasks.transport.entities import Binding, Queue

#: Seconds to wait for workers to settle what they hold: as long as RabbitMQ itself lets a consumer hold a message.
PATIENCE = 1800.0


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened in `stage`; `detail` is for people. `moved` and `left` count messages, where it moves some."""

    stage: str
    detail: str
    moved: int | None = None
    left: int | None = None


@dataclass(slots=True)
class Counts:
    """What one run did, in so many `stages` (none: there was nothing to do). `waited` messages were in the shadow when
    it began (an earlier run was interrupted); `out` went to the shadow and `home` came back, with `twice` of both
    together known to be in two places by a broken connection; `lost` came past every exchange in the last moment of the
    old queue.

    Times are in seconds: `paused`, in which workers got no new message; `absent`, in which there was no queue.
    """

    stages: int = 0
    bindings: int = 0
    waited: int = 0
    out: int = 0
    home: int = 0
    twice: int = 0
    lost: int = 0
    paused: float | None = None
    absent: float | None = None
    seconds: float = 0.0

    @property
    def meanwhile(self) -> int:
        """Messages that were published while the gate was closed, as far as they came back."""
        return max(0, self.home - self.out - self.waited)

    @property
    def missing(self) -> int:
        """Messages that went out and did not come back: they expired on the way, and were dead-lettered."""
        return max(0, self.out + self.waited - self.home)


@dataclass
class Migration:
    """`objects` is the whole topology on this broker, `wanted` the queue as it has it, `declared` the names of queues
    that the topology has itself. `every` is the age in seconds that a figure of a quorum queue can have, `patience` how
    many seconds workers may hold messages of the old queue."""

    wanted: Queue
    objects: Objects
    session: Session
    management: Management
    link: Link
    declared: frozenset[str] = frozenset()
    every: float = figures.EVERY
    patience: float = PATIENCE
    tell: Callable[[Event], None] = lambda _: None
    counts: Counts = field(default_factory=Counts)
    mover: Mover | None = None
    began: float = field(default_factory=monotonic)
    taken_over: float | None = None
    turned: float = 0.0
    removed: float | None = None

    @property
    def queue(self) -> str:
        return self.wanted.name

    @property
    def keeps_deaths(self) -> bool:
        """Nothing is dead-lettered from the new queue: the broker's records of deaths may stay in the headers."""
        return "x-dead-letter-exchange" not in self.wanted.arguments

    def observed(self) -> ObservedQueue | None:
        return observe_queue(self.management, self.queue)

    def sources(self) -> list[Binding]:
        """What is bound to the queue itself, apart from what a migration binds."""
        own = {marks.gate(self.queue), marks.back(self.queue)}
        return [binding for binding in observe_bindings(self.management, self.queue) if binding.source not in own]

    def redirected(self) -> list[Binding]:
        """What leads to the gate, as bindings of the queue."""
        found = observe_bindings(self.management, marks.gate(self.queue), "exchange")
        return [
            replace(binding, destination=self.queue, destination_type="queue")
            for binding in found
            if binding.source != marks.MIGRATIONS
        ]

    def to_gate(self, binding: Binding) -> Binding:
        return replace(binding, destination=marks.gate(self.queue), destination_type="exchange")


def is_as_wanted(observed: ObservedQueue, wanted: Queue) -> bool:
    """Whether type, properties and arguments are those wanted."""
    return not differences(observed, wanted)


def differences(observed: ObservedQueue, wanted: Queue) -> dict[str, tuple[object, object]]:
    """By argument: what the broker has, and what is wanted (None: not set)."""
    has = _form(observed.queue, observed.type)
    wants = _form(wanted, str(wanted.arguments.get("x-queue-type", "classic")))
    return {
        name: (has.get(name), wants.get(name))
        for name in sorted(has.keys() | wants.keys())
        if spelled(has.get(name)) != spelled(wants.get(name))
    }


def _form(queue: Queue, kind: str) -> dict[str, object]:
    return {**queue.arguments, "x-queue-type": kind, "durable": queue.durable}


def groundwork(objects: Objects, queue: str, declared: frozenset[str], observed: Observed) -> Objects:
    """What the new form of the queue leads to and the broker lacks: its dead-letter queue and the like. `declared` are
    the queues that the topology names itself, which are not generated for this one."""
    missing = {
        one.name
        for one in objects.queues
        if one.name.startswith(f"{queue}.") and one.name not in declared and one.name not in observed.queues
    }
    return Objects(
        tuple(one for one in objects.exchanges if one.name not in observed.exchanges and not _of_ladder(one.name)),
        tuple(one for one in objects.queues if one.name in missing),
        tuple(
            binding
            for binding in objects.bindings
            if binding.destination in missing
            and binding.destination_type == "queue"
            and (binding.source in observed.exchanges or not _of_ladder(binding.source))
        ),
    )


def _of_ladder(exchange: str) -> bool:
    """It is declared as a whole, by whoever needs it."""
    return exchange.startswith(("amqptasks.delay.", due("")))
