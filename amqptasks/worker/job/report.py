"""report: one log line for the end of a delivery, a sentence for people and fields for machines.

It is described where the task ran, for an exception's text is the user's code, and logged where the job is settled.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from amqptasks.logs.plain_lines import cut
from amqptasks.logs.success import SuccessLine
from amqptasks.messages.delivery import Alike
from amqptasks.messages.exception_info import exception_text
from amqptasks.runtime import log_queue
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
from amqptasks.untrusted.bounds import LONGEST_LINE
from amqptasks.untrusted.masks import PLAIN, Mask
from amqptasks.untrusted.numbers import counted
from amqptasks.worker.job.job import Job

logger = log_queue.get_logger("amqptasks.task")

#: Seconds for which is remembered where the lines of successes go.
FOUND_FOR = 0.1

#: How loud each outcome is told.
_LEVELS: dict[type, int] = {
    Success: logging.INFO,
    Retry: logging.INFO,
    Failure: logging.ERROR,
    Reject: logging.ERROR,
    Expired: logging.WARNING,
    Revoked: logging.WARNING,
    Postpone: logging.DEBUG,
    Throttled: logging.DEBUG,
    Recount: logging.DEBUG,
    HandBack: logging.INFO,
    Crashed: logging.ERROR,
    Requeue: logging.INFO,
    Snooze: logging.INFO,
    Ignore: logging.INFO,
    Replaced: logging.INFO,
    Lost: logging.DEBUG,
}


@dataclass(slots=True)
class Report:
    """A line for the log, in plain values. `fields` become the record's; `traceback` follows the line."""

    level: int
    sentence: str
    fields: dict[str, object]
    traceback: str | None = None


def describe(job: Job, outcome: Outcome, mask: Mask = PLAIN) -> Report | None:
    """The line for a job that ended so; None where nobody would read it, and for a success (see `succeeded`). A
    traceback appears once: with the failure, not with each retry, and not for an exception that the task `throws`.
    `mask` hides secrets that the text of an exception names."""
    if type(outcome) is Success or not logger.isEnabledFor(_LEVELS[type(outcome)]):
        return None
    level, sentence = _LEVELS[type(outcome)], _sentence(job, outcome)
    traceback = None
    if isinstance(outcome, Failure) and not (job.task is not None and isinstance(outcome.cause, job.task.throws)):
        traceback = mask.masked_text(job.info(outcome.cause).traceback)
    return _report(job, level, type(outcome).__name__, mask.masked_text(sentence), traceback)


def handed_back(job: Job) -> Report | None:
    """The line for a job that goes back because the worker stops."""
    return describe(job, HandBack())


def lost(job: Job) -> Report:
    """The line for a job whose right to be settled ended with its channel."""
    return _report(job, logging.WARNING, "Lost", "lost its lease, and will run again")


def vanished(job: Job) -> Report:
    """The line for a job that nobody has any more."""
    why = "it was acknowledged when it began (acks_late=False), and the broker takes it no more before the worker stops"
    return _report(job, logging.ERROR, "Lost", f"is lost: {why}")


def discarded(job: Job, detail: str) -> Report:
    """The line for a job that the broker itself makes a dead letter."""
    sentence = f"cannot be settled: {detail}. The broker dead-letters its message as it came{_whereabouts(job)}"
    return _report(job, logging.ERROR, "Reject", sentence)


def log(report: Report) -> None:
    """Write the line, unless its level is not wanted any more."""
    if logger.isEnabledFor(report.level):
        logger.tell(report.level, report.sentence, report.fields, report.traceback)


def succeeded(job: Job) -> None:
    """Write the line of a job that succeeded. It is made of the delivery, here, so that a pool's process need not send
    it. Most deliveries are like others, and then all but a tuple is left to the log's own thread. Link thread only."""
    if not logger.isEnabledFor(logging.INFO):
        return
    now, delivery = time.time(), job.delivery
    if not _Fast.since <= now < _Fast.until:
        _Fast.look(now)
    if _Fast.put is not None and type(delivery) is Alike:
        headers = delivery.likeness.properties.headers or {}
        _Fast.put((now, _Fast.thread, headers, delivery.identity, delivery.queue, job.runtime))
    else:
        sentence = f"{job.task_name}[{job.task_id}] succeeded in {job.runtime:.3f} s"
        logger.tell(logging.INFO, sentence, _fields(job, "Success"), None)


class _Fast:
    """Where the lines of successes go, as `succeeded` found it last, and from when until when (seconds since 1970) that
    holds."""

    since = until = 0.0
    thread = ""
    put: Callable[[SuccessLine], object] | None = None

    @classmethod
    def look(cls, now: float) -> None:
        """Find it once more."""
        cls.since, cls.until = now, now + FOUND_FOR
        cls.thread, cls.put = threading.current_thread().name, None
        if log_queue.waits_never() and (writer := logger.writer()) is not None:
            cls.put = writer.put_line


def _report(job: Job, level: int, action: str, sentence: str, traceback: str | None = None) -> Report:
    text = f"{job.task_name}[{job.task_id}] {sentence}"
    if len(text) > LONGEST_LINE:
        text = f"{text[: LONGEST_LINE - 3]}..."
    return Report(level, text, _fields(job, action), None if traceback is None else cut(traceback))


def _fields(job: Job, action: str) -> dict[str, object]:
    request = job.request
    retries = request.retries if request is not None else job.delivery.shared_headers.get("retries", 0)
    return {
        "action": action.lower(),
        "task_name": job.task_name,
        "task_id": job.task_id,
        "queue": job.delivery.queue,
        "attempt": retries + 1 if isinstance(retries, int) else 1,
        "runtime": job.runtime,
    }


def _sentence(job: Job, outcome: Outcome) -> str:  # noqa: PLR0912 - one case an outcome
    match outcome:
        case Retry(delay, cause):
            why = f": {type(cause).__name__}: {exception_text(cause)}" if cause is not None else ""
            return f"runs again in {delay:.1f} s{why}"
        case Failure():
            return f"failed in {job.runtime:.3f} s{_whereabouts(job)}"
        case Reject(reason, detail):
            return f"cannot run ({reason}): {detail}{_whereabouts(job)}"
        case Expired(detail):
            return f"was not run: {detail}{_whereabouts(job)}"
        case Revoked(detail):
            ended = f"was ended after {job.runtime:.3f} s" if job.started else "was not run"
            return f"{ended}: {detail}{_whereabouts(job)}"
        case Postpone(delay):
            return f"is not due for {delay:.1f} s"
        case Throttled(delay, _, detail):
            return f"comes back in {delay:.1f} s: {detail}"
        case Recount(deliveries):
            return f"was delivered {counted(deliveries, 'time')} before"
        case HandBack():
            return "goes back to its queue, because the worker stops"
        case Crashed(detail):
            return f"lost its process, and runs again: {detail}"
        case Requeue(reason):
            return f"goes back to its queue: {reason}"
        case Snooze(delay, times):
            return f"snoozes for {delay:.1f} s, for the {times}. time"
        case Ignore():
            return "asked to be ignored"
        case Replaced(signature):
            return f"gave its place to {signature.get('task')}"
    return "was not settled here"


def _whereabouts(job: Job) -> str:
    letter = job.queue.dead_letter
    return f"; it is in {letter!r}" if letter is not None else "; its queue has no dead-letter queue"
