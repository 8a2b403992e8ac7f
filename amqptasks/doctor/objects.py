"""What of a topology is on the broker, and what happens in its queues. Over AMQP alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from amqptasks.doctor.finding import Finding
from amqptasks.entities import Queue
from amqptasks.errors import AccessRefused, DeclarationConflict
from amqptasks.topology.delays import LOST, PREFIX
from amqptasks.topology.expand import Objects
from amqptasks.topology.topology import Topology
from amqptasks.transport import Session


def missing_or_different(objects: Objects, session: Session) -> Iterator[Finding]:
    """One finding for each work queue and exchange; one for all of the delay ladder, whose objects go together."""
    absent: list[str] = []
    for kind, name in _absent(objects, session):
        if name.startswith(PREFIX) or name.startswith("amqptasks.due."):
            absent.append(name)
        else:
            yield Finding("wrong", f"{kind} {name}", "it is not on the broker", "amqptasks -A MODULE declare")
    if absent:
        yield Finding(
            "wrong",
            "delay ladder",
            f"{len(absent)} of its queues and exchanges are not on the broker, {absent[0]} for one",
            "amqptasks -A MODULE declare",
        )
    yield from _different(objects, session)


def of_queues(topology: Topology, session: Session) -> Iterator[Finding]:
    """Queues that nobody consumes, dead letters that wait, delayed messages whose target is gone."""
    for settings in topology.queues.values():
        state = session.queue_state(settings.name)
        if state is not None and state.consumers == 0 and settings.type != "stream":
            yield Finding(
                "wrong" if state.messages else "note",
                f"queue {settings.name}",
                f"no worker consumes it; {state.messages} messages wait",
                f"amqptasks -A MODULE worker -Q {settings.name}",
            )
        yield from _waiting(session, settings.dead_letter, f"amqptasks dead list {settings.name}", "dead letters wait")
    yield from _waiting(
        session, LOST, "declare their queues, then move them there", "delayed messages found no queue when due"
    )


def _waiting(session: Session, queue: str | None, mend: str, problem: str) -> Iterator[Finding]:
    state = session.queue_state(queue) if queue is not None else None
    if state is not None and state.messages:
        yield Finding("wrong", f"queue {queue}", f"{state.messages} {problem}", mend)


def _absent(objects: Objects, session: Session) -> Iterator[tuple[str, str]]:
    for exchange in objects.exchanges:
        if not session.exchange_exists(exchange.name):
            yield "exchange", exchange.name
    for queue in objects.queues:
        if session.queue_state(queue.name) is None:
            yield "queue", queue.name


def _different(objects: Objects, session: Session) -> Iterator[Finding]:
    """Declaring what is there changes nothing, and the broker names what differs."""
    try:
        for exchange in objects.exchanges:
            if session.exchange_exists(exchange.name):
                try:
                    session.declare_exchange(exchange)
                except DeclarationConflict as conflict:
                    yield _conflict(conflict)
        for queue in objects.queues:
            if session.queue_state(queue.name) is not None:
                yield from _queue_conflict(queue, objects.older, session)
    except AccessRefused as refused:
        yield Finding("note", "permissions", f"whether objects differ cannot be told: {refused}", "ask as another user")


def _queue_conflict(queue: Queue, older: Mapping[str, Iterable[Queue]], session: Session) -> Iterator[Finding]:
    try:
        session.declare_queue(queue)
    except DeclarationConflict as conflict:
        if any(_fits(form, session) for form in older.get(queue.name, ())):
            yield Finding(
                "note",
                f"queue {queue.name}",
                "it still is what an older release of RabbitMQ made it",
                "nothing: it works; emptied, deleted and declared again it would be a new one",
            )
        else:
            yield _conflict(conflict)


def _fits(queue: Queue, session: Session) -> bool:
    try:
        session.declare_queue(queue)
    except DeclarationConflict:
        return False
    return True


def _conflict(conflict: DeclarationConflict) -> Finding:
    return Finding(
        "wrong",
        f"{conflict.kind} {conflict.name}",
        f"{conflict.argument} is {conflict.current} on the broker, {conflict.wanted} in the topology",
        "write the broker's value into the file, or empty and delete it and run amqptasks -A MODULE declare",
    )
