"""Runs a message alone in its process once it came back from two deaths: its task may be what kills processes.

Every message that a process holds when it dies counts a delivery. So a task that kills its process would take those
that run or wait beside it into the dead letters. A message whose count says that it may be such a task waits here until
nothing else is held: what has not begun goes back uncounted, what runs is waited for, nothing is taken meanwhile. Then
it runs. A pool of processes needs none of that: a task dies there with its own process. Link thread only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqptasks.messages.own_headers import DELIVERIES
from amqptasks.messages.protocol import task_name
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.untrusted.numbers import counted
from amqptasks.worker.job.admission import failed_deliveries
from amqptasks.worker.job.job import Job

if TYPE_CHECKING:
    from amqptasks.messages.delivery import Delivery
    from amqptasks.topology.topology import QueueSettings
    from amqptasks.worker.consume.consumer import ConsumedQueue
    from amqptasks.worker.node import Node

logger = get_logger(__name__)

#: Failed deliveries after which a message runs alone, where the broker counts failures alone.
SUSPECT_AFTER = 2

#: Seconds between two looks at whether nothing else is held.
LOOK = 0.02

#: Seconds in which the broker applies what was given back: a quorum queue that is busy takes a while, and drops what it
#: has not applied when the connection dies. See `subscription.APPLIED_WITHIN`.
APPLIED_WITHIN = 0.25


#: Seconds to wait for settlements that cannot be written now, because a dead-letter queue is full for example.
SETTLED_WITHIN = 30.0


def suspect_after(queue: QueueSettings, *, nack_is_free: bool) -> int:
    """Failed deliveries after which a message of this queue runs alone. Before RabbitMQ 4.3 a message that goes back
    because its worker stops counts as failed, so there it is half of the limit. One run alone is always left."""
    limit = queue.delivery_limit
    native = queue.most_deliveries - limit  # retries in the queue itself, which count there
    if limit <= 0:
        return SUSPECT_AFTER
    return native + max(1, min(SUSPECT_AFTER, limit - 1) if nack_is_free else limit // 2)


class Alone:
    """Of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._job: Job | None = None
        self._begun = False
        self._since = 0.0  # when it was taken, or ended
        self._held = 0.0  # when others were last held, or could come

    @property
    def job(self) -> Job | None:
        """The one that runs alone, or waits for that."""
        return self._job

    def takes(self, delivery: Delivery, queue: ConsumedQueue) -> bool:
        """Whether this delivery is not to go to a pool now: it is kept to run alone, or one is, and this goes back."""
        if self._job is not None:
            self._node.completions.give_back(queue.hold(delivery))
            return True
        if (delivery.redelivered or DELIVERIES in delivery.shared_headers) and self._is_suspect(delivery, queue):
            self._take(queue.hold(delivery), queue)
            return True
        if queue.is_probing:
            queue.take_more()
        return False

    def _is_suspect(self, delivery: Delivery, queue: ConsumedQueue) -> bool:
        node, settings = self._node, queue.settings
        capabilities = node.link.capabilities
        nack_is_free = capabilities is not None and capabilities.nack_is_free and settings.type == "quorum"
        failed, after = failed_deliveries(delivery), suspect_after(settings, nack_is_free=nack_is_free)
        limit = settings.most_deliveries
        if failed < after or (limit and failed >= max(limit, after + 1)):  # else its pool refuses it
            return False
        return node.pools.for_task(queue.name, task_name(delivery.shared_headers)) is not node.pools.named("prefork")

    def _take(self, job: Job, queue: ConsumedQueue) -> None:
        self._job, self._begun = job, False
        self._since = self._held = monotonic()
        for one in self._node.queues.values():
            one.stand_aside()
        logger.info(
            "%s[%s] was delivered %s and never settled: it runs alone now",
            job.task_name,
            job.task_id,
            counted(failed_deliveries(job.delivery), "time"),
            extra={"action": "runs_alone", "task_id": job.task_id, "queue": queue.name},
        )
        self._look()

    def _look(self) -> None:
        job, node = self._job, self._node
        if job is None:
            return
        is_held = any(one.delivery is job.delivery for one in node.held)
        if self._begun or not is_held:
            if is_held:
                self._since = monotonic()
            elif self._is_settled():
                self._over()
                return
        elif node.is_stopping:
            node.completions.hand_back(job)
        else:
            self._empty()
            is_empty = not any(one is not job for one in node.held) and self._is_settled()
            if not (is_empty and all(one.is_quiet for one in node.queues.values())):
                self._held = monotonic()
            elif monotonic() - self._held >= APPLIED_WITHIN:
                self._begun = True
                node.dispatcher.begin(job)
        node.link.call_later(LOOK, self._look)

    def _is_settled(self) -> bool:
        """Whether all that has ended is written."""
        return not self._node.completions.pending or monotonic() - self._since > SETTLED_WITHIN

    def _over(self) -> None:
        """Take others: one at first, for it may be the next that is to run alone."""
        self._job = None
        for queue in self._node.queues.values():
            queue.come_back()

    def _empty(self) -> None:
        """Give back all that has not begun."""
        for pool in self._node.pools:
            mine = pool.take_back()
            pool.submit([one for one in mine if one.settled or one.acked])
            for one in mine:
                if not (one.settled or one.acked):
                    self._node.completions.give_back(one)
