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

from amqptasks import message
from amqptasks.codec import PLAIN, Codec
from amqptasks.errors import Nacked
from amqptasks.log_queue import get_logger
from amqptasks.outgoing import Outgoing
from amqptasks.transport import Done, Link
from amqptasks.worker.dead_letters import bare
from amqptasks.worker.job import Job
from amqptasks.worker.outcomes import Postpone, Retry, Snooze, Throttled
from amqptasks.worker.report import log, lost, succeeded, vanished
from amqptasks.worker.settle.onward import LONGEST_PAUSE, Onward
from amqptasks.worker.settle.refusals import is_about_the_bytes, is_absence, is_lasting, is_the_body
from amqptasks.worker.settlement import (
    BEGIN_AGAIN,
    Settlement,
    given_up,
    handing_back,
    reply_too_large,
    unpublishable,
    without_delivery,
)

if TYPE_CHECKING:
    from amqptasks.worker.queues import ConsumedQueue

logger = get_logger(__name__)

#: Seconds for one try to publish what a settlement needs. A broker that restarts is back within it; longer would
#: only delay the message about what is wrong.
PUBLISH_TIMEOUT = 30.0

#: The kind of settlement of a task that succeeded.
SUCCESS = "Success"

#: Seconds between two tries at most for what a full delay queue refused: there is room in it again any moment.
LONGEST_WAIT = 5.0

#: Kinds that wait on the broker before their task runs again.
DELAYED = frozenset(kind.__name__ for kind in (Postpone, Retry, Snooze, Throttled))

#: The kind of settlement that sends a message round to be counted.
RECOUNT = "Recount"

#: Characters of a dead letter's detail; see `dead_letters` for the limit that it keeps.
DETAIL_SIZE = 1024

#: Tries to publish a task that follows on this one (a link, the next step of a chain) before this one becomes a dead
#: letter instead: where it leads is the caller's choice, and a wrong one must not hold up a queue for ever. So many for
#: a next attempt, too, where an exchange or a queue is missing that declaring does not bring back.
MOST_TRIES = 5

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
        self._blocked: set[_Publishing] = set()
        self._stopping = False
        self.counts: Counter[str] = Counter()
        #: Told of each job that is settled, and how.
        self.ended: Callable[[Job, Settlement], None] | None = None
        self.pending = 0

    def stop(self) -> None:
        """From now on, what cannot be moved on goes back to its queue; nothing waits for better times."""
        if self._stopping:
            return
        self._stopping = True
        for publishing in list(self._blocked):
            publishing.give_up()

    def blocked(self, publishing: _Publishing, error: BaseException) -> bool:
        """True when this one is to be tried again."""
        if is_absence(error):
            self._missing()
        self._blocked.add(publishing)
        return not self._stopping

    def unblocked(self, publishing: _Publishing) -> None:
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
        if not planned.onward and planned.answer is None and not planned.followers:
            self.finish(job, planned)
        else:
            self.pending += 1
            if planned.kind == RECOUNT:
                queue.recounting += 1
            _Publishing(self, self._link, job, queue, planned).start()

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

    def published(self, job: Job, queue: ConsumedQueue, planned: Settlement) -> None:
        """All that the settlement needed is confirmed (or the lease ended, and nothing can be settled any more)."""
        self.pending -= 1
        self.finish(job, planned)
        if planned.kind == RECOUNT:
            self._link.call_later(WRITTEN_WITHIN, queue.recounted)


class _Publishing:
    """The messages of one settlement, until they are confirmed."""

    def __init__(self, settler: Settler, link: Link, job: Job, queue: ConsumedQueue, planned: Settlement) -> None:
        self._settler = settler
        self._link = link
        self._job = job
        self._queue = queue
        self._planned = planned
        self._onward = [Onward(outgoing) for outgoing in planned.onward]
        self._onward += [Onward(outgoing, follower=True) for outgoing in planned.followers]
        self._answered = planned.answer is None
        self._blocked = False
        self._waiting = False
        self._settled = False
        self._is_last_try = False

    def start(self) -> None:
        for onward in list(self._onward):
            self._publish(onward)
        self._answer(self._on_answer)

    def give_up(self) -> None:
        """The message goes back to its queue instead. One that was acknowledged before cannot: what else there is for
        it is tried once."""
        if not self._onward:
            return
        if not self._job.acked:
            self._planned = handing_back(self._job)
            self._abandon()
            return
        instead = None if self._is_last_try else self._instead()
        self._is_last_try = True
        if instead is None:
            self._planned = _vanishing(self._job)
            self._abandon()
        else:
            self._onward = [Onward(instead)]
            self._publish(self._onward[0])

    def _instead(self) -> Outgoing | None:
        """Its call once more where its task is to begin again anyway; a dead letter where what follows on it is lost.
        None where it has ended: who acknowledges early wants nothing to run twice."""
        if self._planned.kind in BEGIN_AGAIN:
            self._planned = without_delivery(handing_back(self._job), self._job)
            return self._planned.onward[0]
        return self._letter("what should follow on it could not be published before its worker stopped")

    def _publish(self, onward: Onward) -> None:
        if onward not in self._onward:  # given up, while it waited
            return
        if not self._job.ours:  # somebody else has the message by now
            self._abandon()
            return
        onward.tries += 1
        self._link.publish(onward.message, lambda error: self._on_onward(onward, error), PUBLISH_TIMEOUT)

    def _on_onward(self, onward: Onward, error: BaseException | None) -> None:
        if onward not in self._onward:
            return
        if error is None:
            self._remove(onward)
        elif onward.follower and (is_lasting(error) or onward.tries >= MOST_TRIES):
            self._give_up_follower(onward, error)
        elif is_about_the_bytes(error) or (self._is_stuck and is_lasting(error) and onward.tries >= MOST_TRIES):
            self._settle_otherwise(onward, error)
        else:
            self._again(onward, error)

    def _remove(self, onward: Onward) -> None:
        self._onward.remove(onward)
        if not self._onward:
            self._end()

    def _abandon(self) -> None:
        self._onward.clear()
        self._end()

    def _end(self) -> None:
        self._settler.unblocked(self)
        if self._blocked:
            self._blocked = False
            self._queue.unblock(self._job)
        if self._waiting:
            self._waiting = False
            self._queue.has_room(self._job)
        self._done()

    def _answer(self, done: Done) -> None:
        if self._planned.answer is not None:
            self._answered = False
            self._link.publish(self._planned.answer, done, PUBLISH_TIMEOUT)

    def _on_answer(self, error: BaseException | None) -> None:
        answer = self._planned.answer
        if error is not None and answer is not None and is_about_the_bytes(error):
            logger.warning(
                "%s[%s] its reply is refused, so the caller gets a failure that says so: %s",
                self._job.task_name,
                self._job.task_id,
                error,
                extra={"action": "reply_too_large"},
            )
            serializer = self._settler.codec.for_reply(self._job.delivery.properties)
            answer.body = reply_too_large(self._job.task_id, len(answer.body), str(error), serializer)
            self._answer(self._on_last_answer)
        else:
            self._on_last_answer(error)

    def _on_last_answer(self, error: BaseException | None) -> None:
        if error is not None:
            logger.warning(
                "%s[%s] its reply could not be sent: %s",
                self._job.task_name,
                self._job.task_id,
                error,
                extra={"action": "reply_failed"},
            )
        self._answered = True
        self._done()

    def _done(self) -> None:
        if self._answered and not self._onward and not self._settled:
            self._settled = True
            self._settler.published(self._job, self._queue, self._planned)

    def _again(self, onward: Onward, error: BaseException) -> None:
        if not self._job.ours:
            self._abandon()
            return
        if not self._settler.blocked(self, error):
            self.give_up()
            return
        longest = LONGEST_PAUSE
        if self._blocked or not self._waits_alone(error):
            self._block(error)
        else:
            self._waiting = True
            longest = LONGEST_WAIT
        pause, onward.pause = onward.pause, min(onward.pause * 2, longest)
        self._link.call_later(pause, lambda: self._publish(onward))

    def _waits_alone(self, error: BaseException) -> bool:
        """Whether this one alone waits, and its queue goes on: where the delay queue that it is for is full or missing.
        That says nothing of other tasks."""
        return (
            self._planned.kind in DELAYED
            and (isinstance(error, Nacked) or is_absence(error))
            and self._queue.wait_for_room(self._job, error)
        )

    def _block(self, error: BaseException) -> None:
        if not self._blocked:
            self._blocked = True
            self._queue.block(self._job, error)

    @property
    def _is_stuck(self) -> bool:
        """True for a next attempt that holds up its queue."""
        return self._begins_again and not self._waiting

    @property
    def _begins_again(self) -> bool:
        """True for what is no dead letter: a next attempt, or a message that goes round."""
        return self._planned.kind in BEGIN_AGAIN

    def _settle_otherwise(self, onward: Onward, error: BaseException) -> None:
        """The broker will never take this message."""
        if self._begins_again:
            detail = f"what it should go on as cannot be published: {error}"
            self._planned = unpublishable(self._job, detail, self._settler.worker, self._settler.codec)
            self._answer(self._on_answer)
            instead = [Onward(letter) for letter in self._planned.onward]
        elif not onward.bare and not is_the_body(error):
            onward.message, onward.bare = bare(onward.message), True
            instead = [onward]
        else:
            if self._planned.report is not None:  # how its task ended, which is told nowhere else now
                log(self._planned.report)
            self._planned = _vanishing(self._job) if self._job.acked else given_up(self._job, str(error))
            instead = []
        self._onward.remove(onward)
        self._onward += instead
        for letter in instead:
            self._publish(letter)
        if not instead and not self._onward:
            self._end()

    def _give_up_follower(self, onward: Onward, error: BaseException) -> None:
        """A call that should follow cannot be published. If this one succeeded, it is a dead letter that says so."""
        name = message.task_name(onward.message.properties.headers)
        detail = f"{name}, which should follow on it, could not be published: {error}"
        logger.error("%s[%s] %s", self._job.task_name, self._job.task_id, detail, extra={"action": "follower_failed"})
        if (letter := self._letter(detail)) is not None:
            instead = Onward(letter)
            self._onward.append(instead)
            self._publish(instead)
        self._remove(onward)

    def _letter(self, detail: str) -> Outgoing | None:
        """The dead letter of a task that succeeded, and on which something should follow; once."""
        letter, self._planned.otherwise = self._planned.otherwise, None
        if letter is not None:
            letter.properties.headers = {
                **(letter.properties.headers or {}),
                "x-amqptasks-detail": detail[:DETAIL_SIZE],
            }
        return letter


def _vanishing(job: Job) -> Settlement:
    """How a job ends that was acknowledged before it ran, and that nobody takes any more."""
    return Settlement("nothing", kind="Lost", report=vanished(job))
