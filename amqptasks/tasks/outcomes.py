"""How a delivery can end: a closed set of values. `classify` finds the one, `settlement` says what it means."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from amqptasks import errors
from amqptasks.messages.own_headers import SNOOZES
from amqptasks.messages.request import Request
from amqptasks.options import NO_OPTIONS, TaskOptions
from amqptasks.options.retry import RetryAfter, RetryPolicy, decide, within

#: Why a message is in a dead-letter queue, in its header `x-amqptasks-reason`.
DeadReason = Literal[
    "failed",
    "rejected",
    "expired",
    "malformed",
    "unsigned",
    "bad-signature",
    "unknown-task",
    "too-many-deliveries",
    "unsupported",
    "revoked",
    "invalid-arguments",
    "throttled",
    "unpublishable",
]


@dataclass(frozen=True, slots=True)
class Success:
    """The task returned."""

    value: object


@dataclass(frozen=True, slots=True)
class Retry:
    """The attempt failed and another follows in `delay` seconds. `cause` is None where the task asked without one.
    `headers` are those that its message gets besides."""

    delay: float
    cause: BaseException | None
    call_args: tuple[object, ...] | None = None
    call_kwargs: dict[str, object] | None = None
    headers: Mapping[str, object] = field(default_factory=dict)

    def again(self, request: Request) -> Request:
        """The request of the next attempt, after this one."""
        return replace(
            request,
            retries=request.retries + 1,
            args=request.args if self.call_args is None else self.call_args,
            kwargs=request.kwargs if self.call_kwargs is None else self.call_kwargs,
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """The last attempt failed."""

    cause: BaseException


@dataclass(frozen=True, slots=True)
class Reject:
    """It cannot, or must not, run: to the dead-letter queue."""

    reason: DeadReason
    detail: str


@dataclass(frozen=True, slots=True)
class Requeue:
    """The task asked for another worker: back to its queue, where the broker counts it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Snooze:
    """The task asked to be run later, in `delay` seconds, for the `times`-th time; no attempt is counted."""

    delay: float
    times: int


@dataclass(frozen=True, slots=True)
class Ignore:
    """The task asked for its end without a result."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """The task gave its place to another call."""

    signature: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Expired:
    """Its time ran out before it could start."""

    detail: str


@dataclass(frozen=True, slots=True)
class Revoked:
    """Somebody revoked it, before it ran or while it did."""

    detail: str


@dataclass(frozen=True, slots=True)
class Postpone:
    """It is not due for `delay` seconds: whoever published it left the waiting to us (Celery's `eta`)."""

    delay: float


@dataclass(frozen=True, slots=True)
class Throttled:
    """Its limits let it not run now: it comes back in `delay` seconds, no attempt counted. `since` is when that began,
    in seconds since 1970, `detail` which limit it was."""

    delay: float
    since: float
    detail: str


@dataclass(frozen=True, slots=True)
class Recount:
    """A classic queue counts no deliveries: it goes back with our own count, `deliveries`."""

    deliveries: int


@dataclass(frozen=True, slots=True)
class HandBack:
    """The worker stops before it ran, or before it ended: back to its queue, no attempt counted."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The channel that delivered it is gone, and with it the right to settle: somebody gets it again."""


@dataclass(frozen=True, slots=True)
class Crashed:
    """The process that ran it died: back to its queue, where the broker counts it. `detail` says how it died."""

    detail: str


Outcome = (
    Success
    | Retry
    | Failure
    | Reject
    | Requeue
    | Snooze
    | Ignore
    | Replaced
    | Expired
    | Revoked
    | Postpone
    | Throttled
    | Recount
    | HandBack
    | Crashed
    | Lost
)

IGNORE = Ignore()
HAND_BACK = HandBack()
LOST = Lost()


#: How often a task may snooze, unless it says so itself: nothing goes round for ever.
MOST_SNOOZES = 1000


def classify(error: BaseException, policy: RetryPolicy, request: Request, options: TaskOptions = NO_OPTIONS) -> Outcome:
    """What an exception in a task with these options leads to. Pure."""
    if isinstance(error, errors.Ignore):
        return IGNORE
    if isinstance(error, errors.Reject):
        if error.requeue and options.get("acks_late", True):
            return Requeue(str(error.reason))
        return Reject("rejected", str(error.reason))  # Celery's `Reject(exc)` passes an exception
    if isinstance(error, errors.Snooze):
        return _snoozed(error, request, options.get("max_snoozes", MOST_SNOOZES))
    if isinstance(error, errors.Replace):
        return Replaced(error.signature)
    if isinstance(error, errors.InvalidArguments):
        return Reject("invalid-arguments", str(error))
    if _led_to(error, errors.WorkerStopping):
        return HAND_BACK
    if (ended := _led_to(error, errors.Terminated)) is not None:
        return Revoked(str(ended))
    decision = decide(policy, request.retries, error)
    if not isinstance(decision, RetryAfter):
        return Failure(decision.cause)
    if isinstance(error, errors.Retry):
        return Retry(decision.seconds, decision.cause, error.call_args, error.call_kwargs)
    return Retry(decision.seconds, decision.cause)


def interrupted(error: BaseException) -> Outcome:
    """What an exception leads to that met a job outside of its task's lines, where nothing is known of the task: as
    `classify` has it, without a retry. What was cancelled so has not begun. Pure."""
    if isinstance(error, errors.WorkerStopping | asyncio.CancelledError):
        return HAND_BACK
    if isinstance(error, errors.Terminated):
        return Revoked(str(error))
    return Failure(error)


def _led_to(error: BaseException, kind: type[BaseException]) -> BaseException | None:
    """The exception of this kind that came from outside and led to `error`, also where the task made another one, or a
    retry, of it: a worker that stops costs no attempt, and what is revoked is not tried again."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        if isinstance(at, kind):
            return at
        seen.add(id(at))
        at = at.__cause__ or at.__context__
    return None


def _snoozed(error: errors.Snooze, request: Request, most: int) -> Outcome:
    before = request.headers.get(SNOOZES)
    times = min(before, most) + 1 if isinstance(before, int) else 1
    if times > most:
        return Failure(errors.MaxRetriesExceeded(f"it snoozed {most} times; max_snoozes allows no more"))
    return Snooze(within(error.seconds), times)
