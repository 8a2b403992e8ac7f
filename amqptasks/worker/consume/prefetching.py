"""Lets the prefetch of each queue follow its tasks, and gives back what is held in vain. Link thread only."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.untrusted.numbers import counted
from amqptasks.worker.consume.prefetch import HOLD, LEAST, TOO_MUCH, Prefetch
from amqptasks.worker.job.job import Job

if TYPE_CHECKING:
    from amqptasks.worker.consume.consumer import ConsumedQueue
    from amqptasks.worker.node import Node

logger = get_logger(__name__)

#: Seconds between two looks.
LOOK = 0.1

#: Seconds between two times that messages of a queue go back, at first and at the most. Where no other worker takes
#: them, they come here again: so each time waits twice as long for the next.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0

#: Messages that must have been settled between two looks to say what one costs the link's thread: it has other work,
#: too.
ENOUGH = 20

#: Seconds without too much held after which the first pause counts again.
FORGET_AFTER = 120.0


class Moving:
    """What a message costs the link's thread: to receive, hand over, settle. The messages of all queues come and go
    through that one thread. So what is held of one queue keeps those of the others waiting for this time each."""

    def __init__(self) -> None:
        self._used = self._count = 0.0
        self._cost = 0.0

    def look(self, used: float, count: int) -> float:
        """Seconds for each. `used` are the seconds of CPU that the thread has used, `count` the messages that were
        settled, both since it began."""
        spent, settled = used - self._used, count - self._count
        self._used, self._count = used, count
        if settled >= ENOUGH:
            cost = spent / settled
            self._cost = (self._cost + cost) / 2 if self._cost else cost
        return self._cost


class Prefetching:
    """Of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._pauses: dict[str, tuple[float, float]] = {}  # by queue: until when nothing goes back, and the pause
        self._moving = Moving()

    def begin(self) -> None:
        """Look from now on, until the worker stops."""
        self._node.link.call_later(LOOK, self._look)

    def _look(self) -> None:
        if self._node.is_stopping:
            return
        try:
            self._look_at_all()
        finally:
            self.begin()

    def _look_at_all(self) -> None:
        now = monotonic()
        moving = self._moving.look(time.thread_time(), self._node.counts.total())
        followed = [queue for queue in self._node.queues.values() if queue.follows is not None and queue.consuming]
        if not followed:
            return
        running = [job for pool in self._node.pools for job in pool.current()] if any(q.held for q in followed) else []
        for queue in followed:
            prefetch = queue.follows
            assert prefetch is not None
            ran = self._longest(job for job in running if job in queue.held)
            longest = max(ran.values(), default=0.0)
            queue.resize(prefetch.look(now, len(queue.held), longest, moving))
            too_many = len(queue.held) > prefetch.size <= LEAST * prefetch.at_once
            if too_many and self._may_give_back(queue.name, now):
                self._lighten(queue, prefetch, ran, set(running), now)

    def _longest(self, jobs: Iterable[Job]) -> dict[str, float]:
        """By task name, how long the longest of these runs has taken."""
        now, found = monotonic(), dict[str, float]()
        for job in jobs:
            began = self._node.pools.of(job).started(job)
            if began:
                found[job.task_name] = max(found.get(job.task_name, 0.0), now - began)
        return found

    def _may_give_back(self, queue: str, now: float) -> bool:
        until = self._pauses.get(queue, (0.0, 0.0))[0]
        if now > until + FORGET_AFTER:
            self._pauses.pop(queue, None)
        return now >= until

    def _lighten(
        self, queue: ConsumedQueue, prefetch: Prefetch, ran: dict[str, float], running: set[Job], now: float
    ) -> None:
        """Give back what cannot be run soon, where there is too much of it: the last that came, first."""
        waiting = sorted((job for job in queue.held if job not in running), key=lambda job: job.delivery.tag)
        costs = [prefetch.cost(job.task_name, ran.get(job.task_name, 0.0)) / prefetch.at_once for job in waiting]
        if sum(costs) <= TOO_MUCH * HOLD:
            before = self._pauses.get(queue.name, (0.0, FIRST_PAUSE / 2))[1]
            self._pauses[queue.name] = (now + FIRST_PAUSE, before)
            return
        kept, work = set[Job](), 0.0
        for job, cost in zip(waiting, costs, strict=True):
            work += cost
            if work > HOLD:
                break
            kept.add(job)
        surplus = set(waiting) - kept
        pause = min(LONGEST_PAUSE, 2 * self._pauses.get(queue.name, (0.0, FIRST_PAUSE / 2))[1])
        self._pauses[queue.name] = (now + pause, pause)
        given = 0
        for pool in self._node.pools:
            mine = pool.take_back()
            back = [job for job in mine if job in surplus and not job.settled and not job.acked]
            pool.submit([job for job in mine if job not in set(back)])
            for job in back:
                self._node.completions.give_back(job)
            given += len(back)
        if given:
            logger.debug(
                "%s back to queue %s: there is no room here",
                counted(given, "message goes", "messages go"),
                queue.name,
                extra={"action": "given_back", "queue": queue.name},
            )
