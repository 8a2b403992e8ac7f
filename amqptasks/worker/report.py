"""report: one log line for the end of a delivery, a sentence for people and fields for machines.

It is described where the task ran, for an exception's text is the user's code, and logged where the job is settled.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from amqptasks.exception_info import exception_text
from amqptasks.worker.job import Job
from amqptasks.worker.outcomes import (
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

logger = logging.getLogger("amqptasks.task")

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


def is_logged(outcome: Outcome) -> bool:
    """False where nobody would read the line for this outcome."""
    return logger.isEnabledFor(_LEVELS[type(outcome)])


def describe(job: Job, outcome: Outcome) -> Report | None:
    """The line for a job that ended so; None where nobody would read it. A traceback appears once: with the failure,
    not with each retry, and not for an exception that the task `throws`."""
    if not is_logged(outcome):
        return None
    level, sentence = _LEVELS[type(outcome)], _sentence(job, outcome)
    traceback = None
    if isinstance(outcome, Failure) and not (job.task is not None and isinstance(outcome.cause, job.task.throws)):
        traceback = job.info(outcome.cause).traceback
    return _report(job, level, type(outcome).__name__, sentence, traceback)


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


def log(report: Report) -> None:
    """Write the line, unless its level is not wanted any more. Raises what a log handler of the user's raises."""
    if not logger.isEnabledFor(report.level):
        return
    record = logger.makeRecord(
        logger.name, report.level, __file__, 0, report.sentence, (), None, "report", extra=report.fields
    )
    record.exc_text = report.traceback
    logger.handle(record)


def _report(job: Job, level: int, action: str, sentence: str, traceback: str | None = None) -> Report:
    request = job.request
    name, identity = job.task_name, job.task_id
    fields: dict[str, object] = {
        "action": action.lower(),
        "task_name": name,
        "task_id": identity,
        "queue": job.delivery.queue,
        "attempt": request.retries + 1 if request is not None else 0,
        "runtime": job.runtime,
    }
    return Report(level, f"{name}[{identity}] {sentence}", fields, traceback)


def _sentence(job: Job, outcome: Outcome) -> str:  # noqa: PLR0912 - one case an outcome
    match outcome:
        case Success():
            return f"succeeded in {job.runtime:.3f} s"
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
            return f"was delivered {deliveries} times before"
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
