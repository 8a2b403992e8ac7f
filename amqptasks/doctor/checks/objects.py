"""What the topology wants and the broker has not, or has otherwise."""

from __future__ import annotations

from collections.abc import Iterator

from amqptasks.doctor.commands import amqptasks
from amqptasks.doctor.finding import Finding
from amqptasks.doctor.snapshot import Snapshot
from amqptasks.errors import DeclarationConflict
from amqptasks.topology.broker.identity import binding_key
from amqptasks.topology.plan.drift import DELAYS
from amqptasks.untrusted.numbers import counted


def objects(seen: Snapshot) -> Iterator[Finding]:
    """One finding for each work queue and exchange; one for all of the delay ladder, whose objects go together."""
    declare = amqptasks(seen.app, "declare")
    ladder = [name for _, name in seen.absent if name.startswith(DELAYS)]
    for kind, name in seen.absent:
        if not name.startswith(DELAYS):
            yield Finding("wrong", f"{kind} {name}", "it is not on the broker", declare)
    if ladder:
        missing = counted(len(ladder), "of its queues and exchanges is", "of its queues and exchanges are")
        problem = f"{missing} not on the broker, {ladder[0]} for one"
        yield Finding("wrong", "delay ladder", problem, declare)
    for conflict in seen.conflicts:
        yield _conflict(seen, conflict)
    for name in seen.older:
        problem = "it still is what an older release of RabbitMQ made it, and works"
        yield Finding("note", f"queue {name}", problem, amqptasks(seen.app, "migrate", name))
    if seen.refused is not None:
        problem = f"whether objects differ cannot be told: {seen.refused}"
        yield Finding("note", "permissions", problem, "ask as another user")


def bindings(seen: Snapshot) -> Iterator[Finding]:
    """Those that are not on the broker; where both ends are, for else that is told already."""
    if seen.observed is None:
        return
    gone = {name for _, name in seen.absent}
    there = seen.observed.binding_keys
    absent = [
        one
        for one in seen.wanted.bindings
        if binding_key(one) not in there and not {one.source, one.destination} & gone
    ]
    for binding in absent[:1]:
        more = f", and {len(absent) - 1} more" if len(absent) > 1 else ""
        yield Finding(
            "wrong",
            f"binding {binding.source} -> {binding.destination}",
            f"it is not on the broker (routing key {binding.routing_key!r}){more}",
            amqptasks(seen.app, "declare"),
        )


def _conflict(seen: Snapshot, conflict: DeclarationConflict) -> Finding:
    problem = f"{conflict.argument} is {conflict.current} on the broker, {conflict.wanted} in the topology"
    fix = "write the broker's value into the file"
    if conflict.kind == "queue":
        fix = f"{amqptasks(seen.app, 'migrate', conflict.name)}, or {fix}"
    else:
        fix = f"{fix}, or delete it and {amqptasks(seen.app, 'declare')}"
    return Finding("wrong", f"{conflict.kind} {conflict.name}", problem, fix)
