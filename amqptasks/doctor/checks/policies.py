"""Policies that make a queue behave otherwise than its arguments say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from amqptasks.doctor.commands import rabbitmqctl
from amqptasks.doctor.finding import Finding
from amqptasks.doctor.snapshot import Snapshot
from amqptasks.topology.broker.observed import Observed
from amqptasks.topology.broker.steps import Warning
from amqptasks.topology.plan.policies import shadowed
from amqptasks.transport.entities import Policy

#: Queues that are named of those below a policy.
NAMED = 3


def policies(seen: Snapshot) -> Iterator[Finding]:
    """One finding a policy."""
    told: dict[str, Warning] = {}
    for warning in _overriding(seen):
        before = told.get(warning.subject)
        both = warning if before is None else replace(before, problem=f"{before.problem}; {warning.problem}")
        told[warning.subject] = both
    for one in told.values():
        yield Finding("wrong", one.subject, one.problem, one.fix)


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


def _leading_nowhere(seen: Snapshot, observed: Observed) -> Iterator[Warning]:
    """Policies that send dead letters of several queues to an exchange that is not there. Of one queue it is told of
    the queue."""
    for policy in observed.policies:
        exchange = policy.definition.get("dead-letter-exchange")
        if not exchange or exchange in observed.exchanges:
            continue
        key = "x-dead-letter-exchange"
        below = [q.name for q in seen.queues if policy in seen.policies(q) and key not in q.queue.arguments]
        if len(below) > 1:
            named = f"{', '.join(below[:NAMED])}{f' and {len(below) - NAMED} more' if len(below) > NAMED else ''}"
            clear = rabbitmqctl(f"clear_{_noun(policy).replace(' ', '_')}", policy.name, vhost=seen.vhost)
            problem = f"the exchange {exchange} for dead letters does not exist: those of {named} are lost"
            yield Warning(
                _subject(policy), problem, f"declare the exchange {exchange} and bind a queue to it, or {clear}"
            )


def _subject(policy: Policy) -> str:
    return f"{_noun(policy)} {policy.name}"


def _noun(policy: Policy) -> str:
    return "operator policy" if policy.operator else "policy"


def _overriding(seen: Snapshot) -> Iterator[Warning]:
    """Without a topology nobody knows what a queue is to be, and only its arguments can be contradicted."""
    if seen.observed is None:
        return
    yield from _leading_nowhere(seen, seen.observed)
    there, known = seen.observed.queues, seen.observed.policies
    if seen.topology is None:
        queues = [(queue.queue, queue.type) for queue in seen.queues]
        ours = known
    else:
        queues = [(queue, there[queue.name].type) for queue in seen.wanted.queues if queue.name in there]
        ours = seen.wanted.policies
    yield from shadowed(queues, known, ours, seen.vhost)
