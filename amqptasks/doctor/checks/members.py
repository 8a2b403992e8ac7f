"""Quorum queues with too few replicas for the cluster they are in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from amqptasks.doctor.finding import Finding
from amqptasks.doctor.snapshot import Snapshot
from amqptasks.doctor.values import Members

#: Two replicas stand no loss of one, three do. https://www.rabbitmq.com/docs/quorum-queues#replication-factor
FEWEST = 3

#: As many queues are named.
_NAMED = 3


def members(seen: Snapshot) -> Iterator[Finding]:
    """One finding for all queues that lack the same, because one line mends them all."""
    nodes = {node.name for node in seen.nodes}
    few = [one for one in seen.members if len(one.nodes) < min(FEWEST, len(nodes))]
    for node in sorted(nodes):
        lacking = [one for one in few if node not in one.nodes]
        if lacking and len(nodes) >= FEWEST:
            problem = f"it has no replica of {_named(lacking)}, which have fewer than {FEWEST}"
            yield Finding("wrong", f"node {node}", problem, f"rabbitmq-queues grow {node} all")
    down = [one for one in seen.members if len(one.online) <= len(one.nodes) // 2]
    if down:
        problem = f"most of their replicas are down, and they stand still: {_named(down)}"
        yield Finding("wrong", "queues", problem, "start the nodes that hold them: rabbitmqctl cluster_status")


def _named(found: Sequence[Members]) -> str:
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(one.queue for one in found[:_NAMED]) + more
