"""What an outcome means: which messages must be safe on the broker first, and how the delivery ends then. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

from amqptasks import errors
from amqptasks.errors import ConfigurationError, MessageTooLarge, TaskRejected, TaskRevoked
from amqptasks.messages.codec import PLAIN, Codec
from amqptasks.messages.outgoing import QUEUES_EXCHANGE, Outgoing
from amqptasks.messages.own_headers import DELIVERIES, FIRST_TIME, SNOOZES, THROTTLED, Way, carried
from amqptasks.messages.properties import PERSISTENT, Properties
from amqptasks.messages.request import Request
from amqptasks.results import reply
from amqptasks.results.record import Record
from amqptasks.runtime.clock import broker_time
from amqptasks.runtime.log_queue import get_logger
from amqptasks.serializers import Serializer, json
from amqptasks.tasks.outcomes import (
    Crashed,
    Expired,
    Failure,
    HandBack,
    Ignore,
    Lost,
    Outcome,
    Postpone,
    Recount,
    Reject,
    Replaced,
    Requeue,
    Retry,
    Revoked,
    Snooze,
    Success,
    Throttled,
)
from amqptasks.untrusted.bounds import MOST_RETRIES
from amqptasks.untrusted.field_table import LARGEST_HEADERS, size
from amqptasks.worker.job.admission import counted_by_worker, failed_deliveries
from amqptasks.worker.job.dead_letters import bare, dead_letter, first_time
from amqptasks.worker.job.job import Job
from amqptasks.worker.job.report import Report, describe, discarded, handed_back

logger = get_logger(__name__)

#: `reject` is "back to its queue, and count it as failed", `nack` is "back to its queue, not its fault", `discard` is
#: "to where the queue sends its dead letters".
Verdict = Literal["ack", "nack", "reject", "discard", "nothing"]


@dataclass(slots=True)
class Settlement:
    """What is to be written, in plain values that may come from another process.

    `onward` must all be confirmed before the verdict, after `delay` seconds in the ladder, where that is set; they are
    tried until they are. `followers` are calls that follow on this one, and where they lead is the caller's choice: one
    that cannot be published, after some tries, is given up for `otherwise`, or where that is None, for a line in the
    log. `answer` is the caller's reply: confirmed too, but a caller that is gone does not hold the task. `record` is
    for the result store: a final one is safe there before anything of `onward` is published. The reply to a retry, and
    a record that is not final, hold nothing. `kind` is the outcome's name, `report` the line for the log (None for a
    success: `report.succeeded` makes it).
    """

    verdict: Verdict
    onward: tuple[Outgoing, ...] = ()
    delay: float = 0.0
    answer: Outgoing | None = None
    followers: tuple[Outgoing, ...] = ()
    otherwise: Outgoing | None = None
    kind: str = ""
    report: Report | None = None
    record: Record | None = None


#: The settlement of a task that succeeded where nobody waits for its value and nothing follows: one for all of them,
#: which nobody changes. The line of a success is made where it is settled.
QUIET = Settlement("ack", kind="Success")

#: Kinds after which the task begins (again) in any case.
BEGIN_AGAIN = frozenset(kind.__name__ for kind in (Crashed, HandBack, Postpone, Recount, Retry, Snooze, Throttled))


def is_quiet(job: Job) -> bool:
    """True where `QUIET` is all there is to do: for most tasks of a busy worker."""
    request = job.request
    return (
        type(job.outcome) is Success
        and request is not None
        and not (request.reply_to or request.callbacks or request.chain)
    )


def settlement(job: Job, outcome: Outcome, worker: str, codec: Codec = PLAIN, largest: int | None = None) -> Settlement:
    """The settlement of `job`. `largest` is how many bytes of body the broker takes, where that is known: a reply that
    is larger becomes a failure that says so. Raises `ConfigurationError` where a retry's new arguments cannot be
    sent, and `MessageTooLarge` where they are more than the broker takes."""
    planned = _meaning(job, outcome, worker, codec)
    if largest is not None:
        if planned.answer is not None and len(planned.answer.body) > largest:
            if isinstance(outcome, Retry):
                planned.answer = None
            else:
                _shorten(planned.answer, job, outcome, codec, largest)
        if isinstance(outcome, Retry):
            _check(planned.onward[0], largest)
    if planned.answer is not None:
        codec.sign_reply(planned.answer.properties, planned.answer.body, job.request)
    planned.kind = type(outcome).__name__
    planned.report = describe(job, outcome, codec.mask)
    return planned


def _meaning(  # noqa: PLR0912 - one case an outcome
    job: Job, outcome: Outcome, worker: str, codec: Codec
) -> Settlement:
    match outcome:
        case Success(value):
            answer = _answer(job, codec)
            if answer is None:
                return Settlement("ack")
            answer.body = reply.success(_task_id(job), value, codec.for_reply(job.delivery.properties))
            return Settlement("ack", answer=answer)
        case Retry():
            told = _retry_told(job, outcome, codec)
            return Settlement("ack", onward=(_again(job, outcome, codec),), delay=outcome.delay, answer=told)
        case Failure() | Reject() | Expired() | Revoked():
            letters = (dead_letter(job, outcome, worker),) if job.queue.dead_letter is not None else ()
            return Settlement("ack", onward=letters, answer=_bad_news(job, outcome, codec))
        case Ignore() | Replaced():
            return Settlement("ack")
        case Requeue():
            return Settlement("reject")
        case Snooze(delay, times):
            return Settlement("ack", onward=(_later(job, delay, {SNOOZES: times}, codec),), delay=delay)
        case Postpone(delay):
            return Settlement("ack", onward=(_same(job),), delay=delay)
        case Throttled(delay, since):
            return Settlement("ack", onward=(_same(job, {THROTTLED: since}),), delay=delay)
        case Recount(deliveries):
            return Settlement("ack", onward=(_same(job, {DELIVERIES: deliveries}),))
        case HandBack():
            return Settlement("nack")
        case Crashed():
            return Settlement("reject")
        case Lost():
            return Settlement("nothing")


def unpublishable(job: Job, detail: str, worker: str, codec: Codec = PLAIN) -> Settlement:
    """How a job ends whose next message the broker refuses, whatever is tried: as a dead letter, with a reply that says
    so. Made of the delivery alone, so that it can be made anywhere."""
    return settlement(job, Reject("unpublishable", detail), worker, codec)


def buried(job: Job, detail: str, worker: str) -> Settlement:
    """How a job ends that cannot be settled as it ended, because that raises: as a bare dead letter, without what
    follows on it."""
    outcome = Reject("unpublishable", detail)
    letters = (bare(dead_letter(job, outcome, worker)),) if job.queue.dead_letter is not None else ()
    return Settlement("ack", onward=letters, kind=Reject.__name__, report=describe(job, outcome))


def given_up(job: Job, detail: str) -> Settlement:
    """How a job ends whose dead letter is refused, too: the broker itself dead-letters the message as it came."""
    return Settlement("discard", kind=Reject.__name__, report=discarded(job, detail))


def handing_back(job: Job) -> Settlement:
    """How a job that has no plan, or none that can be carried out, goes back to its queue because the worker stops."""
    return Settlement("nack", kind=HandBack.__name__, report=handed_back(job))


def giving_back(job: Job, *, free: bool) -> Settlement:
    """How a job that has not begun goes back to its queue, so that no delivery of it is counted: returned where that is
    free, else published once more, with the count that it has."""
    if free:
        return Settlement("nack", kind=HandBack.__name__)
    failed = failed_deliveries(job.delivery)
    return Settlement("ack", onward=(_same(job, {DELIVERIES: failed} if failed else None),), kind=HandBack.__name__)


def without_delivery(planned: Settlement, job: Job) -> Settlement:
    """The same for a job that was acknowledged when it began: what cannot go back to its queue is published there once
    more, counted where the broker would have counted it. Only the link's thread knows that it was."""
    match planned.verdict:
        case "nack":
            again = _same(job)
        case "reject":
            again = _same(job, {DELIVERIES: failed_deliveries(job.delivery) + 1})
        case _:
            return planned
    return replace(planned, verdict="ack", onward=(again,))


def _same(job: Job, more: dict[str, object] | None = None, way: Way = "back") -> Outgoing:
    """The message as it came, for the queue that it came from."""
    delivery = job.delivery
    headers = carried(delivery.properties.headers or {}, way)
    if not counted_by_worker(delivery):
        headers.pop(DELIVERIES, None)  # published by name, it would be believed
    headers.update(more or {})
    properties = replace(delivery.properties, headers=headers, expiration=None, user_id=None, delivery_mode=PERSISTENT)
    return Outgoing(QUEUES_EXCHANGE, delivery.queue, delivery.body, properties)


def _later(job: Job, delay: float, more: dict[str, object], codec: Codec) -> Outgoing:
    """It once more, in `delay` seconds: always to the one queue that it came from, never through a topic or fanout
    again."""
    known = job.delivery.properties.headers or {}
    outgoing = _same(job, {**more, FIRST_TIME: first_time(known, broker_time.now())}, "again")
    assert outgoing.properties.headers is not None
    outgoing.properties.headers["eta"] = (broker_time.utcnow() + timedelta(seconds=delay)).isoformat()
    codec.sign_again(outgoing.properties, outgoing.body, _is_verified(job))
    return outgoing


def _is_verified(job: Job) -> bool:
    """Nobody signs for what nobody of this app asked for."""
    return job.request is not None and job.request.verified


def _again(job: Job, outcome: Retry, codec: Codec) -> Outgoing:
    """The next attempt."""
    request = job.request
    assert request is not None
    retries = min(request.retries + 1, MOST_RETRIES)
    outgoing = _later(job, outcome.delay, {**outcome.headers, "retries": retries}, codec)
    if outcome.call_args is not None or outcome.call_kwargs is not None:
        outgoing.body = codec.rewrite(outcome.again(request), outgoing.properties)
        codec.sign_again(outgoing.properties, outgoing.body, _is_verified(job))
    return outgoing


def _retry_told(job: Job, outcome: Retry, codec: Codec) -> Outgoing | None:
    """Who waits is told why it runs again."""
    answer = _answer(job, codec)
    if answer is not None:
        cause = outcome.cause if outcome.cause is not None else errors.Retry(outcome.delay)
        serializer = codec.for_reply(job.delivery.properties)
        answer.body = reply.failure(_task_id(job), cause, job.info(cause).traceback, "RETRY", serializer)
    return answer


def _bad_news(job: Job, outcome: Failure | Reject | Expired | Revoked, codec: Codec) -> Outgoing | None:
    answer = _answer(job, codec)
    if answer is None:
        return None
    serializer = codec.for_reply(job.delivery.properties)
    match outcome:
        case Failure(cause):
            answer.body = reply.failure(_task_id(job), cause, job.info(cause).traceback, serializer=serializer)
        case Reject(reason, detail):
            answer.body = reply.failure(_task_id(job), TaskRejected(f"{reason}: {detail}"), None, serializer=serializer)
        case Expired(detail) | Revoked(detail):
            answer.body = reply.failure(_task_id(job), TaskRevoked(detail), None, "REVOKED", serializer)
    return answer


def _shorten(answer: Outgoing, job: Job, outcome: Outcome, codec: Codec, largest: int) -> None:
    """A failure in place of a reply that the broker does not take."""
    length, serializer = len(answer.body), codec.for_reply(job.delivery.properties)
    logger.warning(
        "%s[%s] its reply has %d bytes, and this broker takes %d: the caller gets a failure that says so",
        job.task_name,
        job.task_id,
        length,
        largest,
        extra={"action": "reply_too_large", "task_name": job.task_name, "task_id": job.task_id},
    )
    if isinstance(outcome, Failure):
        answer.body = reply.shortened(_task_id(job), outcome.cause, length, largest, serializer)
    else:
        answer.body = reply_too_large(_task_id(job), length, f"this broker takes {largest:,}", serializer)


def reply_too_large(task_id: str, length: int, why: str, serializer: Serializer = json.SERIALIZER) -> bytes:
    """The reply in place of one of `length` bytes that the broker does not take, because of `why`."""
    problem = (
        f"the task ended, but its result cannot be sent: the reply is too large. It has {length:,} bytes, and {why}."
        f" Store the value elsewhere and return its address, or set ignore_result"
    )
    return reply.failure(task_id, ConfigurationError(problem), None, serializer=serializer)


def _check(again: Outgoing, largest: int) -> None:
    """Raise `MessageTooLarge` for a next attempt that the broker does not take, while what became of it can be told as
    any failure is: to the error callbacks and to the caller."""
    if len(again.body) > largest:
        raise MessageTooLarge(
            f"the arguments of the next attempt have {len(again.body):,} bytes, and this broker takes {largest:,}:"
            f" the attempt cannot be published"
        )
    length = size(again.properties.headers or {})
    if length > LARGEST_HEADERS:
        raise MessageTooLarge(
            f"the headers of the next attempt have {length:,} bytes, and a message has room for {LARGEST_HEADERS:,}"
        )


def _answer(job: Job, codec: Codec) -> Outgoing | None:
    """An empty reply to whoever asked for one. Through the default exchange, as any reply address is a queue's name;
    never mandatory: before 4.2 a direct reply-to that was delivered is returned all the same."""
    given = job.delivery.properties
    reply_to = given.reply_to
    if not reply_to or not isinstance(reply_to, str) or _wants_no_result(job):
        return None
    if not _is_verified(job) and not codec.reach.may_reply_to(reply_to):
        return None  # it is a dead letter, which says so
    serializer = codec.for_reply(given)
    properties = Properties(
        content_type=serializer.content_type,
        content_encoding=serializer.content_encoding,
        correlation_id=given.correlation_id or _task_id(job),
        delivery_mode=1,
    )
    return Outgoing("", reply_to, b"", properties, mandatory=False)


def _wants_no_result(job: Job) -> bool:
    request: Request | None = job.request
    if request is not None and request.ignore_result is not None:
        return request.ignore_result
    return bool(job.task is not None and job.task.options.get("ignore_result"))


def _task_id(job: Job) -> str:
    if job.request is not None:
        return job.request.id
    foreign = job.delivery.properties.correlation_id or ""  # may hold bytes that are no text
    return foreign.encode("utf-8", "replace").decode()
