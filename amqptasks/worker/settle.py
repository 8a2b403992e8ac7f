"""settle -> report: the last steps of a delivery, on the link's thread. The only code that acks, nacks or republishes.

What must be safe elsewhere is published and confirmed first; then the delivery is acked. When that publish fails
(the dead-letter queue is full or gone, the broker is short of memory), the delivery stays unacked, its queue is
paused and the publish is tried again, until it succeeds, the worker stops and gives the message back, or the channel
dies and somebody else gets it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from amqptasks.errors import MessageTooLarge, PublishRejected, Unroutable
from amqptasks.transport import Link
from amqptasks.worker.dead_letters import without_foreign_headers
from amqptasks.worker.job import Job
from amqptasks.worker.outcomes import HAND_BACK, Recount
from amqptasks.worker.report import report
from amqptasks.worker.settlement import NACK, Settlement, Verdict

if TYPE_CHECKING:
    from amqptasks.worker.queues import ConsumedQueue

logger = logging.getLogger(__name__)

#: Seconds for one try to publish what a settlement needs. A broker that restarts is back within it; longer would
#: only delay the message about what is wrong.
PUBLISH_TIMEOUT = 30.0

#: Seconds between two tries; doubled up to the second figure.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0

#: Seconds after which an ack has left this process for certain: it takes one turn of the loop.
WRITTEN_WITHIN = 0.02


class Settler:
    """Settles the jobs of one worker."""

    def __init__(self, link: Link, missing: Callable[[], None]) -> None:
        self._link = link
        self._missing = missing
        self._blocked: set[_Publishing] = set()
        self._stopping = False
        self.counts: Counter[str] = Counter()
        self.pending = 0

    def stop(self) -> None:
        """From now on, what cannot be moved on goes back to its queue; nothing waits for better times."""
        self._stopping = True
        for publishing in list(self._blocked):
            publishing.give_up()

    def blocked(self, publishing: _Publishing, error: BaseException) -> bool:
        """True when this one is to be tried again."""
        if isinstance(error, Unroutable) or (isinstance(error, PublishRejected) and _is_absence(error)):
            self._missing()
        self._blocked.add(publishing)
        return not self._stopping

    def unblocked(self, publishing: _Publishing) -> None:
        self._blocked.discard(publishing)

    def settle(self, job: Job, queue: ConsumedQueue) -> None:
        """Everything that follows from the job's outcome."""
        if job.settled:  # handed back while it was still running
            return
        job.settled = True
        assert job.outcome is not None
        if not job.delivery.lease.alive:
            _report(job, "lost")
            self.counts["Lost"] += 1
            return
        planned = job.planned or NACK  # without a plan it was handed back by its pool
        if planned.onward is None and planned.answer is None:
            self._finish(job, planned.verdict)
        else:
            self.pending += 1
            if isinstance(job.outcome, Recount):
                queue.recounting += 1
            _Publishing(self, self._link, job, queue, planned).start()

    def hand_back(self, job: Job) -> None:
        """The worker stops; whatever the job is doing, the message is somebody else's from now on."""
        if not job.settled:
            job.settled = True
            job.outcome = HAND_BACK
            self._finish(job, "nack")

    def _finish(self, job: Job, verdict: Verdict) -> None:
        lease, tag = job.delivery.lease, job.delivery.tag
        if verdict == "ack":
            lease.ack(tag)
        elif verdict == "nack":
            lease.nack(tag)
        self.counts[type(job.outcome).__name__] += 1
        _report(job, "settled")

    def published(self, job: Job, queue: ConsumedQueue, verdict: Verdict) -> None:
        """All that the settlement needed is confirmed (or the lease ended, and nothing can be settled any more)."""
        self.pending -= 1
        self._finish(job, verdict)
        if isinstance(job.outcome, Recount):
            self._link.call_later(WRITTEN_WITHIN, queue.recounted)


class _Publishing:
    """The messages of one settlement, until they are confirmed."""

    def __init__(self, settler: Settler, link: Link, job: Job, queue: ConsumedQueue, planned: Settlement) -> None:
        self._settler = settler
        self._link = link
        self._job = job
        self._queue = queue
        self._planned = planned
        self._missing = 0
        self._pause = FIRST_PAUSE
        self._blocked = False
        self._ended = False

    def start(self) -> None:
        onward, answer = self._planned.onward, self._planned.answer
        self._missing = (onward is not None) + (answer is not None)
        if onward is not None:
            self._link.publish(onward, self._on_onward, PUBLISH_TIMEOUT)
        if answer is not None:
            self._link.publish(answer, self._on_answer, PUBLISH_TIMEOUT)

    def _on_onward(self, error: BaseException | None) -> None:
        if error is None:
            self._end()
        else:
            self._again(error)

    def give_up(self) -> None:
        """The message goes back to its queue instead."""
        if not self._ended:
            self._planned.verdict = "nack"
            self._job.outcome = HAND_BACK
            self._end()

    def _end(self) -> None:
        if self._ended:  # given up, while it was tried once more
            return
        self._ended = True
        self._settler.unblocked(self)
        if self._blocked:
            self._queue.unblock(self._job)
        self._done()

    def _on_answer(self, error: BaseException | None) -> None:
        if error is not None:
            logger.warning(
                "the reply of task %s could not be sent: %s", _id(self._job), error, extra={"action": "reply_failed"}
            )
        self._done()

    def _done(self) -> None:
        self._missing -= 1
        if self._missing == 0:
            self._settler.published(self._job, self._queue, self._planned.verdict)

    def _again(self, error: BaseException) -> None:
        onward = self._planned.onward
        assert onward is not None
        if isinstance(error, MessageTooLarge) or (isinstance(error, PublishRejected) and _is_about_the_bytes(error)):
            # These very bytes will never be taken; the message must not block its queue for ever.
            self._planned.onward = onward = without_foreign_headers(onward)
        if not self._job.delivery.lease.alive:
            self._end()
            return
        if not self._settler.blocked(self, error):
            self.give_up()
            return
        if not self._blocked:
            self._blocked = True
            self._queue.block(self._job, error)
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE)
        self._link.call_later(pause, self._publish_again)

    def _publish_again(self) -> None:
        if not self._job.delivery.lease.alive:  # somebody else has the message by now
            self._end()
        elif not self._ended:
            assert self._planned.onward is not None
            self._link.publish(self._planned.onward, self._on_onward, PUBLISH_TIMEOUT)


def _report(job: Job, end: Literal["settled", "lost"]) -> None:
    try:
        report(job, end)
    except Exception:  # a log handler or filter of the user's; the job is settled all the same
        logger.exception("the end of a task could not be reported")


def _is_about_the_bytes(error: PublishRejected) -> bool:
    """True unless the broker said what is missing: an exchange (404), a permission (403)."""
    return not error.reason.startswith(("403", "404"))


def _is_absence(error: PublishRejected) -> bool:
    return error.reason.startswith("404")


def _id(job: Job) -> str:
    return job.request.id if job.request is not None else "?"
