"""Dead letters that wait for somebody to look at them, and queues of them that grow."""

from __future__ import annotations

from collections.abc import Iterator

from amqptasks.doctor.commands import dead_list
from amqptasks.doctor.finding import Finding
from amqptasks.doctor.snapshot import Snapshot
from amqptasks.untrusted.numbers import counted


def dead_letters(seen: Snapshot) -> Iterator[Finding]:
    for name, messages in sorted(waiting(seen).items()):
        listed = dead_list(seen.app, name, seen.names)
        if messages:
            yield Finding(
                seen.level(name), f"queue {name}", counted(messages, "dead letter waits", "dead letters wait"), listed
            )
        length = seen.lengths.get(name)
        if length is not None and length.grown > 0:
            problem = f"it grew by {length.grown} within {counted(round(length.seconds / 60), 'minute')}"
            yield Finding("note", f"queue {name}", problem, f"{listed} --limit 10 tells why")


def waiting(seen: Snapshot) -> dict[str, int]:
    """By queue of dead letters, how many there are: by AMQP for those of the topology, else by the management API."""
    found = {}
    for name in seen.ends:
        state = seen.states.get(name)
        other = None if seen.observed is None else seen.observed.queues.get(name)
        if state is not None:
            found[name] = state.messages
        elif other is not None and other.type != "stream":
            found[name] = other.messages or 0
    return found
