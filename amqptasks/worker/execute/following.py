"""What follows on a job, as part of its settlement."""

from __future__ import annotations

from amqptasks.canvas.continuations import Followers
from amqptasks.errors import PublishError, TaskRejected
from amqptasks.tasks.outcomes import Failure, Outcome, Reject, Replaced, Success
from amqptasks.worker.job.dead_letters import dead_letter
from amqptasks.worker.job.job import Job
from amqptasks.worker.job.settlement import Settlement


def refusal_of_followers(job: Job, followers: Followers | None) -> Outcome | None:
    """Why a job must not run because of what it asks to follow on it; None where it may."""
    request = job.request
    assert request is not None
    if not (request.callbacks or request.errbacks or request.chain or request.chord):
        return None
    problem = "it asks for what follows on it" if followers is None else followers.check(request)
    return None if problem is None else Reject("unsupported", problem)


def follow(job: Job, outcome: Outcome, planned: Settlement, followers: Followers, worker: str) -> None:
    """Add the calls that follow on it, and what becomes of it where they cannot be published."""
    request = job.request
    assert request is not None
    if isinstance(outcome, Replaced) or (isinstance(outcome, Success) and (request.callbacks or request.chain)):
        planned.followers = (
            followers.in_place_of(request, outcome.signature)
            if isinstance(outcome, Replaced)
            else followers.after_success(request, outcome.value)
        )
        if job.queue.dead_letter is not None:
            unsent = Failure(PublishError("what follows on it could not be published", request.id))
            planned.otherwise = dead_letter(job, unsent, worker)
    elif isinstance(outcome, Failure | Reject) and request.errbacks:
        cause = outcome.cause if isinstance(outcome, Failure) else TaskRejected(f"{outcome.reason}: {outcome.detail}")
        planned.followers = followers.after_failure(request, job.info(cause))
