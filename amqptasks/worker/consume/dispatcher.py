"""The way of deliveries from the broker to the pools. Link thread only.

Each is refused, held by its limits, or given to its task's pool; those of one turn of the loop go there together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from amqptasks.messages import protocol
from amqptasks.messages.delivery import Delivery, Lease
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.tasks.outcomes import LOST, Outcome
from amqptasks.worker.consume.alone import Alone
from amqptasks.worker.consume.long_runs import lease_expired, log_long_runs
from amqptasks.worker.consume.revocation_barrier import RevocationBarrier
from amqptasks.worker.job.admission import failed_deliveries
from amqptasks.worker.job.job import Job
from amqptasks.worker.limits.throttle import Throttle
from amqptasks.worker.limits.tokens import Tokens
from amqptasks.worker.pools import Pool

if TYPE_CHECKING:
    from amqptasks.tasks.task import Task
    from amqptasks.worker.consume.consumer import ConsumedQueue
    from amqptasks.worker.consume.prefetch import Prefetch
    from amqptasks.worker.node import Node

logger = get_logger(__name__)

#: Seconds between two looks at whether a message that went round to be counted is acked.
RECOUNT_POLL = 0.02

#: Seconds before a pool is asked again that could take nothing.
SUBMIT_AGAIN = 1.0


@dataclass(frozen=True, slots=True)
class _Way:
    """Where the messages of one batch for one task go: `limited` where the task's limits are to be asked first,
    `watched` where each run has a limit of time, whatever its message says."""

    task: Task[..., Any] | None
    pool: Pool
    limited: bool
    watched: bool


class Dispatcher:
    """Listens to the subscriptions of a node's queues; see `transport.Listener`."""

    def __init__(self, node: Node) -> None:
        self._node = node
        #: Asked for each delivery: an outcome ends it here, None lets it run.
        self.refusals: list[Callable[[Delivery], Outcome | None]] = []
        app, link, conclude = node.app, node.link, node.completions.conclude
        self.barrier = RevocationBarrier(link, self.deliveries, lambda: node.control.revocations.wait or "")
        longest = app.topology.longest_delay
        tokens = Tokens(app, link)
        self.throttle = Throttle(link, node.steps, node.decisions, tokens, longest, self._begin, conclude)
        self._unsubmitted: dict[Pool, list[Job]] = {}
        self.alone = Alone(node)

    def deliveries(self, batch: list[Delivery]) -> None:
        if not self._node.lost_runs.is_empty:
            batch = [delivery for delivery in batch if not self._is_taken_over(delivery)]
        if batch:
            self._take(batch)

    def _take(self, batch: list[Delivery]) -> None:
        node = self._node
        if self.barrier.is_shut and not node.is_stopping:
            self.barrier.hold(batch)
            return
        queue = node.queues[batch[0].queue]
        if queue.recounting and not node.is_stopping:
            # It may be the counted copy of a message that kills us, and that we have not acked yet: run now, there
            # would be two of it.
            node.link.call_later(RECOUNT_POLL, lambda: self.deliveries(batch))
            return
        if node.is_stopping or queue.cancelled:
            for delivery in batch:
                node.completions.hand_back(queue.hold(delivery))
            return
        if queue.follows is not None:
            capabilities = node.link.capabilities
            is_free = capabilities is None or capabilities.nack_is_free
            _note(queue, queue.follows, batch, 0 if is_free else 1)
        for pool, jobs in self._shares(queue, batch).items():
            self._submit(pool, jobs)

    def _shares(self, queue: ConsumedQueue, batch: list[Delivery]) -> dict[Pool, list[Job]]:
        """What each pool gets of a batch. What is refused, limited, or cannot be taken is taken care of."""
        node, takes = self._node, self.alone.takes
        shares: dict[Pool, list[Job]] = {}
        deliveries = iter(batch)
        delivery = batch[0]
        left = True
        while left:  # once more for each delivery that raises: the rest of the batch goes on
            name, way = None, self._way(queue, None)
            try:
                for delivery in deliveries:
                    if takes(delivery, queue):
                        continue
                    job = queue.hold(delivery)
                    if node.events is not None:
                        node.events.received(job)
                    if self.refusals and (refused := self._refused(delivery)) is not None:
                        node.completions.conclude(job, refused)
                        continue
                    headers = delivery.shared_headers
                    if headers.get("task") != name:
                        name = protocol.task_name(headers)
                        way = self._way(queue, name)
                    if way.limited and way.task is not None and not self.throttle.admits(job, way.task):
                        continue
                    if way.watched or "timelimit" in headers:
                        self._watch(job, way.task)
                    shares.setdefault(way.pool, []).append(job)
                left = False
            except Exception as error:
                found = (job for job in queue.held if job.delivery is delivery)
                node.completions.reject(next(found, None) or queue.hold(delivery), error)
        return shares

    def take_back(self) -> list[Job]:
        """The jobs that no pool could take yet."""
        taken = [job for jobs in self._unsubmitted.values() for job in jobs]
        self._unsubmitted.clear()
        return taken

    def _submit(self, pool: Pool, jobs: list[Job]) -> None:
        """Those that a pool cannot take now, say for want of descriptors, wait here for it, in their order."""
        waiting = self._unsubmitted.get(pool)
        if waiting is not None:
            waiting.extend(jobs)
            return
        try:
            pool.submit(jobs)
        except Exception as error:
            from amqptasks.worker.consume.waits import POOL_STARTS

            self._unsubmitted[pool] = list(jobs)
            why = f"a pool can take no tasks now: {error}"
            self._node.waits.begin(POOL_STARTS, why, key=id(pool))
            logger.error("%s; trying again", why, extra={"action": "pool_waits"})  # noqa: TRY400
            self._node.link.call_later(SUBMIT_AGAIN, lambda: self._submit_again(pool))

    def _submit_again(self, pool: Pool) -> None:
        from amqptasks.worker.consume.waits import POOL_STARTS

        jobs = [job for job in self._unsubmitted.pop(pool, ()) if job in self._node.queues[job.delivery.queue].held]
        self._node.waits.end(POOL_STARTS, key=id(pool))
        if jobs:
            self._submit(pool, jobs)

    def _way(self, queue: ConsumedQueue, name: str | None) -> _Way:
        node = self._node
        task = None if name is None else node.app.tasks.get(name)
        limited = task is not None and bool(task.limits or self.throttle.rates)
        watched = node.limits.concern(name, None if task is None else task.options)
        return _Way(task, node.pools.for_task(queue.name, name), limited, watched)

    def lost(self, lease: Lease, reason: str) -> None:  # noqa: ARG002 - a listener's signature
        node = self._node
        for queue in node.queues.values():
            runs = [job for job in queue.held if not job.ours and self._runs_on(job)]
            queue.forget_lost()
            if runs and lease_expired(reason):
                log_long_runs(runs, node.pools, queue.settings)
        if not node.is_stopping:
            node.control.revocations.catch_up()
            logger.warning("deliveries are lost, others will get them: %s", reason, extra={"action": "lease_lost"})

    def consuming(self, lease: Lease) -> None:  # noqa: ARG002 - a listener's signature
        queues = self._node.queues.values()
        if self._node.consumers.ready and not any(queue.is_aside or queue.is_probing for queue in queues):
            self._node.consuming()

    def unavailable(self, queue: str, reason: str) -> None:
        logger.warning(
            "queue %s cannot be consumed now: %s", queue, reason, extra={"action": "queue_unavailable", "queue": queue}
        )
        self._node.declare_soon()

    def _runs_on(self, job: Job) -> bool:
        """Of a job that lost its lease: whether it runs."""
        node = self._node
        pool = node.pools.of(job)
        if pool.withdraw(job):  # it would run here besides where the broker gives it next
            node.completions.conclude(job, LOST)
            return False
        job.lapsed = True
        runs = pool.lose(job)
        if runs:
            node.lost_runs.add(job)
        return runs

    def _is_taken_over(self, delivery: Delivery) -> bool:
        """Whether this is the message of a run that lost its lease: then it is settled with the outcome of that run."""
        node = self._node
        taken = node.lost_runs.take(delivery)
        if taken is None:
            return False
        job, has_ended = taken
        node.queues[delivery.queue].held.add(job)
        if has_ended:
            node.completions.finished(job)
            return True
        node.pools.of(job).regain(job)
        if node.lost_runs.is_to_be_acked(job):
            node.completions.ack_early(job)
        logger.info(
            "%s[%s] is delivered again while it runs: the run goes on, and its outcome counts",
            job.task_name,
            job.task_id,
            extra={"action": "lease_taken_over", "task_id": job.task_id, "queue": delivery.queue},
        )
        return True

    def _watch(self, job: Job, task: Task[..., Any] | None) -> None:
        limits = self._node.limits
        limited = limits.of(job, job.delivery.shared_headers, None if task is None else task.options)
        if limited is not None:
            limits.watch(job, limited)

    def begin(self, job: Job) -> None:
        """A job of `alone` is to run now."""
        task = self._node.app.tasks.get(job.task_name)
        if self._node.events is not None:
            self._node.events.received(job)
        limited = task is not None and bool(task.limits or self.throttle.rates)
        if not limited or task is None or self.throttle.admits(job, task):
            self._begin(job)

    def _begin(self, job: Job) -> None:
        """Its limits let a job run that they held for a moment."""
        node = self._node
        queue = node.queues[job.delivery.queue]
        if job not in queue.held:  # given back, or its channel is gone
            self.throttle.forget(job)
            return
        if node.is_stopping or queue.cancelled:
            node.completions.hand_back(job)
        elif (refused := self._refused(job.delivery)) is not None:
            node.completions.conclude(job, refused)
        else:
            self._watch(job, node.app.tasks.get(job.task_name))
            self._submit(node.pools.of(job), [job])

    def _refused(self, delivery: Delivery) -> Outcome | None:
        for refuse in self.refusals:
            outcome = refuse(delivery)
            if outcome is not None:
                return outcome
        return None


def _note(queue: ConsumedQueue, follows: Prefetch, batch: Sequence[Delivery], counted: int) -> None:
    """What a prefetch that follows its tasks is to know of what came. So many failed deliveries (`counted`) may be due
    to the prefetch itself: each change cancels a consumer, and before 4.3 RabbitMQ counts what was on its way to it."""
    follows.held(len(queue.held) + len(batch))
    if any(delivery.redelivered and failed_deliveries(delivery) > counted for delivery in batch):
        follows.came_back(monotonic())
        queue.resize(follows.at_once)
