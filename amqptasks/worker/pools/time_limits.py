"""Limits of time: when a task is told that it ran too long, and when it is ended. Link thread only.

A call's own limits come first (header `timelimit`, Celery's: hard, soft), then the task's options, then the worker's.
What was set while the worker runs stands in place of the last two, both limits at once: one that is None is none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from amqptasks.errors import SoftTimeLimitExceeded, TimeLimitExceeded
from amqptasks.messages.properties import Headers
from amqptasks.options import TaskOptions
from amqptasks.runtime.clock import monotonic
from amqptasks.tasks.outcomes import Failure, Outcome
from amqptasks.transport import Link, Timer
from amqptasks.worker.job.job import Job
from amqptasks.worker.pools.choice import Pools


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """In seconds; None for none."""

    hard: float | None = None
    soft: float | None = None


Act = Callable[[Job, float], None]


class End(Protocol):
    def __call__(self, job: Job, outcome: Outcome, *, force: bool) -> bool: ...


class Limits:
    """Watches the jobs of a worker. `end` ends one by force, with an outcome."""

    def __init__(self, link: Link, pools: Pools, end: End, default: TimeLimits) -> None:
        self._link = link
        self._pools = pools
        self._end = end
        self.default = default
        self.own: dict[str, TimeLimits] = {}
        self._timers: dict[Job, dict[Act, Timer]] = {}

    def of(self, job: Job, headers: Headers | None, options: TaskOptions | None) -> TimeLimits | None:
        """The limits of a job with these `headers`, of a task with these `options`; None where it has none."""
        hard = soft = None
        if headers and "timelimit" in headers:
            hard, soft = _given(headers["timelimit"])
        own = self.own.get(job.task_name) if self.own else None
        if own is not None:
            hard, soft = hard or own.hard, soft or own.soft
        else:
            if options:
                hard = hard or _seconds(options.get("time_limit"))
                soft = soft or _seconds(options.get("soft_time_limit"))
            hard, soft = hard or self.default.hard, soft or self.default.soft
        return TimeLimits(hard, soft) if hard or soft else None

    def concern(self, task: str | None, options: TaskOptions | None) -> bool:
        """Whether all jobs of this task, whose options these are, have limits; else some, whose messages say so."""
        own = self.own.get(task or "") if self.own else None
        if own is not None:
            return bool(own.hard or own.soft)
        default = self.default
        return bool(default.hard or default.soft) or (
            options is not None and ("time_limit" in options or "soft_time_limit" in options)
        )

    def watch(self, job: Job, limits: TimeLimits) -> None:
        """Hold `job` to its limits from when it begins, and tell it."""
        job.limits = limits
        self._timers[job] = {}
        if limits.soft:
            self._at(job, limits.soft, self._soft)
        if limits.hard:
            self._at(job, limits.hard, self._hard)

    def forget(self, job: Job) -> None:
        """It has ended."""
        if not self._timers:  # asked for each job, most of which have none
            return
        timers = self._timers.pop(job, None)
        if timers:
            for timer in timers.values():
                timer.cancel()

    @property
    def watched(self) -> int:
        return len(self._timers)

    def _at(self, job: Job, limit: float, act: Act) -> None:
        """Call `act` once the job has run for `limit` seconds, however long it waits before it begins."""

        def look() -> None:
            timers = self._timers.get(job)
            if timers is None:
                return
            began = self._pools.of(job).started(job)
            left = limit if not began else began + limit - monotonic()
            if left > 0:
                timers[act] = self._link.call_later(left, look)
            else:
                act(job, limit)

        self._timers[job][act] = self._link.call_later(limit, look)

    def _soft(self, job: Job, limit: float) -> None:
        error = SoftTimeLimitExceeded(f"it ran longer than its soft time limit, {limit:g} s")
        self._pools.of(job).interrupt(job, error)

    def _hard(self, job: Job, limit: float) -> None:
        detail = f"it ran longer than its time limit, {limit:g} s"
        if not self._end(job, Failure(TimeLimitExceeded(detail)), force=True) and job in self._timers:
            # It has just ended, and comes back in this moment; or its pool can only ask it to end.
            self._pools.of(job).interrupt(job, TimeLimitExceeded(detail))


def _given(limits: object) -> tuple[float | None, float | None]:
    if not isinstance(limits, list | tuple) or len(limits) != 2:
        return None, None
    return _seconds(limits[0]), _seconds(limits[1])


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value > 0 else None
