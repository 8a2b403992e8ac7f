"""report: one log line for the end of a delivery, a sentence for people and fields for machines."""

from __future__ import annotations

import logging
from typing import Literal

from amqptasks.worker.dead_letters import exception_text
from amqptasks.worker.job import Job
from amqptasks.worker.outcomes import (
    Expired,
    Failure,
    HandBack,
    Ignore,
    Postpone,
    Recount,
    Reject,
    Retry,
    Success,
)

logger = logging.getLogger("amqptasks.task")


def report(job: Job, end: Literal["settled", "lost"]) -> None:
    """Log how the job ended. A traceback appears once: with the failure, not with each retry."""
    level, sentence = _sentence(job) if end == "settled" else (logging.WARNING, "lost its lease, and will run again")
    if not logger.isEnabledFor(level):
        return
    request = job.request
    outcome = job.outcome
    name = request.task if request is not None else "?"
    identity = request.id if request is not None else "?"
    cause = outcome.cause if isinstance(outcome, Failure) else None
    expected = job.task is not None and cause is not None and isinstance(cause, job.task.throws)
    logger.log(
        level,
        "%s[%s] %s",
        name,
        identity,
        sentence,
        exc_info=cause if cause is not None and not expected else None,
        extra={
            "action": type(outcome).__name__.lower(),
            "task_name": name,
            "task_id": identity,
            "queue": job.delivery.queue,
            "attempt": request.retries + 1 if request is not None else 0,
            "runtime": job.runtime,
        },
    )


def _sentence(job: Job) -> tuple[int, str]:
    match job.outcome:
        case Success():
            return logging.INFO, f"succeeded in {job.runtime:.3f} s"
        case Retry(delay, cause):
            why = f": {type(cause).__name__}: {exception_text(cause)}" if cause is not None else ""
            return logging.INFO, f"runs again in {delay:.1f} s{why}"
        case Failure():
            return logging.ERROR, f"failed in {job.runtime:.3f} s{_whereabouts(job)}"
        case Reject(reason, detail):
            return logging.ERROR, f"cannot run ({reason}): {detail}{_whereabouts(job)}"
        case Expired(detail):
            return logging.WARNING, f"was not run: {detail}{_whereabouts(job)}"
        case Postpone(delay):
            return logging.DEBUG, f"is not due for {delay:.1f} s"
        case Recount(deliveries):
            return logging.DEBUG, f"was delivered {deliveries} times before"
        case HandBack():
            return logging.INFO, "goes back to its queue, because the worker stops"
        case Ignore():
            return logging.INFO, "asked to be ignored"
    return logging.DEBUG, "was not settled here"


def _whereabouts(job: Job) -> str:
    letter = job.queue.dead_letter
    return f"; it is in {letter!r}" if letter is not None else "; its queue has no dead-letter queue"
