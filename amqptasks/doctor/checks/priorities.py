"""Classic queues that are classic for the sake of priorities."""

from __future__ import annotations

from collections.abc import Iterator

from amqptasks.doctor.commands import amqptasks
from amqptasks.doctor.finding import Finding
from amqptasks.doctor.snapshot import Snapshot


def priorities(seen: Snapshot) -> Iterator[Finding]:
    """On 4.3 quorum queues have priorities, and such a queue is left from before, unless the file says classic."""
    for queue in seen.queues:
        if queue.type != "classic" or queue.queue.arguments.get("x-max-priority") is None or queue.name in seen.older:
            continue
        if not seen.is_ours(queue.name):
            continue
        problem = "it is classic, for its priorities: on one node only, no delivery limit, dead-lettered at most once"
        wanted = seen.planned.get(queue.name)
        if not seen.capabilities.quorum_priorities:
            yield Finding("note", f"queue {queue.name}", problem, "upgrade to RabbitMQ 4.3, then amqptasks migrate")
        elif wanted is None or wanted.arguments.get("x-queue-type") != "classic":
            fix = amqptasks(seen.app, "migrate", queue.name)
            yield Finding("note", f"queue {queue.name}", problem, fix)
