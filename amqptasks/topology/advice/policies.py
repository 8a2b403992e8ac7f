"""Policies beside arguments: for a number, the lower of the two counts; for the rest, the argument.

https://www.rabbitmq.com/docs/parameters#policies (combining policies with arguments)
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from amqptasks.topology.advice.advice import Advice, Subject
from amqptasks.topology.read.document import Where
from amqptasks.transport.entities import Policy, Queue

#: Keys of policies of which the lower value counts, with the argument that says the same.
_LOWER_COUNTS = {
    "message-ttl": "x-message-ttl",
    "max-length": "x-max-length",
    "max-length-bytes": "x-max-length-bytes",
    "expires": "x-expires",
    "delivery-limit": "x-delivery-limit",
}


def policies_that_undercut(subject: Subject) -> Iterator[Advice]:
    for queue in subject.objects.queues:
        for operator in (False, True):
            policy = _effective(subject, queue, operator)
            for key, argument in _LOWER_COUNTS.items() if policy is not None else ():
                assert policy is not None
                limit, own = policy.definition.get(key), queue.arguments.get(argument)
                if isinstance(limit, int) and isinstance(own, int) and limit < own:
                    problem = f"the policy `{policy.name}` sets {key} {limit} for `{queue.name}`, below its own {own}"
                    fix = "Raise it, or give the queue the lower one: the lower of both counts"
                    yield Advice("warning", "policy-undercuts", _where(policy), problem, fix)


def policies_that_fit_nothing(subject: Subject) -> Iterator[Advice]:
    names = [queue.name for queue in subject.objects.queues] + [one.name for one in subject.objects.exchanges]
    for policy in subject.topology.policies:
        if not any(_fits(policy, name) for name in names):
            problem = f"its pattern fits nothing in this topology: `{policy.pattern}`"
            yield Advice("note", "policy-fits-nothing", _where(policy), problem, "Mend the pattern, or remove it")


def _effective(subject: Subject, queue: Queue, operator: bool) -> Policy | None:
    """Of the policies that fit a queue, one counts: that of the highest priority."""
    kind = f"{queue.arguments.get('x-queue-type', 'classic')}_queues".replace("stream_queues", "streams")
    fitting = [
        policy
        for policy in subject.topology.policies
        if policy.operator is operator and policy.apply_to in ("all", "queues", kind) and _fits(policy, queue.name)
    ]
    return max(fitting, key=lambda policy: policy.priority, default=None)


def _fits(policy: Policy, name: str) -> bool:
    try:
        return re.search(policy.pattern, name) is not None
    except re.error:  # Erlang's dialect knows more than ours: taken to fit
        return True


def _where(policy: Policy) -> Where:
    return ("operator_policies" if policy.operator else "policies", policy.name)
