"""Runs whose lease is lost: the broker took their message back, because the connection broke or the task took longer
than the broker waits for an ack. Link thread only.

A run goes on without its lease. When the broker delivers the same message here again, the run takes that delivery as
its new lease and settles it with its own outcome, so nothing runs twice. A run that has ended by then keeps its
outcome for a while. Three things make an outcome worthless:

    the task was told     it has read `request.lease_lost` as true, and may have ended early because of that
    it never ran          its pool found the lease lost before the task's first line
    it was handed back    the worker stops

Two messages with the same id, headers and body are interchangeable: whichever of them comes first takes the run, and
the other one runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from amqptasks.messages.delivery import Delivery
from amqptasks.messages.properties import Properties
from amqptasks.tasks.outcomes import HandBack, Lost
from amqptasks.transport import Link, Timer
from amqptasks.worker.job.job import Job, task_id_of
from amqptasks.worker.job.settlement import Settlement

#: Seconds that the outcome of a run is kept after its end. A broker that restarts is back within that time, and gives
#: the messages that it took back to the first consumer.
KEPT_FOR = 60.0

#: Outcomes that are kept, and the bytes of the messages that they hold: a worker loses at most its prefetch at once, so
#: only one that is cut off again and again comes near.
MOST_KEPT = 1000
MOST_BYTES = 64_000_000

#: Headers in which a redelivered message differs from what it was: the broker's counts.
COUNTS = frozenset({"x-delivery-count", "x-acquired-count"})

#: Kinds of settlement that are no outcome of a run.
_NO_OUTCOME = frozenset({Lost.__name__, HandBack.__name__})

#: In place of the settlement of a run whose task was told: no outcome.
NOTHING = Settlement("nothing", kind=Lost.__name__)

_Key = tuple[str, str]


class LostRuns:
    """The lost runs of one node. `drop(job)` settles a run whose message did not come back: somebody else has it.
    `saved` counts the second runs that did not have to be."""

    def __init__(self, link: Link, drop: Callable[[Job], None]) -> None:
        self._link = link
        self._drop = drop
        self._runs: dict[_Key, list[Job]] = {}  # the oldest first
        self._ended: dict[Job, Timer] = {}  # those that have ended; the oldest first
        self._bytes = 0
        self._unacked: set[Job] = set()
        self.saved = 0

    @property
    def is_empty(self) -> bool:
        return not self._runs

    def add(self, job: Job) -> None:
        """It runs, and its lease is lost."""
        self._runs.setdefault(_key(job.delivery), []).append(job)

    def wants_ack(self, job: Job) -> None:
        """It is to be acknowledged before its first line, and has no lease now: its next lease is acknowledged."""
        self._unacked.add(job)

    def is_to_be_acked(self, job: Job) -> bool:
        """Whether `wants_ack` was said of it; once."""
        found = job in self._unacked
        self._unacked.discard(job)
        return found

    def take(self, delivery: Delivery) -> tuple[Job, bool] | None:
        """The run that this delivery belongs to, and whether that has ended: it has the delivery from now on, and is
        lost no more. None for a message that nothing here has run."""
        job = self._find(delivery) if _is_redelivered(delivery) else None
        if job is None:
            return None
        has_ended = job in self._ended  # else its pool, or who decides about it, tells of its end
        self.forget(job)
        job.delivery = delivery  # before the request's lease: see `Executor.decode`
        if job.request is not None:
            job.request.lease = delivery.lease
        self.saved += 1
        return job, has_ended

    def replace(self, job: Job, other: Job) -> None:
        """`other` ends the run of `job` from outside. Its message may come before that is decided."""
        if job in self._runs.get(_key(job.delivery), ()):
            self.forget(job)
            self.add(other)
        if self.is_to_be_acked(job):
            self._unacked.add(other)

    def ended(self, job: Job) -> bool:
        """A run without a lease has ended. True where its outcome is kept: `take` or `drop` settles it."""
        self.forget(job)
        if not has_outcome(job):
            return False
        self.add(job)
        self._ended[job] = self._link.call_later(KEPT_FOR, lambda: self._give_up(job))
        self._bytes += _size(job)
        while len(self._ended) > MOST_KEPT or (self._bytes > MOST_BYTES and self._ended):
            self._give_up(next(iter(self._ended)))
        return True

    def forget(self, job: Job) -> None:
        """It is not lost any more, or another job took its place."""
        key = _key(job.delivery)
        runs = self._runs.get(key, [])
        if job in runs:
            runs.remove(job)
            if not runs:
                del self._runs[key]
        timer = self._ended.pop(job, None)
        if timer is not None:
            timer.cancel()
            self._bytes -= _size(job)

    def give_up(self) -> None:
        """The worker stops: nothing comes back here any more."""
        for job in list(self._ended):
            self._give_up(job)

    def _give_up(self, job: Job) -> None:
        self.forget(job)
        self._unacked.discard(job)
        self._drop(job)

    def _find(self, delivery: Delivery) -> Job | None:
        for job in self._runs.get(_key(delivery), ()):
            if not was_told(job) and _is_same_message(job.delivery, delivery):
                return job
        return None


def has_outcome(job: Job) -> bool:
    """Whether what a run that lost its lease has come to may be settled with another lease."""
    return job.planned is not None and job.planned.kind not in _NO_OUTCOME and not was_told(job)


def was_told(job: Job) -> bool:
    """Whether the task has read that its lease is lost. Of one in another process, its process knows."""
    return job.request is not None and job.request.loss_seen


def _key(delivery: Delivery) -> _Key:
    return delivery.queue, task_id_of(delivery)


def _is_redelivered(delivery: Delivery) -> bool:
    """Whether this message was delivered before: the first delivery of another message is never taken for it."""
    return delivery.redelivered or any(delivery.shared_headers.get(name) for name in COUNTS)


def _is_same_message(one: Delivery, other: Delivery) -> bool:
    if one.body != other.body or (one.exchange, one.routing_key) != (other.exchange, other.routing_key):
        return False
    return _uncounted(one) == _uncounted(other)


def _uncounted(delivery: Delivery) -> Properties:
    given = delivery.properties
    return replace(given, headers={name: value for name, value in (given.headers or {}).items() if name not in COUNTS})


def _size(job: Job) -> int:
    planned = job.planned
    assert planned is not None
    sent = (*planned.onward, *planned.followers, planned.answer, planned.otherwise)
    return len(job.delivery.body) + sum(len(one.body) for one in sent if one is not None)
