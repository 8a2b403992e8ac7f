"""Queues whose dead letters have nowhere to go, or whose way there is blocked."""

from __future__ import annotations

from collections.abc import Iterator

from amqptasks.doctor.commands import amqptasks, dead_list, set_policy
from amqptasks.doctor.finding import Finding
from amqptasks.doctor.snapshot import Snapshot
from amqptasks.messages.outgoing import QUEUES_EXCHANGE
from amqptasks.topology.ask.reach import topic_matches
from amqptasks.topology.broker.observed import Observed, ObservedQueue
from amqptasks.topology.topology import DEAD


def dead_letter_targets(seen: Snapshot) -> Iterator[Finding]:
    observed = seen.observed
    if observed is None:
        return
    untargeted = []
    for queue in seen.queues:
        exchange = seen.setting(queue, "dead-letter-exchange")
        if exchange is None:
            untargeted.append(queue.name)
            continue
        key = seen.setting(queue, "dead-letter-routing-key")
        level = seen.level(queue.name)
        missing = _missing(seen, observed, str(exchange), None if key is None else str(key))
        if missing is not None:
            waits = seen.setting(queue, "dead-letter-strategy") == "at-least-once"
            then = (
                "its dead letters stay in it and are tried every 180 seconds" if waits else "its dead letters are lost"
            )
            yield Finding(level, f"queue {queue.name}", f"{missing}: {then}", _fix(seen, queue, str(exchange)))
            continue
        full = _full(seen, observed, str(exchange), None if key is None else str(key))
        if full is not None:
            problem = f"the queue {full} that takes its dead letters is full"
            yield Finding(level, f"queue {queue.name}", problem, dead_list(seen.app, full, seen.names))
    for queue in seen.tasks_queues:
        if queue.name in untargeted:
            yield from _none(seen, queue)


def _none(seen: Snapshot, queue: ObservedQueue) -> Iterator[Finding]:
    """A queue of the topology may have none on the broker, and its workers dead-letter all the same (`exact`)."""
    name = queue.name
    settings = None if seen.topology is None else seen.topology.queues.get(name)
    if settings is None:
        if name in seen.overridden:  # a policy of its own would hide the one that is to be mended first
            return
        definition = {"dead-letter-exchange": "", "dead-letter-routing-key": f"{name}{DEAD}"}
        policy = set_policy(seen.vhost, name, "dead", definition, seen.policy(queue))
        fix = f"declare a queue {name}.dead, then {policy}"
    elif settings.dead_letter is None:
        fix = f"remove `dead_letter: false` from the file, then {amqptasks(seen.app, 'migrate', name)}"
    else:
        return
    problem = "it has no dead-letter target: what expires, or is delivered too often, is dropped"
    yield Finding("note", f"queue {name}", problem, fix)


def _missing(seen: Snapshot, observed: Observed, exchange: str, key: str | None) -> str | None:
    """What is missing on the way, in words. Without a key, messages keep theirs, and any binding may be the one."""
    if exchange == "":
        known = key is None or key in observed.queues
        return None if known else f"the queue {key} for its dead letters does not exist"
    found = observed.exchanges.get(exchange)
    if found is None:
        return f"the exchange {exchange} for its dead letters does not exist"
    if found.arguments.get("alternate-exchange") is not None:
        return None
    if exchange not in seen.bindings:
        return f"nothing is bound to the exchange {exchange} for its dead letters"
    keys = seen.keys_bound[exchange]
    if key is None or found.type not in ("direct", "topic") or key in keys:
        return None
    if found.type == "topic" and any(topic_matches(pattern, key) for pattern in keys):
        return None
    return f"nothing is bound to the exchange {exchange} with its routing key {key}"


def _fix(seen: Snapshot, queue: ObservedQueue, exchange: str) -> str:
    if seen.topology is not None and queue.name in seen.planned:
        return amqptasks(seen.app, "declare")
    return (
        f"declare the exchange {exchange or QUEUES_EXCHANGE} and bind a queue to it: amqptasks declare FILE does both"
    )


def _full(seen: Snapshot, observed: Observed, exchange: str, key: str | None) -> str | None:
    """A queue that refuses, where the way leads to one by name."""
    if key is None or exchange not in ("", QUEUES_EXCHANGE):
        return None
    target = observed.queues.get(key)
    most = None if target is None else seen.setting(target, "max-length")
    if target is None or not isinstance(most, int) or seen.setting(target, "overflow") in (None, "drop-head"):
        return None
    return target.name if (target.messages or 0) >= most else None
