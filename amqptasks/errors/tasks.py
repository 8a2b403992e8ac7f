"""The exceptions of `amqptasks.errors` that are raised in, or by, a running task."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from amqptasks.errors.root import AmqptasksError


class TaskError(AmqptasksError):
    """Raised in, or by, a running task."""


class Retry(TaskError):
    """Run this task again; raise or return it, or call `self.retry()`. `delay` in seconds, or `at` a moment (naive:
    UTC); without either, the policy's own delay.

    `cause` is the exception that led here; it becomes the failure when the retries are used up. `args` and `kwargs`
    replace the task's arguments where given, `max_retries` the policy's number for this task.
    """

    def __init__(
        self,
        delay: float | None = None,
        *,
        at: datetime | None = None,
        cause: BaseException | None = None,
        call_args: tuple[object, ...] | None = None,
        call_kwargs: dict[str, object] | None = None,
        max_retries: int | None = None,
    ) -> None:
        if at is not None:
            moment = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
            delay = max(0.0, (moment - datetime.now(UTC)).total_seconds())
        self.delay = delay
        self.cause = cause
        self.call_args = call_args
        self.call_kwargs = call_kwargs
        self.max_retries = max_retries
        super().__init__("retry" if delay is None else f"retry in {delay:g} s")


class Reject(TaskError):
    """Send this task to the dead-letter queue now, with this reason and no further attempt; raise or return it.

    `requeue` True: back to its queue instead, for another worker. The broker counts that, and at the queue's
    `delivery_limit` it goes to the dead-letter queue all the same.
    """

    def __init__(self, reason: str = "rejected by the task", requeue: bool = False) -> None:
        self.reason = reason
        self.requeue = requeue
        super().__init__(reason)


class Ignore(TaskError):
    """End this task here: it is acknowledged, no result is sent, nothing is dead-lettered; raise or return it."""


class Snooze(TaskError):
    """Not now: run this task again in `seconds`, and do not count this attempt; raise or return it. It waits on the
    broker. The task option `max_snoozes` says how often (default 1000); then it fails with `MaxRetriesExceeded`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"snooze for {seconds:g} s")


class Replace(TaskError):
    """Let another call take this one's place: what `self.replace(signature)` raises. The other runs under this one's
    id, its value is this one's result, and what was to follow on this one follows on it."""

    def __init__(self, signature: Mapping[str, object]) -> None:
        self.signature = signature
        super().__init__(f"replaced by {signature.get('task')}")


class InvalidArguments(TaskError):
    """The arguments are not what the task's type hints say; the message names each. The task goes to the dead-letter
    queue, without a retry: mend the arguments there, or the caller."""


class NotAwaited(TaskError):
    """The task returned a coroutine, a generator or the like, so its lines have not run. It is a failure without a
    retry, and goes to the dead-letter queue: make the function `async def`, or return a list."""


class MaxRetriesExceeded(TaskError):
    """`retry()` was called, and the retries are used up; the task goes to the dead-letter queue."""


class SoftTimeLimitExceeded(TaskError):
    """Raised inside a task that has run for its `soft_time_limit`. Catch it to tidy up and end; uncaught, it is the
    attempt's failure, retried as any other. In an `async def` task, `CancelledError` is raised in its place."""

    def __init__(self, *details: object) -> None:
        super().__init__(*(details or ("it ran longer than its soft time limit",)))


class TimeLimitExceeded(TaskError):
    """The task ran longer than its `time_limit` and was ended by force: a failure, not retried."""

    def __init__(self, *details: object) -> None:
        super().__init__(*(details or ("it ran longer than its time limit",)))


class WorkerStopping(TaskError):
    """Raised inside a task whose worker has waited long enough for it. Catch it to tidy up, then raise it again (or
    let it pass): the task goes back to its queue, and no attempt is counted."""

    def __init__(self, *details: object) -> None:
        super().__init__(*(details or ("the worker stops",)))


class Terminated(TaskError):
    """Raised inside a task that was revoked while it ran."""

    def __init__(self, *details: object) -> None:
        super().__init__(*(details or ("it was revoked while it ran",)))


class WorkerLostError(TaskError):
    """The process that ran the task died, of a signal or by itself: the message says how. Look for memory limits, and
    for faults in C code."""


#: What a worker raises in a task from outside. Whoever catches what a user's code raises lets these through, or does
#: what they ask for.
INTERRUPTIONS = (SoftTimeLimitExceeded, Terminated, TimeLimitExceeded, WorkerStopping)
