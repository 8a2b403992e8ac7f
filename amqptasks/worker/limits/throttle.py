"""admit: is a task over its limits? Asked where deliveries come in, before any pool has them; link thread only, but
for what a message must be read for (`Decisions`): its sender decides what that costs.

    the rate of this worker      a token of a bucket here
    the rate of all workers      the same, to come at a likely time; then a token on the broker, held for a while
    so many at once              a token on the broker, held while the task runs

A task that must wait goes back through the delay ladder, and is neither in the prefetch nor in memory meanwhile.
"""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Callable
from typing import Any

from amqptasks.errors import ConfigurationError
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.own_headers import THROTTLED
from amqptasks.options.limits import TaskLimits
from amqptasks.options.rates import Rate
from amqptasks.runtime.clock import broker_time
from amqptasks.tasks.outcomes import Outcome, Reject, Throttled
from amqptasks.tasks.task import Task
from amqptasks.transport import Link
from amqptasks.untrusted import bounds
from amqptasks.worker.execute.decisions import Decisions
from amqptasks.worker.execute.executor import Executor
from amqptasks.worker.job.admission import EARLY, refusal
from amqptasks.worker.job.job import Job
from amqptasks.worker.limits.bucket import AHEAD, Bucket
from amqptasks.worker.limits.tokens import Tokens, named

#: Seconds that a task may wait for its token in the worker: one tick of the delay ladder, which cannot wait shorter.
#: A longer wait here would keep others of its queue waiting, too.
IN_PLACE = EARLY

#: Seconds until a task asks again that found no place: between these, a quarter of what it has waited already, so that
#: it waits little longer than it had to, and a thousand that wait for long do not ask all the time.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 30.0
PART_OF_WAIT = 0.25

#: By how much such a pause varies, so that those who came together do not ask together.
JITTER = 0.5

#: Sets of tokens for the keys of one task. A queue for each key would be a queue for each customer; keys that share a
#: set only wait for each other now and then, and never deadlock, for a task holds one.
KEY_SETS = 64

#: Seconds' worth of a cluster's rate that is given out as tokens, each held about so long. Asking for one takes some
#: milliseconds, which must be little of that.
TOKENS_FOR = 2.0

#: The part of its time that such a token is held: it must be back before the next task comes for it, and the delay
#: ladder is up to 50 ms late. So all workers together are up to 5 % over the rate, never more.
HELD_FOR = 0.95

NO_LIMITS = TaskLimits()


class _Read:
    """What was read in a message: whether its pool will refuse it, the name of its places, why its key cannot be."""

    __slots__ = ("misfit", "places", "refused")

    def __init__(self) -> None:
        self.refused = False
        self.places: str | None = None
        self.misfit: str | None = None


class Throttle:
    """Holds the tasks of one worker to their limits. `begin` hands a job to its pool, `conclude` ends one."""

    def __init__(
        self,
        link: Link,
        steps: Executor,
        decisions: Decisions,
        tokens: Tokens,
        longest_delay: float,
        begin: Callable[[Job], None],
        conclude: Callable[[Job, Outcome], None],
    ) -> None:
        self._link = link
        self._steps = steps
        self._decisions = decisions
        self._tokens = tokens
        self._longest = longest_delay
        self._begin = begin
        self._conclude = conclude
        self._buckets: dict[str, Bucket] = {}
        self._places: dict[Job, Delivery] = {}  # the token of each that runs by one
        #: Rates by the name of their task, which were set while the worker runs, and come before the task's own.
        self.rates: dict[str, Rate | None] = {}

    def set_rate(self, task: str, rate: Rate | None) -> None:
        """Another rate of this worker from now on; what waits by the old one comes back when that said, a quarter of an
        hour at most, and then waits by the new."""
        self.rates[task] = rate
        self._buckets.pop(task, None)

    def admits(self, job: Job, task: Task[..., Any]) -> bool:
        """True when it may run now; else it is taken care of."""
        limits = task.limits or NO_LIMITS
        rate = self._rate_of(task, limits)
        if rate is None and limits.at_once is None:
            return True
        read = _Read()
        self._decisions.ask(
            job,
            lambda: self._look_into(job, task, limits, read),
            lambda error: self._looked_into(job, task, limits, read, error),
            before_run=True,
        )
        return False

    def _look_into(self, job: Job, task: Task[..., Any], limits: TaskLimits, read: _Read) -> None:
        """On another thread: the message is read for its key, and for whether its pool would refuse it anyway."""
        if not self._steps.decode(job) or refusal(job) is not None:
            read.refused = True
        elif limits.at_once is not None:
            try:
                read.places = _places_of(task, limits, job)
            except ConfigurationError as error:
                read.misfit = str(error)
        # Its pool reads it once more: meanwhile it may wait for long, and what is read may be large.
        job.request, job.outcome = None, None

    def _looked_into(
        self, job: Job, task: Task[..., Any], limits: TaskLimits, read: _Read, error: BaseException | None
    ) -> None:
        if error is not None:
            self._conclude(job, Reject("malformed", f"it cannot be read: {type(error).__name__}"))
            return
        if read.misfit is not None:
            self._conclude(job, Reject("invalid-arguments", read.misfit))
            return
        rate = self._rate_of(task, limits)
        if read.refused or not job.ours or (rate is None and limits.at_once is None):
            self._begin(job)  # its pool refuses it, or it is not ours any more, and that is seen there
            return
        since = _since(job)
        now = broker_time.now()
        if since is not None and now - since >= limits.throttle_for:
            detail = f"its limits put it off for {now - since:.0f} s; its throttle_for is {limits.throttle_for:g} s"
            self._conclude(job, Reject("throttled", detail))
        elif rate is None or self._has_token(job, task, rate, read, came_back=since is not None):
            self._go_on(job, task, limits, read)

    def _go_on(self, job: Job, task: Task[..., Any], limits: TaskLimits, read: _Read) -> None:
        """The rate of this worker lets it run."""
        if limits.at_once is None and limits.cluster_rate is None:
            self._begin(job)
        else:
            self._ask_the_broker(job, task, limits, read)

    def forget(self, job: Job) -> None:
        """It does not run any more."""
        token = self._places.pop(job, None)
        if token is not None:
            self._tokens.give_back(token)

    def _rate_of(self, task: Task[..., Any], limits: TaskLimits) -> Rate | None:
        """How often this worker may try to start it: no more often than all of them together."""
        own = self.rates.get(task.name, limits.rate)
        if own is None or limits.cluster_rate is None:
            return own or limits.cluster_rate
        return max(own, limits.cluster_rate, key=lambda rate: rate.interval)

    def _has_token(self, job: Job, task: Task[..., Any], rate: Rate, read: _Read, *, came_back: bool) -> bool:
        wait = self._bucket_of(task, rate).take(came_back=came_back)
        if not wait:
            return True
        if wait <= IN_PLACE:
            self._link.call_later(wait, lambda: self._fetch(job, task, rate, read))
        else:
            self._put_off(job, wait, f"its rate limit is {rate.written}")
        return False

    def _bucket_of(self, task: Task[..., Any], rate: Rate) -> Bucket:
        bucket = self._buckets.get(task.name)
        if bucket is None:
            bucket = self._buckets[task.name] = Bucket(rate, min(AHEAD, self._longest))
        return bucket

    def _fetch(self, job: Job, task: Task[..., Any], rate: Rate, read: _Read) -> None:
        """It waited here for the token that it was promised."""
        if self._has_token(job, task, rate, read, came_back=True):
            self._go_on(job, task, task.limits or NO_LIMITS, read)

    def _ask_the_broker(self, job: Job, task: Task[..., Any], limits: TaskLimits, read: _Read) -> None:
        """First for a place, which is given back at once where the rate forbids it."""
        if limits.at_once is None:
            self._ask_for_rate(job, task, limits)
        else:
            name = read.places or named(task.name, limits.at_once)
            self._tokens.take(name, limits.at_once, lambda token: self._placed(job, task, limits, token))

    def _placed(self, job: Job, task: Task[..., Any], limits: TaskLimits, token: Delivery | None) -> None:
        if token is None:
            self._keep_rate(task, limits)
            self._put_off(job, _pause(job), f"{limits.at_once} at once run already")
            return
        self._places[job] = token
        if limits.cluster_rate is None:
            self._begin(job)
        else:
            self._ask_for_rate(job, task, limits)

    def _ask_for_rate(self, job: Job, task: Task[..., Any], limits: TaskLimits) -> None:
        rate = limits.cluster_rate
        assert rate is not None
        count = max(1, math.ceil(TOKENS_FOR / rate.interval))
        held = count * rate.interval * HELD_FOR
        name = named(task.name, "rate", count, f"{held * 1000:.0f}ms")

        def taken(token: Delivery | None) -> None:
            if token is None:
                self.forget(job)
                wait = self._bucket_of(task, rate).take(came_back=False)
                self._put_off(job, max(wait, rate.interval, IN_PLACE), f"the rate limit of all is {rate.written}")
                return
            self._link.call_later(held, lambda: token.lease.nack(token.tag))
            self._begin(job)

        self._tokens.take(name, count, taken)

    def _keep_rate(self, task: Task[..., Any], limits: TaskLimits) -> None:
        rate = self._rate_of(task, limits)
        if rate is not None:
            self._bucket_of(task, rate).give_back()

    def _put_off(self, job: Job, delay: float, detail: str) -> None:
        since = _since(job)
        delay = min(delay, self._longest)
        if not delay:  # it would be back at once, and go round and round
            detail = f"{detail}, and the topology has no delay ladder to wait in: see `delays:`"
            self._conclude(job, Reject("unsupported", detail))
            return
        self._conclude(job, Throttled(delay, broker_time.now() if since is None else since, detail))


def _places_of(task: Task[..., Any], limits: TaskLimits, job: Job) -> str:
    """The name of the tokens for this job. Raises `ConfigurationError` where its key does not fit its arguments."""
    assert job.request is not None
    if limits.key is None:
        return named(task.name, limits.at_once)
    args, kwargs = job.request.args, job.request.kwargs
    arguments = task.arguments.by_name(args, kwargs) if task.arguments is not None else kwargs
    key = (limits.key_of(arguments) or "").encode(errors="surrogatepass")  # JSON may hold half of a pair
    return named(task.name, limits.at_once, f"{zlib.crc32(key) % KEY_SETS:02d}")


def _pause(job: Job) -> float:
    since = _since(job)
    waited = 0.0 if since is None else broker_time.now() - since
    pause = min(max(PART_OF_WAIT * waited, SHORTEST_PAUSE), LONGEST_PAUSE)
    return pause * random.uniform(1 - JITTER, 1 + JITTER)


def _since(job: Job) -> float | None:
    """When its limits first put it off."""
    try:
        return bounds.moment((job.delivery.properties.headers or {}).get(THROTTLED))
    except bounds.OutOfBounds:
        return None
