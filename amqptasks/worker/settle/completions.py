"""How the jobs of a node end: finished in a pool, ended from outside, or handed back. Link thread only, but for what
says otherwise."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from amqptasks.errors import WorkerLostError
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.tasks.outcomes import LOST, Crashed, Failure, Lost, Outcome, Reject, Throttled
from amqptasks.transport.guard import described
from amqptasks.worker.execute.lost_runs import has_outcome
from amqptasks.worker.job.admission import deliveries_before, failed_deliveries
from amqptasks.worker.job.job import Job
from amqptasks.worker.job.notifications import is_wanted, telling
from amqptasks.worker.job.settlement import giving_back, handing_back
from amqptasks.worker.pools.time_limits import TimeLimits
from amqptasks.worker.settle import Settler

if TYPE_CHECKING:
    from amqptasks.worker.node import Node

logger = get_logger(__name__)

#: Why a task is lost that cannot go back.
TOO_LATE = "it was acknowledged when it began (acks_late=False), and the worker stopped before it had ended"

#: Outcomes whose settlement is made of the delivery alone.
NEED_NO_REQUEST = frozenset({Lost, Throttled})


#: Times that a message is returned to the broker for nothing before it is published again instead: then the broker
#: counts from nothing.
MOST_RETURNS = 2


class Completions:
    """Brings jobs from where they end to the settler."""

    def __init__(self, node: Node, settler: Settler) -> None:
        self._node = node
        self._settler = settler
        self._finished: deque[Job] = deque()
        self._telling: set[Job] = set()  # settled jobs, whose hooks are still to run
        self._settling = False

    # From any thread

    def finished(self, job: Job) -> None:
        """A pool's thread is done with a job: one wake-up of the link for as many as come in the meantime."""
        self._finished.append(job)
        if not self._settling:
            self._wake()

    def all_finished(self, jobs: Sequence[Job]) -> None:
        """As `finished`, of several at once: the link sees all of them when it wakes up."""
        self._finished.extend(jobs)
        if not self._settling:
            self._wake()

    def begun(self, job: Job) -> None:
        """A pool's thread is about to run a task that is to be acknowledged before."""
        self._node.link.call_soon(lambda: self.ack_early(job))

    def _wake(self) -> None:
        self._settling = True
        self._node.link.call_soon(self._settle_or_again)

    # The link's thread

    @property
    def pending(self) -> bool:
        """True while something that has ended is still to be settled, or told of."""
        return bool(self._telling or self._finished or self._settler.pending)

    def ack_early(self, job: Job) -> None:
        """The task of this job is about to run, and is to be acknowledged before."""
        if not self._settler.ack_early(job):
            self._node.lost_runs.wants_ack(job)

    def conclude(self, job: Job, outcome: Outcome) -> None:
        """End a job that no pool has. Who wants to know of it is told in a pool, where the user's code may run."""
        steps = self._node.steps
        if job.settled:
            self.finished(job)
        elif type(outcome) in NEED_NO_REQUEST:
            steps.conclude(job, outcome)
            self.finished(job)
        else:
            plan, planned = partial(steps.conclude, job, outcome), partial(self._concluded, job, outcome)
            self._node.decisions.ask(job, plan, planned)

    def reject(self, job: Job, error: BaseException) -> None:
        """It raised on its way in: a dead letter, with what was raised. Raises nothing."""
        logger.error(
            "message %s of queue %s cannot be taken:\n%s",
            job.task_id,
            job.queue.name,
            described(error),
            extra={"action": "message_rejected", "queue": job.queue.name},
        )
        try:
            self.conclude(job, Reject("malformed", f"it cannot be taken: {type(error).__name__}"))
        except Exception as broken:
            self._concluded(job, LOST, broken)

    def _concluded(self, job: Job, outcome: Outcome, error: BaseException | None) -> None:
        if error is not None:  # back to its queue, where it is counted: nothing goes round for ever
            job.planned = replace(handing_back(job), verdict="reject", kind=Crashed.__name__)
        elif not job.settled and is_wanted(job):
            self._tell(job, outcome)
        self.finished(job)

    def end(self, job: Job, outcome: Outcome, *, force: bool) -> bool:
        """End `job` with this outcome. One that has begun is ended only with `force`; False when it has begun, or
        has ended, or cannot be ended by force."""
        pool = self._node.pools.of(job)
        if pool.withdraw(job):
            self.conclude(job, outcome)
            return True
        started = pool.started(job)
        if not force or not pool.kill(job):
            return False
        if job.settled:  # these were the hooks of one that was ended before
            self._told(job)
            return True
        queue = self._node.queues[job.delivery.queue]
        queue.held.discard(job)
        ended = self._in_place_of(job, started)
        queue.held.add(ended)
        self.conclude(ended, outcome)
        return True

    def _in_place_of(self, job: Job, started: float) -> Job:
        """Another job for the same delivery: whatever still runs may write to this one."""
        job.settled = True
        self._forget(job)
        ended = Job(job.delivery, job.queue)
        ended.acked, ended.lapsed = job.acked, job.lapsed
        if job.lapsed:
            self._node.lost_runs.replace(job, ended)
        ended.started, ended.runtime = started, monotonic() - started
        return ended

    def hand_back(self, job: Job) -> None:
        """It has not begun, and goes back to its queue."""
        self._node.dispatcher.throttle.forget(job)
        self.abandon(job)

    def give_back(self, job: Job) -> None:
        """It has not begun, and goes back to its queue for whoever has room for it. No delivery is counted. RabbitMQ
        4.3 returns a message for nothing, but counts how often it was taken (see `admission.MOST_ACQUISITIONS`)."""
        node = self._node
        queue = node.queues[job.delivery.queue]
        node.dispatcher.throttle.forget(job)
        node.limits.forget(job)
        queue.held.discard(job)
        capabilities = node.link.capabilities
        free = (
            capabilities is not None
            and capabilities.nack_is_free
            and job.queue.type == "quorum"
            and deliveries_before(job.delivery) - failed_deliveries(job.delivery) < MOST_RETURNS
        )
        job.planned = giving_back(job, free=free)
        self._settler.settle(job, queue)

    def abandon(self, job: Job) -> None:
        """It goes back to its queue, and may still run: its place goes back with the connection, once the process
        ends."""
        self._node.queues[job.delivery.queue].held.discard(job)
        self._node.limits.forget(job)
        self._settler.hand_back(job)

    def lose(self, job: Job) -> None:
        """It was acknowledged when it began, and the worker ends now: it cannot go back. What is to become of it is
        written, and nobody waits until the broker has it."""
        node, queue = self._node, self._node.queues[job.delivery.queue]
        queue.held.discard(job)
        if job.planned is None:  # else it has just ended
            letter = "" if job.queue.dead_letter is None else "; its dead letter is written, if the broker takes it"
            name, identity, action = job.task_name, job.task_id, "task_lost"
            logger.error("%s[%s] is lost: %s%s", name, identity, TOO_LATE, letter, extra={"action": action})
            job = self._in_place_of(job, node.pools.of(job).started(job) or monotonic())
            plan = partial(node.steps.conclude, job, Failure(WorkerLostError(TOO_LATE)))
            node.decisions.ask(job, plan, lambda _error: self._settler.settle(job, queue))
        else:
            self._settler.settle(job, queue)

    def _settle_or_again(self) -> None:
        self._settling = False
        try:
            self._settle_finished()
        except BaseException:
            if not self._settling:
                self._wake()  # for the others
            raise

    def _settle_finished(self) -> None:
        finished, queues, settle, forget = self._finished, self._node.queues, self._settler.settle, self._forget
        ended = self._node.waiting_calls.end
        for _ in range(len(finished)):
            job = finished.popleft()
            try:
                if job.settled:
                    self._told(job)
                    continue
                queue = queues[job.delivery.queue]
                queue.held.discard(job)
                forget(job)
                ended(job)
                if queue.follows is not None:
                    queue.follows.ended(job)
                if job.lapsed and not self._counts(job):
                    continue
                settle(job, queue)
            except Exception as error:
                self._give_up(job, error)

    def _give_up(self, job: Job, error: BaseException) -> None:
        """It raised on its way out: back to its queue, where it is counted."""
        told = {"action": "settle_failed", "task_id": job.task_id}
        logger.error("task %s cannot be settled as it ended:\n%s", job.task_id, described(error), extra=told)
        job.settled = True
        if not job.acked:
            job.delivery.lease.reject(job.delivery.tag)

    def drop(self, job: Job) -> None:
        """Settle a run whose lease is lost for good: nothing is written, and its end is told."""
        self._settler.settle(job, self._node.queues[job.delivery.queue])

    def _counts(self, job: Job) -> bool:
        """Whether a run that lost its lease is to be settled now: it has another one, or nothing is left to wait for.
        Else its outcome is kept until its message comes again; or its message is here, and runs once more."""
        lost_runs = self._node.lost_runs
        if not job.ours:
            return self._node.is_stopping or not lost_runs.ended(job)
        lost_runs.forget(job)
        if job.acked or has_outcome(job):
            return True
        job.settled = True
        lost_runs.saved -= 1
        self._node.dispatcher.deliveries([job.delivery])
        return False

    def _forget(self, job: Job) -> None:
        """It does not run any more."""
        node = self._node
        node.limits.forget(job)
        node.dispatcher.throttle.forget(job)

    def _tell(self, job: Job, outcome: Outcome) -> None:
        about = telling(job.delivery, job.queue, outcome, job.started, job.runtime)
        self._telling.add(about)
        assert job.task is not None
        limits = self._node.limits.of(about, job.delivery.shared_headers, job.task.options)
        if limits is not None:
            self._node.limits.watch(about, TimeLimits(hard=limits.hard))
        self._node.pools.of(about).submit([about])

    def _told(self, job: Job) -> None:
        """Its hooks have run, or were ended; or it was handed back while it ran."""
        self._telling.discard(job)
        self._forget(job)
