"""settle -> report: the last steps of a delivery, on the link's thread. The only code that acks, nacks or republishes.

What must be safe elsewhere is published and confirmed first; then the delivery is acked. When that publish fails
(the dead-letter queue is full or gone, the broker is short of memory), the delivery stays unacked, its queue is
paused and the publish is tried again, until it succeeds, the worker stops and gives the message back, or the channel
dies and somebody else gets it. Where only a delay queue refuses it, it waits alone, and its queue goes on.

A message that the broker will never take does not wait: it is settled otherwise, at once. In place of a next attempt
there is a dead letter with the reason, and the caller is told. In place of a dead letter there is a bare one, with the
essential headers alone. When that is refused, too, the broker itself dead-letters the message as it came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from amqptasks.messages.codec import PLAIN, Codec
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.transport import Link
from amqptasks.worker.job.job import Job
from amqptasks.worker.job.recorder import Recorder
from amqptasks.worker.job.report import log, lost, succeeded
from amqptasks.worker.job.settlement import Settlement, handing_back, without_delivery
from amqptasks.worker.settle.held_replies import HeldReplies
from amqptasks.worker.settle.publishing import SettlementPublishing
from amqptasks.worker.settle.refusals import is_absence
from amqptasks.worker.settle.storing import Storing

if TYPE_CHECKING:
    from amqptasks.worker.consume.consumer import ConsumedQueue

logger = get_logger(__name__)

#: Seconds for the confirm of what a settlement needs, before its queue is paused and the log says why. A broker that
#: restarts is back within it; longer would only delay the message about what is wrong.
PUBLISH_TIMEOUT = 30.0

#: Seconds after which a worker that stops gives up what the broker does not take, in an alarm or without a connection.
HOPELESS_WITHIN = 3.0

#: Seconds between two looks at what waits for its confirm.
LOOK_EVERY = 1.0

#: The kind of settlement of a task that succeeded.
SUCCESS = "Success"

#: The kind of settlement that sends a message round to be counted.
RECOUNT = "Recount"

#: Seconds after which an ack has left this process for certain: it takes one turn of the loop.
WRITTEN_WITHIN = 0.02


class Settler:
    """Settles the jobs of one worker."""

    def __init__(self, link: Link, missing: Callable[[], None], worker: str = "", codec: Codec = PLAIN) -> None:
        """`worker` is its name for dead letters, `codec` writes replies; `missing` hears that something which a message
        needs is not on the broker."""
        self._link = link
        self._missing = missing
        self.worker = worker
        self.codec = codec
        self._blocked: set[SettlementPublishing] = set()
        self._stopping = False
        self.counts: Counter[str] = Counter()
        #: Told of each job that is settled, and how.
        self.ended: Callable[[Job, Settlement], None] | None = None
        self.replies = HeldReplies(link, codec)
        #: Where the app has a result store.
        self.storing: Storing | None = None
        self.recorder: Recorder | None = None
        self._under_way: dict[SettlementPublishing, float] = {}
        self._looks = False
        self._stopped_at: float | None = None

    @property
    def pending(self) -> bool:
        """True while something is to be written."""
        return bool(self._under_way)

    def stop(self) -> None:
        """From now on, what cannot be moved on goes back to its queue; nothing waits for better times."""
        if self._stopping:
            return
        self._stopping = True
        self._stopped_at = monotonic()
        for publishing in list(self._blocked):
            publishing.give_up()

    def blocked(self, publishing: SettlementPublishing, error: BaseException) -> bool:
        """True when this one is to be tried again."""
        if is_absence(error):
            self._missing()
        self._blocked.add(publishing)
        return not self._stopping

    def unblocked(self, publishing: SettlementPublishing) -> None:
        self._blocked.discard(publishing)

    def settle(self, job: Job, queue: ConsumedQueue) -> None:
        """Everything that was planned for the job."""
        if job.settled:  # handed back while it was still running
            return
        job.settled = True
        if not job.ours:
            self.counts["Lost"] += 1
            log(lost(job))
            return
        planned = job.planned
        if planned is None:  # without a plan it was handed back by its pool
            planned = handing_back(job)
        if job.acked:
            planned = without_delivery(planned, job)
        if not planned.onward and planned.answer is None and not planned.followers and planned.record is None:
            self.finish(job, planned)
        else:
            if planned.kind == RECOUNT:
                queue.recounting += 1
            publishing = SettlementPublishing(self, self._link, job, queue, planned)
            self._under_way[publishing] = monotonic()
            if not self._looks:
                self._looks = True
                self._link.call_later(LOOK_EVERY, self._look)
            publishing.start()

    def _look(self) -> None:
        """What waits for its confirm for long holds up its queue, and in a stop its message goes back."""
        self.replies.look()
        now = monotonic()
        hopeless = self._link.blocked is not None or self._link.trouble is not None
        if self.storing is not None:
            self.storing.look(sum(publishing.is_storing for publishing in self._under_way))
            hopeless = hopeless or self.storing.is_down
        for publishing, since in list(self._under_way.items()):
            if self._stopped_at is None:
                if now - since >= PUBLISH_TIMEOUT:
                    publishing.late()
            elif now - max(since, self._stopped_at) >= (HOPELESS_WITHIN if hopeless else PUBLISH_TIMEOUT):
                publishing.give_up()
        self._looks = bool(self._under_way) or (self.storing is not None and self.storing.is_down)
        if self._looks:
            self._link.call_later(LOOK_EVERY, self._look)

    def ack_early(self, job: Job) -> bool:
        """The task of this job is about to run, and wants to be acknowledged before (`acks_late=False`). False where
        its lease is lost."""
        if job.settled or job.acked:
            return True
        if not job.delivery.lease.alive:
            return False
        job.acked = True
        job.delivery.lease.ack(job.delivery.tag)
        return True

    def hand_back(self, job: Job) -> None:
        """The worker stops; whatever the job is doing, the message is somebody else's from now on. Not for one that is
        acked."""
        if not job.settled:
            job.settled = True
            self.finish(job, handing_back(job))

    def finish(self, job: Job, planned: Settlement) -> None:
        """All that had to be safe is safe: the verdict."""
        lease, tag = job.delivery.lease, job.delivery.tag
        if not job.acked:
            if planned.verdict == "ack":
                lease.ack(tag)
            elif planned.verdict == "nack":
                lease.nack(tag)
            elif planned.verdict == "reject":
                lease.reject(tag)
            elif planned.verdict == "discard":
                lease.discard(tag)
        self.counts[planned.kind] += 1
        if planned.report is not None:
            log(planned.report)
        elif planned.kind == SUCCESS:
            succeeded(job)
        if self.ended is not None:
            self.ended(job, planned)

    def published(self, publishing: SettlementPublishing, job: Job, queue: ConsumedQueue, planned: Settlement) -> None:
        """All that the settlement needed is confirmed (or the lease ended, and nothing can be settled any more)."""
        self._under_way.pop(publishing, None)
        self.finish(job, planned)
        if planned.kind == RECOUNT:
            self._link.call_later(WRITTEN_WITHIN, queue.recounted)
