"""What of a topology is on the broker, over AMQP alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from amqptasks.errors import AccessRefused, DeclarationConflict
from amqptasks.topology.delays import LOST
from amqptasks.topology.expand.expand import Objects
from amqptasks.transport import Session
from amqptasks.transport.entities import Queue, QueueState


@dataclass(frozen=True, slots=True)
class Present:
    """`absent` has kind and name, `older` the queues that still are what an older release made them; `refused` is why
    it cannot be told what differs; `states` is of the queues that are there."""

    absent: tuple[tuple[str, str], ...] = ()
    conflicts: tuple[DeclarationConflict, ...] = ()
    older: tuple[str, ...] = ()
    refused: str | None = None
    states: Mapping[str, QueueState] = field(default_factory=dict)


def present(wanted: Objects, session: Session) -> Present:
    """Raises `BrokerError` where the broker is gone."""
    exchanges = {one.name: session.exchange_exists(one.name) for one in wanted.exchanges}
    states = {name: session.queue_state(name) for name in (*(one.name for one in wanted.queues), LOST)}
    absent = [("exchange", name) for name, there in exchanges.items() if not there]
    absent += [("queue", one.name) for one in wanted.queues if states[one.name] is None]
    missing = {name for _, name in absent}
    conflicts: list[DeclarationConflict] = []
    older: list[str] = []
    refused = None
    try:
        for conflict in _conflicts(wanted, missing, session):
            fitting = wanted.older.get(conflict.name, ()) if conflict.kind == "queue" else ()
            if any(_fits(form, session) for form in fitting):
                older.append(conflict.name)
            else:
                conflicts.append(conflict)
    except AccessRefused as error:
        refused = str(error)
    there = {name: state for name, state in states.items() if state is not None}
    return Present(tuple(absent), tuple(conflicts), tuple(older), refused, there)


def _conflicts(wanted: Objects, missing: Iterable[str], session: Session) -> Iterator[DeclarationConflict]:
    """Declaring what is there changes nothing, and the broker names what differs."""
    absent = frozenset(missing)
    for exchange in wanted.exchanges:
        if exchange.name not in absent:
            try:
                session.declare_exchange(exchange)
            except DeclarationConflict as conflict:
                yield conflict
    for queue in wanted.queues:
        if queue.name not in absent:
            try:
                session.declare_queue(queue)
            except DeclarationConflict as conflict:
                yield conflict


def _fits(queue: Queue, session: Session) -> bool:
    try:
        session.declare_queue(queue)
    except DeclarationConflict:
        return False
    return True
