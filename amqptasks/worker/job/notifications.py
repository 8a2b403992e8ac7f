"""How a job ended, in the words of hooks and signals: Celery's states."""

from __future__ import annotations

from typing import Any

from amqptasks import errors, signals
from amqptasks.messages.delivery import Delivery
from amqptasks.tasks import hooks
from amqptasks.tasks.outcomes import Expired, Failure, Outcome, Reject, Revoked
from amqptasks.tasks.task import Task
from amqptasks.topology.topology import QueueSettings
from amqptasks.worker.job.job import Job
from amqptasks.worker.job.settlement import Settlement


def is_heard(task: Task[..., Any]) -> bool:
    """True where somebody may want to know."""
    return signals.AFTER_RUN.present or bool(task.hooks)


def is_wanted(job: Job) -> bool:
    """True where somebody may want to know of a job that was ended from outside: of one that runs again, nobody."""
    if job.task is None:
        return False
    if isinstance(job.outcome, Expired | Revoked) and signals.task_revoked:
        return True
    return bool(job.started) and isinstance(job.outcome, Failure | Revoked) and is_heard(job.task)


def telling(delivery: Delivery, queue: QueueSettings, outcome: Outcome, started: float, runtime: float) -> Job:
    """A job for a pool whose delivery is settled already: with it, hooks and signals hear how another one ended."""
    job = Job(delivery, queue)
    job.outcome, job.started, job.runtime = outcome, started, runtime
    job.planned, job.settled = Settlement("nothing"), True
    return job


def notifications(job: Job) -> hooks.Steps:
    """All that is to be called after a run."""
    assert job.task is not None
    assert job.request is not None
    assert job.outcome is not None
    if isinstance(job.outcome, Reject | Revoked):
        refused(job)
    return hooks.after(job.task, job.request, job.outcome, job.info, job.runtime)


def refused(job: Job) -> None:
    """Tell of a job that did not run, that was revoked, or that the task itself refused."""
    outcome, request = job.outcome, job.request
    if isinstance(outcome, Reject):
        if request is not None and outcome.reason == "unknown-task":
            if signals.task_unknown:
                signals.task_unknown.send(
                    request.hostname,
                    name=request.task,
                    id=request.id,
                    message=job.delivery,
                    exc=errors.UnknownTask(outcome.detail),
                )
        elif signals.task_rejected:
            sender = request.hostname if request is not None else None
            error = errors.TaskRejected(f"{outcome.reason}: {outcome.detail}")
            signals.task_rejected.send(sender, message=job.delivery, exc=error)
    elif isinstance(outcome, Expired | Revoked) and signals.task_revoked:
        terminated, expired = bool(job.started), isinstance(outcome, Expired)
        signals.task_revoked.send(job.task, request=request, terminated=terminated, signum=None, expired=expired)
