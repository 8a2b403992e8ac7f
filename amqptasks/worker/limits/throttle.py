"""admit: is a task over its limits? Asked where deliveries come in, before any pool has them; link thread only.

A task that must wait goes back through the delay ladder, and is neither in the prefetch nor in memory meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from amqptasks.limits import TaskLimits
from amqptasks.rate import Rate
from amqptasks.task import Task
from amqptasks.transport import Link
from amqptasks.worker.admission import EARLY, refusal
from amqptasks.worker.delivery import Steps
from amqptasks.worker.job import THROTTLED, Job
from amqptasks.worker.limits.bucket import AHEAD, Bucket
from amqptasks.worker.outcomes import Outcome, Reject, Throttled

#: Seconds that a task may wait for its token in the worker: one tick of the delay ladder, which cannot wait shorter.
#: A longer wait here would keep others of its queue waiting, too.
IN_PLACE = EARLY

NO_LIMITS = TaskLimits()


class Throttle:
    """Holds the tasks of one worker to their rates. `begin` hands a job to its pool, `conclude` ends one."""

    def __init__(
        self,
        link: Link,
        steps: Steps,
        longest_delay: float,
        begin: Callable[[Job], None],
        conclude: Callable[[Job, Outcome], None],
    ) -> None:
        self._link = link
        self._steps = steps
        self._ahead = min(AHEAD, longest_delay)
        self._begin = begin
        self._conclude = conclude
        self._buckets: dict[str, Bucket] = {}
        #: Rates by the name of their task, which were set while the worker runs, and come before the task's own.
        self.rates: dict[str, Rate | None] = {}

    def rate_of(self, task: Task[..., Any]) -> Rate | None:
        """How often this worker may start it."""
        if task.name in self.rates:
            return self.rates[task.name]
        return task.limits.rate if task.limits is not None else None

    def set_rate(self, task: str, rate: Rate | None) -> None:
        """Another rate from now on; what waits by the old one comes back when that said, a quarter of an hour at most,
        and then waits by the new."""
        self.rates[task] = rate
        self._buckets.pop(task, None)

    def admits(self, job: Job, task: Task[..., Any]) -> bool:
        """True when it may run now; else it is taken care of."""
        limits = task.limits or NO_LIMITS
        rate = self.rate_of(task)
        if rate is None:
            return True
        if not self._is_to_run(job):
            return True
        since = _since(job)
        now = time.time()
        if since is not None and now - since >= limits.throttle_for:
            detail = f"its limits put it off for {now - since:.0f} s; its throttle_for is {limits.throttle_for:g} s"
            self._conclude(job, Reject("throttled", detail))
            return False
        return self._has_token(job, task, rate, came_back=since is not None)

    def _is_to_run(self, job: Job) -> bool:
        """False for what its pool will refuse, whatever its rate: that takes no token."""
        if self._steps.decode(job) and refusal(job) is None:
            return True
        job.outcome = None  # the pool finds out by itself
        return False

    def _has_token(self, job: Job, task: Task[..., Any], rate: Rate, *, came_back: bool) -> bool:
        bucket = self._buckets.get(task.name)
        if bucket is None:
            bucket = self._buckets[task.name] = Bucket(rate, self._ahead)
        wait = bucket.take(came_back=came_back)
        if not wait:
            return True
        if wait <= IN_PLACE:
            self._link.call_later(wait, lambda: self._fetch(job, task, rate))
        else:
            self._put_off(job, wait, f"its rate limit is {rate.written}")
        return False

    def _fetch(self, job: Job, task: Task[..., Any], rate: Rate) -> None:
        """It waited here for the token that it was promised."""
        if self._has_token(job, task, rate, came_back=True):
            self._begin(job)

    def _put_off(self, job: Job, delay: float, detail: str) -> None:
        since = _since(job)
        self._conclude(job, Throttled(delay, time.time() if since is None else since, detail))


def _since(job: Job) -> float | None:
    """When its limits first put it off."""
    noted = (job.delivery.properties.headers or {}).get(THROTTLED)
    return float(noted) if isinstance(noted, int | float) else None
