"""Policies that make a queue behave otherwise than its arguments say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from amqptasks.doctor.finding import Finding
from amqptasks.doctor.snapshot import Snapshot
from amqptasks.topology.broker.steps import Warning
from amqptasks.topology.plan.policies import shadowed
from amqptasks.transport.entities import Policy


def policies(seen: Snapshot) -> Iterator[Finding]:
    """One finding a policy."""
    for warning in _overriding(seen):
        yield Finding("wrong", warning.subject, warning.problem, warning.fix)


def without_overriding(seen: Snapshot) -> Snapshot:
    """What was seen, without the policies that have a finding of their own. What such a policy alone brings about is no
    further finding for each queue: the one line about the policy mends it all. The queues that it applies to are
    `overridden`."""
    if seen.observed is None:
        return seen
    subjects = {warning.subject for warning in _overriding(seen)}
    if not subjects:
        return seen
    kept = tuple(policy for policy in seen.observed.policies if _subject(policy) not in subjects)
    under = frozenset(queue.name for queue in seen.queues if subjects.intersection(map(_subject, seen.policies(queue))))
    return replace(seen, observed=replace(seen.observed, policies=kept), overridden=under)


def _subject(policy: Policy) -> str:
    return f"{'operator policy' if policy.operator else 'policy'} {policy.name}"


def _overriding(seen: Snapshot) -> Iterator[Warning]:
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
    yield from shadowed(queues, known, ours, seen.vhost)
