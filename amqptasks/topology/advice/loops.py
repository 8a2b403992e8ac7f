"""Dead letters that come back to the queue that gave them up."""

from __future__ import annotations

import re
from collections.abc import Iterator

from amqptasks.messages.outgoing import QUEUES_EXCHANGE
from amqptasks.topology.advice.advice import Advice, Subject
from amqptasks.topology.ask.reach import queues_reached
from amqptasks.topology.topology import DEAD
from amqptasks.transport.entities import Queue


def dead_letters_in_a_circle(subject: Subject) -> Iterator[Advice]:
    """The retry queues that this topology generates are left out: a worker counts how often a task passes them."""
    for queue in subject.topology.queues.values():
        circle = _circle(subject, queue.name)
        if circle and any(name in subject.topology.queues or name.endswith(DEAD) for name in circle[1:-1] or circle):
            expiring = all("x-message-ttl" in subject.queues[name].arguments for name in circle)
            ends = (
                "RabbitMQ drops a message that goes round by itself" if expiring else "a message can go round for ever"
            )
            problem = f"its dead letters come back to it: {' -> '.join(circle)}; {ends}"
            fix = "Let the last one keep them: no dead-letter exchange there"
            yield Advice("warning", "dead-letter-circle", ("queues", queue.name), problem, fix)


def _circle(subject: Subject, start: str) -> list[str]:
    """The first way by dead letters from a queue back to itself; empty where there is none."""
    ways: list[list[str]] = [[start]]
    seen: set[str] = set()
    while ways:
        way = ways.pop(0)
        for name in sorted(_dead_lettered_to(subject, way[-1])):
            if name == start:
                return [*way, name]
            if name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return []


def _dead_lettered_to(subject: Subject, name: str) -> set[str]:
    queue = subject.queues.get(name)
    if queue is None:
        return set()
    exchange, key = _target(subject, queue)
    if exchange is None:
        return set()
    if exchange in ("", QUEUES_EXCHANGE):
        return {key} if key is not None and key in subject.queues else set()
    return set(queues_reached(subject.topology, exchange, key))


def _target(subject: Subject, queue: Queue) -> tuple[str | None, str | None]:
    """Exchange and routing key of its dead letters: its arguments, else a policy's. No key: the message's own."""
    own = queue.arguments.get("x-dead-letter-exchange")
    if isinstance(own, str):
        key = queue.arguments.get("x-dead-letter-routing-key")
        return own, None if key is None else str(key)
    fitting = [
        policy
        for policy in subject.topology.policies
        if "dead-letter-exchange" in policy.definition and re.search(policy.pattern, queue.name)
    ]
    policy = max(fitting, key=lambda one: one.priority, default=None)
    if policy is None:
        return None, None
    key = policy.definition.get("dead-letter-routing-key")
    return str(policy.definition["dead-letter-exchange"]), None if key is None else str(key)
