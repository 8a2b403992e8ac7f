"""The life of a delivery: one value, named steps.

    decode -> resolve -> admit -> run -> classify -> plan     here, on the pool's thread; nothing is written
    settle -> report                                          settle.py, on the link's thread; the only writing

Each step either adds to the value or ends its way by setting the outcome.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from amqptasks.capabilities import Capabilities
from amqptasks.codec import PLAIN, Codec
from amqptasks.exception_info import exception_text
from amqptasks.message import Malformed
from amqptasks.request import Request
from amqptasks.retry import RetryPolicy
from amqptasks.task import Task, current_request
from amqptasks.topology.delays import arrived_by_ladder
from amqptasks.topology.topology import QueueSettings
from amqptasks.transport import Delivery, Outgoing
from amqptasks.worker.job import DELIVERIES, Job
from amqptasks.worker.outcomes import (
    LOST,
    Expired,
    Failure,
    Outcome,
    Postpone,
    Recount,
    Reject,
    Retry,
    Success,
    classify,
)
from amqptasks.worker.settlement import Settlement, settlement
from amqptasks.worker.waiting import count_native_retries, waiting

#: Seconds before the first retry of a queue whose `retry:` has a back-off and no `first`.
FIRST_DELAY = 1.0

#: Seconds by which a task may be early: below one tick of the delay ladder, waiting costs more than it gives.
EARLY = 0.032

#: Turns a message into one that goes through the delay ladder for so many seconds.
Delayed = Callable[[Outgoing, float], Outgoing]


class Steps:
    """The steps before settling, for one worker: what they need to know, and nothing they write."""

    def __init__(
        self,
        tasks: Mapping[str, Task[..., Any]],
        worker: str,
        delayed: Delayed,
        codec: Codec = PLAIN,
        capabilities: Callable[[], Capabilities | None] = lambda: None,
    ) -> None:
        self._tasks = tasks
        self._codec = codec
        self._worker = worker
        self._delayed = delayed
        self._capabilities = capabilities
        self._policies = RetryPolicies()

    def execute(self, job: Job) -> None:
        """All steps of a plain function's job. Never raises."""
        if self.prepare(job):
            self.run(job)
        self.plan(job)

    async def execute_async(self, job: Job) -> None:
        """All steps of an `async def` task's job. Never raises."""
        if self.prepare(job):
            await self.run_async(job)
        self.plan(job)

    def conclude(self, job: Job, outcome: Outcome) -> None:
        """Plan what was decided elsewhere than in the task: it was revoked, or ended by force."""
        if job.request is None and not self.decode(job) and job.outcome is not LOST:
            self.plan(job)
            return
        if job.task is None and job.request is not None:
            job.task = self._tasks.get(job.request.task)
        job.outcome = outcome
        self.plan(job)

    def prepare(self, job: Job) -> bool:
        """decode, resolve, admit; True when the task is to be run."""
        return self.decode(job) and self.resolve(job) and self.admit(job)

    def decode(self, job: Job) -> bool:
        delivery = job.delivery
        if not delivery.lease.alive:
            job.outcome = LOST
            return False
        decoded = self._codec.decode(delivery.properties, delivery.body)
        if isinstance(decoded, Malformed):
            job.outcome = (
                Reject(decoded.reason, decoded.detail)
                if decoded.reason in ("unsigned", "bad-signature")
                else Reject("malformed", f"{decoded.reason}: {decoded.detail}")
            )
            return False
        decoded.queue = delivery.queue
        decoded.exchange = delivery.exchange
        decoded.routing_key = delivery.routing_key
        decoded.redelivered = delivery.redelivered
        decoded.delivery_count = deliveries_before(delivery)
        count_native_retries(decoded, delivery, job.queue)
        job.request = decoded
        return True

    def resolve(self, job: Job) -> bool:
        assert job.request is not None
        task = self._tasks.get(job.request.task)
        if task is None:
            job.outcome = Reject("unknown-task", f"no task {job.request.task!r} is known to this worker")
            return False
        job.task = task
        job.policy = self._policies.of(task, job.queue)
        return True

    def admit(self, job: Job) -> bool:
        """Refuse what must not run, or not yet."""
        job.outcome = refusal(job)
        return job.outcome is None

    def run(self, job: Job) -> None:
        assert job.task is not None
        assert job.request is not None
        request, task = job.request, job.task
        token = current_request.set(request)
        job.started = time.monotonic()
        try:
            job.outcome = Success(call(task, request))
        except BaseException as error:
            self._classify(job, error)
        finally:
            job.runtime = time.monotonic() - job.started
            current_request.reset(token)

    async def run_async(self, job: Job) -> None:
        assert job.task is not None
        assert job.request is not None
        request, task = job.request, job.task
        current_request.set(request)  # each asyncio task has a context of its own
        job.started = time.monotonic()
        try:
            job.outcome = Success(await task(*request.args, **request.kwargs))
        except asyncio.CancelledError as error:
            # From us with a reason; a task that cancels itself has failed: handed back, it would run for ever.
            self._classify(job, job.interruption or error)
        except BaseException as error:
            self._classify(job, error)
        finally:
            job.runtime = time.monotonic() - job.started

    def plan(self, job: Job) -> None:
        """What is to be written, ready encoded: results and exceptions hold user code, which must not run in the
        link's thread. A retry whose new arguments or delay are impossible, or a result whose `__json__` raises, is a
        failure that says so: whatever a user's code does here, the job gets its settlement."""
        assert job.outcome is not None
        try:
            job.planned = self._planned(job, job.outcome)
        except Exception as error:
            job.outcome = Failure(error) if job.started else Reject("malformed", exception_text(error))
            job.planned = self._planned(job, job.outcome)

    def _planned(self, job: Job, outcome: Outcome) -> Settlement:
        planned = settlement(job, outcome, self._worker, self._codec)
        if isinstance(outcome, Retry):
            planned = waiting(job, outcome, planned, self._capabilities())
        if planned.delay > 0:
            planned.onward = tuple(self._delayed(outgoing, planned.delay) for outgoing in planned.onward)
        return planned

    def _classify(self, job: Job, error: BaseException) -> None:
        assert job.policy is not None
        assert job.request is not None
        try:
            job.outcome = classify(error, job.policy, job.request)
        except Exception as broken:  # `self.retry(max_retries="3")`, or a class with an odd idea of isinstance
            broken.__context__ = error
            job.outcome = Failure(broken)


def call(task: Task[..., Any], request: Request) -> Any:
    """The task's own code, and nothing else: what interrupts a task looks for this frame."""
    return task(*request.args, **request.kwargs)


class RetryPolicies:
    """The policy for a task on a queue: the task's own where it has one, else the queue's `retry:`."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], RetryPolicy] = {}

    def of(self, task: Task[..., Any], queue: QueueSettings) -> RetryPolicy:
        key = (task.name, queue.name)
        policy = self._known.get(key)
        if policy is None:
            policy = self._known[key] = policy_of(task, queue)
        return policy


def policy_of(task: Task[..., Any], queue: QueueSettings) -> RetryPolicy:
    """A queue's `retry:` retries after any exception, as often as it has delays; `throws` are failures at once."""
    retry = queue.retry
    if retry is None or task.has_retry_policy:
        return task.retry_policy
    policy = RetryPolicy(
        autoretry_for=(Exception,), dont_autoretry_for=task.throws, jitter=retry.jitter, retry_jitter=False
    )
    if retry.max_retries is not None or retry.delays:
        policy = replace(policy, max_retries=len(retry.delays) if retry.max_retries is None else retry.max_retries)
    if retry.delays:
        return replace(policy, delays=retry.delays)
    return replace(
        policy, retry_backoff=retry.first or FIRST_DELAY, retry_backoff_max=retry.max or policy.retry_backoff_max
    )


def refusal(job: Job) -> Outcome | None:
    """Why this request is not run now; None when it is. Pure but for the clock."""
    request, delivery = job.request, job.delivery
    assert request is not None
    if delivery.redelivered or request.delivery_count:
        failed = failed_deliveries(delivery)
        if failed >= job.queue.most_deliveries > 0:
            detail = f"it was delivered {failed} times and never settled; the limit is {job.queue.most_deliveries}"
            return Reject("too-many-deliveries", detail)
        if delivery.redelivered and not _is_counted(delivery):
            return Recount(failed + 1)
    if request.callbacks or request.errbacks or request.chain or request.chord:
        return Reject("unsupported", "it asks for link, link_error, chain or chord, which this release does not run")
    if request.expires is None and request.eta is None:
        return None
    now = datetime.now(UTC)
    if request.expires is not None and request.expires <= now:
        return Expired(f"it expired at {request.expires.isoformat()}")
    if request.eta is not None and not arrived_by_ladder(delivery.properties.headers or {}):
        delay = (request.eta - now).total_seconds()
        if delay > EARLY:
            return Postpone(delay)
    return None


def deliveries_before(delivery: Delivery) -> int:
    """How often this message was delivered before: as the broker acquired it (4.3), else as it counts deliveries
    (quorum queues), else as we count (classic queues), else whether it is redelivered."""
    headers = delivery.properties.headers
    if headers:
        for name in ("x-acquired-count", "x-delivery-count", DELIVERIES):
            count = headers.get(name)
            if isinstance(count, int) and count > 0:
                return count
    return 1 if delivery.redelivered else 0


def failed_deliveries(delivery: Delivery) -> int:
    """As `deliveries_before`, without those that only handed the message back (4.3 counts them apart)."""
    headers = delivery.properties.headers or {}
    for name in ("x-delivery-count", DELIVERIES):
        count = headers.get(name)
        if isinstance(count, int):
            return count
    return 0


def _is_counted(delivery: Delivery) -> bool:
    headers = delivery.properties.headers or {}
    return "x-delivery-count" in headers or "x-acquired-count" in headers
