"""The messages of one settlement, until the broker has confirmed them. Link thread only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from amqptasks.errors import BrokerUnreachable, Nacked, StoreRefused
from amqptasks.messages import protocol
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.own_headers import DETAIL
from amqptasks.results.record import Record
from amqptasks.results.writer import Waiting
from amqptasks.runtime.log_queue import get_logger
from amqptasks.tasks.outcomes import Postpone, Retry, Snooze, Throttled
from amqptasks.transport import Done, Link
from amqptasks.worker.job.dead_letters import bare
from amqptasks.worker.job.job import Job
from amqptasks.worker.job.report import log, vanished
from amqptasks.worker.job.settlement import (
    BEGIN_AGAIN,
    Settlement,
    given_up,
    handing_back,
    reply_too_large,
    unpublishable,
    without_delivery,
)
from amqptasks.worker.settle.onward import LONGEST_PAUSE, Onward
from amqptasks.worker.settle.refusals import is_about_the_bytes, is_absence, is_lasting, is_the_body

if TYPE_CHECKING:
    from amqptasks.worker.consume.consumer import ConsumedQueue
    from amqptasks.worker.settle import Settler

logger = get_logger(__name__)

#: Seconds between two tries at most for what a full delay queue refused: there is room in it again any moment.
LONGEST_WAIT = 5.0

#: Kinds that wait on the broker before their task runs again.
DELAYED = frozenset(kind.__name__ for kind in (Postpone, Retry, Snooze, Throttled))

#: Characters of a dead letter's detail; see `dead_letters` for the limit that it keeps.
DETAIL_SIZE = 1024

#: Tries to publish a task that follows on this one (a link, the next step of a chain) before this one becomes a dead
#: letter instead: where it leads is the caller's choice, and a wrong one must not hold up a queue for ever. So many for
#: a next attempt, too, where an exchange or a queue is missing that declaring does not bring back.
MOST_TRIES = 5


class SettlementPublishing:
    """The messages of one settlement, until they are confirmed."""

    def __init__(self, settler: Settler, link: Link, job: Job, queue: ConsumedQueue, planned: Settlement) -> None:
        self._settler = settler
        self._link = link
        self._job = job
        self._queue = queue
        self._planned = planned
        self._onward = [Onward(outgoing) for outgoing in planned.onward]
        self._onward += [Onward(outgoing, follower=True) for outgoing in planned.followers]
        self._answered = planned.answer is None or planned.kind in DELAYED
        self._record = planned.record
        self._storing: Waiting | None = None
        self._is_smaller = False  # the record is one that says that the first was refused
        self._blocked = False
        self._waiting = False
        self._settled = False
        self._is_last_try = False

    @property
    def is_storing(self) -> bool:
        """True while the result store does not have the record."""
        return self._record is not None

    def start(self) -> None:
        """The record comes first: what follows on a task whose worker stops meanwhile would be published twice."""
        if self._record is None or not self._store(self._record):
            self._publish_all()
        self._answer(self._on_answer)

    def _publish_all(self) -> None:
        for onward in list(self._onward):
            self._publish(onward)

    def _store(self, record: Record) -> bool:
        """False where nothing is to wait for it."""
        storing = self._settler.storing
        if storing is None:
            self._record = None
        elif record.final:
            self._storing = storing.store(record, self._on_stored)
        else:
            storing.offer(record)
            self._record = None
        return self._record is not None

    def _on_stored(self, refused: StoreRefused | None) -> None:
        record, recorder = self._record, self._settler.recorder
        if record is None:  # given up, while it waited
            return
        if refused is not None:
            logger.error(
                "%s[%s] its result is refused by the store: %s",
                self._job.task_name,
                self._job.task_id,
                refused,
                extra={"action": "result_refused"},
            )
            if recorder is not None and not self._is_smaller:
                self._is_smaller = True
                self._record = recorder.too_large(self._job, record, str(refused))
                self._store(self._record)
                return
        self._record = self._storing = None
        if self._onward:
            self._publish_all()
        else:
            self._done()

    def _forget_record(self) -> None:
        if self._storing is not None:
            self._storing.withdraw()
        self._record = self._storing = None

    def give_up(self) -> None:
        """The message goes back to its queue instead. One that was acknowledged before cannot: what else there is for
        it is tried once."""
        unstored = self._record is not None
        if not self._onward and not unstored:
            return
        self._forget_record()
        if self._job.acked and unstored:
            name, identity, action = self._job.task_name, self._job.task_id, "result_lost"
            logger.error("%s[%s] its result is lost: the store was down", name, identity, extra={"action": action})
            if not self._onward:
                self._done()
                return
        for onward in self._onward:
            onward.withdraw()
        if not self._job.acked:
            self._planned = handing_back(self._job)
            self._abandon()
            return
        in_vain = self._is_last_try or self._link.blocked is not None
        instead = None if in_vain else self._instead()
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
        # However long it takes: a second copy beside one that the broker has not answered would be a second task.
        onward.publishing = self._link.publish(onward.message, lambda error: self._on_onward(onward, error), math.inf)

    def late(self) -> None:
        """No answer has come for long: in an alarm, or without a connection. That says nothing of the message."""
        if self._onward and self._record is None and not (self._blocked or self._waiting):
            why = self._link.blocked
            known = f"the broker blocks publishers: {why}" if why is not None else self._link.trouble
            self._settler.blocked(self, BrokerUnreachable(known or "the broker sends no confirm"))
            self._block(BrokerUnreachable(known or "the broker sends no confirm"))

    def _on_onward(self, onward: Onward, error: BaseException | None) -> None:
        if onward not in self._onward:
            return
        if error is None:
            self._remove(onward)
        elif onward.follower and (is_lasting(error) or (isinstance(error, Nacked) and onward.tries >= MOST_TRIES)):
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
        if self._planned.answer is not None and self._planned.kind not in DELAYED:
            self._answered = False
            self._settler.replies.send(self._planned.answer, done)

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
            self._settler.codec.sign_reply(answer.properties, answer.body, self._job.request)
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
        if self._answered and not self._onward and self._record is None and not self._settled:
            self._settled = True
            if self._planned.answer is not None and self._planned.kind in DELAYED:
                self._settler.replies.offer(self._planned.answer)  # it runs again, for certain
            self._settler.published(self, self._job, self._queue, self._planned)

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
            if self._settler.recorder is not None:
                self._record = self._settler.recorder.rejected(self._job, detail)
                if self._record is not None:
                    self._store(self._record)
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
        name = protocol.task_name(onward.message.properties.headers)
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
                DETAIL: detail[:DETAIL_SIZE],
            }
        return letter


def _vanishing(job: Job) -> Settlement:
    """How a job ends that was acknowledged before it ran, and that nobody takes any more."""
    return Settlement("nothing", kind="Lost", report=vanished(job))
