"""Delayed messages that found nobody, or that do not get on."""

from __future__ import annotations

from collections.abc import Iterator

from amqptasks.doctor.commands import amqptasks
from amqptasks.doctor.finding import Finding
from amqptasks.doctor.snapshot import Snapshot
from amqptasks.topology.delays import LOST, PREFIX, ROOM, ROOM_OF
from amqptasks.topology.plan.drift import OWN
from amqptasks.untrusted.numbers import counted

#: The slots of a rung for messages on their way to the next place (`dead_letter_worker_consumer_prefetch`). Fewer are
#: under way in any ladder that is used; all of them taken means that the next place does not take them.
SLOTS = 32


def delays(seen: Snapshot) -> Iterator[Finding]:
    state = seen.states.get(LOST)
    lost = None if seen.observed is None else seen.observed.queues.get(LOST)
    messages = state.messages if state is not None else (lost.messages or 0) if lost is not None else 0
    if messages:
        problem = f"{counted(messages, 'delayed message')} found no queue when due"
        fix = f"declare their queues, then amqptasks dead replay {LOST} --all"
        yield Finding("wrong", f"queue {LOST}", problem, fix)
    for name, length in sorted(seen.lengths.items()):
        if length.leaving and _waits(seen, name) and (length.leaving >= SLOTS or _cut(seen, name)):
            queue = _queue_behind(seen, name)
            if queue is not None:
                problem = (
                    f"{counted(length.leaving, 'delayed task is', 'delayed tasks are')} due, and it takes none of"
                    " them: it is full, or gone"
                )
                fix = "consume it, or raise what bounds it; RabbitMQ tries again every 180 seconds"
                yield Finding("wrong", f"queue {queue}", problem, fix)
                continue
            problem = (
                f"{counted(length.leaving, 'message is', 'messages are')} due and cannot leave it: what comes next is"
                " full, or gone"
            )
            yield Finding("wrong", f"queue {name}", problem, _fix(seen, name))


def _queue_behind(seen: Snapshot, name: str) -> str | None:
    """The queue that `name` is the room of."""
    found = None if seen.observed is None else seen.observed.queues.get(name)
    queue = None if found is None or not name.startswith(ROOM) else found.queue.arguments.get(ROOM_OF)
    return queue if isinstance(queue, str) else None


def _fix(seen: Snapshot, name: str) -> str:
    if name.startswith(OWN) or name in seen.planned:
        return f"{amqptasks(seen.app, 'declare')}; RabbitMQ tries again every 180 seconds"
    return "declare its dead-letter exchange with a queue; RabbitMQ tries again every 180 seconds"


def _waits(seen: Snapshot, name: str) -> bool:
    queue = None if seen.observed is None else seen.observed.queues.get(name)
    return name.startswith(PREFIX) or (queue is not None and seen.waits(queue))


def _cut(seen: Snapshot, name: str) -> bool:
    """Whether the exchange that it leads to is gone."""
    queue = None if seen.observed is None else seen.observed.queues.get(name)
    if queue is None or seen.observed is None:
        return False
    exchange = seen.setting(queue, "dead-letter-exchange")
    return exchange not in (None, "") and exchange not in seen.observed.exchanges
