"""Dead-lettering at most once: what is under way when the broker is killed is lost.

https://www.rabbitmq.com/docs/quorum-queues#activating-at-least-once-dead-lettering
"""

from __future__ import annotations

from collections.abc import Iterator

from amqptasks.doctor.commands import set_policy
from amqptasks.doctor.finding import Finding
from amqptasks.doctor.snapshot import Snapshot
from amqptasks.topology.broker.observed import ObservedQueue
from amqptasks.topology.expand.expand import SAFE


def dead_lettering(seen: Snapshot) -> Iterator[Finding]:
    for queue in seen.queues:
        if seen.setting(queue, "dead-letter-exchange") is None:
            continue
        if queue.type == "classic":
            yield from _classic(seen, queue)
        elif queue.type == "quorum":
            yield from _quorum(seen, queue)


def _classic(seen: Snapshot, queue: ObservedQueue) -> Iterator[Finding]:
    if seen.is_ours(queue.name) and queue.queue.arguments.get("x-max-priority") is None:  # that has a check of its own
        problem = "a classic queue dead-letters at most once: what is under way when the broker is killed is lost"
        yield Finding("note", f"queue {queue.name}", problem, "without `type: classic` in the file, amqptasks migrate")


def _quorum(seen: Snapshot, queue: ObservedQueue) -> Iterator[Finding]:
    strategy = seen.setting(queue, "dead-letter-strategy")
    overflow = seen.setting(queue, "overflow")
    if strategy == SAFE["x-dead-letter-strategy"] and overflow == SAFE["x-overflow"]:
        return
    asked = strategy == SAFE["x-dead-letter-strategy"]
    because = (
        f"it is to be at least once, but its overflow is {overflow or 'drop-head'}" if asked else "no strategy is set"
    )
    problem = f"its dead-lettering is at most once ({because}): what is under way when the broker is killed is lost"
    level = "note" if _wanted(seen, queue.name) else seen.level(queue.name)
    yield Finding(level, f"queue {queue.name}", problem, _fix(seen, queue))


def _wanted(seen: Snapshot, name: str) -> bool:
    """Whether the file itself has it so (`overflow: drop-head`)."""
    wanted = seen.planned.get(name)
    return wanted is not None and any(wanted.arguments.get(key) != value for key, value in SAFE.items())


def _fix(seen: Snapshot, queue: ObservedQueue) -> str:
    """A policy's `overflow` beats the argument of a quorum queue."""
    safe = {key.removeprefix("x-"): value for key, value in SAFE.items()}
    return set_policy(seen.vhost, queue.name, "safe", safe, seen.policy(queue))
