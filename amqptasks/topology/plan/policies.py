"""Which policy applies to a queue, and where it makes the queue behave otherwise than its arguments say.

A policy is applied by the broker, without a word to whoever declared the queue. Which of policy and argument counts is
decided key by key: https://www.rabbitmq.com/docs/policies, and tried on 3.10, 4.0 and 4.3.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from amqptasks.topology.broker.steps import Warning
from amqptasks.topology.plan.differences import OF_STREAMS, SMALLER_COUNTS, same_setting
from amqptasks.transport.entities import AppliesTo, Policy, Queue

#: Which queue types a policy's `apply-to` means.
_APPLIES: Mapping[AppliesTo, frozenset[str]] = {
    "all": frozenset({"classic", "quorum", "stream", "exchange"}),
    "queues": frozenset({"classic", "quorum", "stream"}),
    "classic_queues": frozenset({"classic"}),
    "quorum_queues": frozenset({"quorum"}),
    "streams": frozenset({"stream"}),
    "exchanges": frozenset({"exchange"}),
}

#: Keys that can make a message disappear which the file promises to keep.
_TAKE_AWAY = frozenset({"max-length", "max-length-bytes", "message-ttl", "expires", "delivery-limit", "max-age"})

#: As many names are printed where a policy applies to many queues.
_NAMED = 3


def applied(policies: Iterable[Policy], name: str, kind: str, operator: bool = False) -> Policy | None:
    """The one policy (or operator policy) that counts for the queue or exchange `name`; `kind` is the queue's type, or
    `exchange`. Of several the one of the highest priority counts."""
    fitting = [
        policy
        for policy in policies
        if policy.operator is operator and kind in _APPLIES.get(policy.apply_to, ()) and _fits(policy.pattern, name)
    ]
    return max(fitting, key=lambda policy: policy.priority, default=None)


def shadowed(
    queues: Iterable[tuple[Queue, str]], policies: Iterable[Policy], ours: Iterable[Policy] = (), vhost: str = "/"
) -> Iterator[Warning]:
    """A warning for each policy that overrides an argument of these queues (each with its type), or that takes
    messages away from a queue without its file saying so; policies of the file itself (`ours`) may do that."""
    policies = tuple(policies)
    known = {(policy.name, policy.operator) for policy in ours}
    found: dict[tuple[bool, str], dict[tuple[str, bool], list[tuple[str, str]]]] = {}
    for queue, kind in queues:
        for operator in (False, True):
            policy = applied(policies, queue.name, kind, operator)
            if policy is None:
                continue
            for key, value in policy.definition.items():
                effect = _effect(queue, kind, key, value, (policy.name, operator) in known)
                if effect is not None:
                    said = f"x-{key}" in queue.arguments
                    effects = found.setdefault((operator, policy.name), {})
                    effects.setdefault((key, said), []).append((queue.name, effect))
    for (operator, name), effects in found.items():
        noun = "operator policy" if operator else "policy"
        verb = f"clear_{noun.replace(' ', '_')}"
        clear = shlex.join(("rabbitmqctl", verb, *(() if vhost == "/" else ("-p", vhost)), name))
        fix = f"change its pattern so that it leaves them out, or {clear}"
        problem = "; ".join(f"{affected[0][1]} ({_some(affected)})" for affected in effects.values())
        yield Warning(f"{noun} {name}", problem, fix)


def _some(affected: Sequence[tuple[str, str]]) -> str:
    more = f" and {len(affected) - _NAMED} more" if len(affected) > _NAMED else ""
    return ", ".join(queue for queue, _ in affected[:_NAMED]) + more


def _effect(queue: Queue, kind: str, key: str, value: object, ours: bool) -> str | None:
    argument = queue.arguments.get(f"x-{key}")
    if argument is None:
        if ours or key not in _TAKE_AWAY:
            return None
        return f"it sets {key} to {value}, which the file does not say"
    if same_setting(key, argument, value):
        return None
    if kind == "stream":
        return (
            f"its {key} {value} beats the argument {argument}: of a stream the policy counts"
            if key in OF_STREAMS
            else None
        )
    if key == "overflow" and kind == "quorum":
        lost = queue.arguments.get("x-dead-letter-strategy") == "at-least-once"
        and_so = "; dead-lettering at least once is off then, and messages can be lost" if lost else ""
        return f"its {key} {value} beats the argument {argument}{and_so}"
    if key in SMALLER_COUNTS and isinstance(argument, int) and isinstance(value, int) and value < argument:
        return f"its {key} {value} is below the argument {argument}, and the smaller one counts"
    if key == "delayed-retry-type":
        return f"its {key} {value} beats the argument {argument}"
    return None


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str] | None:
    """PCRE and Python's expressions agree on all that is common; one that only PCRE reads fits nothing here."""
    try:
        return re.compile(text)
    except re.error:
        return None


def _fits(pattern: str, name: str) -> bool:
    compiled = _pattern(pattern)
    return compiled is not None and compiled.search(name) is not None
