"""Policies that make a queue behave otherwise than its arguments say."""

from __future__ import annotations

from collections.abc import Iterator

from amqptasks.doctor.finding import Finding
from amqptasks.doctor.seen import Seen
from amqptasks.topology.policies import shadowed


def policies(seen: Seen) -> Iterator[Finding]:
    """Without a topology nobody knows what a queue is to be, and only its arguments can be contradicted."""
    if seen.observed is None:
        return
    there, known = seen.observed.queues, seen.observed.policies
    if seen.topology is None:
        queues = [(queue.queue, queue.type) for queue in seen.queues]
        ours = known
    else:
        queues = [(queue, there[queue.name].type) for queue in seen.wanted.queues if queue.name in there]
        ours = seen.wanted.policies
    for warning in shadowed(queues, known, ours, seen.vhost):
        yield Finding("wrong", warning.subject, warning.problem, warning.mend)
