"""Queues that nobody consumes."""

from __future__ import annotations

from collections.abc import Iterator

from amqptasks.doctor.commands import amqptasks
from amqptasks.doctor.finding import Finding
from amqptasks.doctor.snapshot import Snapshot
from amqptasks.untrusted.numbers import counted


def consumers(seen: Snapshot) -> Iterator[Finding]:
    """Those of the topology by what AMQP says, which is exact; others by the management API."""
    named = {} if seen.topology is None else seen.topology.queues
    for settings in named.values():
        state = seen.states.get(settings.name)
        dead_letters = settings.name in seen.ends
        if state is not None and state.consumers == 0 and settings.type != "stream" and not dead_letters:
            yield _nobody(seen, settings.name, state.messages)
    if seen.observed is not None and "consumers" not in seen.unread:
        for queue in seen.tasks_queues:
            if queue.name not in seen.planned and queue.name not in seen.consumers:
                yield _nobody(seen, queue.name, queue.messages or 0)


def _nobody(seen: Snapshot, queue: str, messages: int) -> Finding:
    return Finding(
        "wrong" if messages and seen.is_ours(queue) else "note",
        f"queue {queue}",
        f"no worker consumes it; {counted(messages, 'message waits', 'messages wait')}",
        amqptasks(seen.app, "worker", "-Q", queue),
    )
