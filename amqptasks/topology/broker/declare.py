"""Bringing AMQP objects to the broker. Idempotent: what is there as wanted stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from amqptasks.errors import AccessRefused, DeclarationConflict
from amqptasks.topology.broker.identity import binding_name
from amqptasks.topology.broker.steps import Kind
from amqptasks.topology.expand.expand import Objects
from amqptasks.transport import Session
from amqptasks.transport.entities import Binding, Exchange, Queue

State = Literal[
    "created", "changed", "present", "declared", "bound", "older", "unchecked", "deleted", "kept", "migrating"
]


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one object.

    `created` and `present` (it was there); `declared` where all that counts is that it is there now; `bound` is said
    of a binding, for AMQP cannot tell whether it was there; `older` of a queue that still is what an older release of
    RabbitMQ made it; `unchecked` of what this user may neither make nor look up. Where a plan was made also
    `changed`, and of what was pruned `deleted` or `kept`, with the `reason`. A queue is `migrating` while it is
    replaced: it is left alone, with its bindings.
    """

    kind: Kind
    name: str
    state: State
    reason: str | None = None


Progress = Callable[[Change], None]


def declare(objects: Objects, session: Session, progress: Progress | None = None) -> list[Change]:
    """Create what is missing, in an order in which no message falls into a gap; `progress` hears of each object.

    Raises `DeclarationConflict` where an object exists with other properties, `AccessRefused` without the right to
    configure; what was done before stays done, and the next run goes on from there.
    """
    return _collect(_declared(objects, session), progress)


def declare_or_check(objects: Objects, session: Session, progress: Progress | None = None) -> list[Change]:
    """As `declare`, in a few round trips, because it does not look what was there before; and where this user lacks the
    right, an object that is there will do, and so will one that it may not even look at: for workers and
    publishers, also with few rights. Raises `AccessRefused` for one that is neither there nor may be created."""
    if session.declare_in_order((*objects.exchanges, *objects.queues, *objects.bindings), objects.retired):
        return _collect(_all_declared(objects), progress)
    return _collect(_declared_or_checked(objects, session), progress)


def _declared(objects: Objects, session: Session) -> Iterator[Change]:
    for exchange in objects.exchanges:
        yield _declare_exchange(exchange, session)
    for queue in objects.queues:
        yield _declare_queue(queue, session, objects.older.get(queue.name, ()))
    for binding in objects.bindings:
        yield _bind(binding, session)
    for binding in objects.retired:
        session.unbind(binding)


def _all_declared(objects: Objects) -> Iterator[Change]:
    for exchange in objects.exchanges:
        yield Change("exchange", exchange.name, "declared")
    for queue in objects.queues:
        yield Change("queue", queue.name, "declared")
    for binding in objects.bindings:
        yield Change("binding", binding_name(binding), "bound")


def _declared_or_checked(objects: Objects, session: Session) -> Iterator[Change]:
    """A refusal costs a channel. Once there was one, what is there is looked at first, and only what hangs on objects
    that this user could make is bound."""
    refused = False
    made: set[str] = set()
    for exchange in objects.exchanges:
        yield (change := _exchange_or_check(exchange, session, look_first=refused))
        made |= {exchange.name} if change.state == "declared" else set()
        refused |= change.state in ("present", "unchecked")
    for queue in objects.queues:
        yield (change := _queue_or_check(queue, session, objects.older.get(queue.name, ()), look_first=refused))
        made |= {queue.name} if change.state in ("declared", "older") else set()
        refused |= change.state in ("present", "unchecked")
    for binding in objects.bindings:
        if refused and binding.destination not in made:
            yield Change("binding", binding_name(binding), "unchecked")
        else:
            yield _bind_or_trust(binding, session)
    for binding in () if refused else objects.retired:
        with suppress(AccessRefused):
            session.unbind(binding)


def _collect(changes: Iterator[Change], progress: Progress | None) -> list[Change]:
    done: list[Change] = []
    for change in changes:
        done.append(change)
        if progress is not None:
            progress(change)
    return done


def _declare_exchange(exchange: Exchange, session: Session) -> Change:
    was_there = session.exchange_exists(exchange.name)
    session.declare_exchange(exchange)
    return Change("exchange", exchange.name, "present" if was_there else "created")


def _declare_queue(queue: Queue, session: Session, older: tuple[Queue, ...]) -> Change:
    was_there = session.queue_state(queue.name) is not None
    try:
        session.declare_queue(queue)
    except DeclarationConflict:
        if not any(_fits(form, session) for form in older):
            raise
        return Change("queue", queue.name, "older")
    return Change("queue", queue.name, "present" if was_there else "created")


def _fits(queue: Queue, session: Session) -> bool:
    try:
        session.declare_queue(queue)
    except DeclarationConflict:
        return False
    return True


def _bind(binding: Binding, session: Session) -> Change:
    session.bind(binding)
    return Change("binding", binding_name(binding), "bound")


def _exchange_or_check(exchange: Exchange, session: Session, *, look_first: bool) -> Change:
    look = lambda: session.exchange_exists(exchange.name)  # noqa: E731
    if look_first and (seen := _looked("exchange", exchange.name, look)) is not None:
        return seen
    try:
        session.declare_exchange(exchange)
    except AccessRefused as refused:
        found = None if look_first else _looked("exchange", exchange.name, look)
        if found is None:
            raise _missing("exchange", exchange.name) from refused
        return found
    return Change("exchange", exchange.name, "declared")


def _queue_or_check(queue: Queue, session: Session, older: tuple[Queue, ...], *, look_first: bool) -> Change:
    look = lambda: session.queue_state(queue.name) is not None  # noqa: E731
    if look_first and (seen := _looked("queue", queue.name, look)) is not None:
        return seen
    try:
        session.declare_queue(queue)
    except DeclarationConflict:
        if not any(_fits(form, session) for form in older):
            raise
        return Change("queue", queue.name, "older")
    except AccessRefused as refused:
        found = None if look_first else _looked("queue", queue.name, look)
        if found is None:
            raise _missing("queue", queue.name) from refused
        return found
    return Change("queue", queue.name, "declared")


def _looked(kind: Kind, name: str, is_there: Callable[[], bool]) -> Change | None:
    """None where it is not there. Where this user may not even look, which from 4.3 on takes some right on the object
    itself, it may not make it either: that it is there is believed."""
    try:
        return Change(kind, name, "present") if is_there() else None
    except AccessRefused:
        return Change(kind, name, "unchecked")


def _bind_or_trust(binding: Binding, session: Session) -> Change:
    try:
        return _bind(binding, session)
    except AccessRefused:  # not ours to make; a publish that finds no queue raises Unroutable
        return Change("binding", binding_name(binding), "unchecked")


def _missing(kind: str, name: str) -> AccessRefused:
    return AccessRefused(
        f"{kind} {name!r} is not there, and this user has no right to create it:"
        f" run `amqptasks declare` once as a user with the configure permission"
    )
