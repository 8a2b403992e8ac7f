"""admit: why a message is not run now. Each admission looks at a job, and answers with its outcome, or None.

A worker asks them in turn (`Executor.admissions`); the first outcome counts.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from amqptasks.messages.delivery import Delivery
from amqptasks.messages.outgoing import QUEUES_EXCHANGE
from amqptasks.messages.own_headers import DELIVERIES
from amqptasks.messages.reach import Reach
from amqptasks.runtime.clock import broker_time
from amqptasks.tasks.outcomes import Expired, Outcome, Postpone, Recount, Reject
from amqptasks.topology.delays import ROOM, TWINS, arrived_by_ladder
from amqptasks.untrusted import bounds
from amqptasks.untrusted.numbers import counted
from amqptasks.worker.job.job import Job

Admission = Callable[[Job], Outcome | None]

#: Seconds by which a task may be early: below one tick of the delay ladder, waiting costs more than it gives.
EARLY = 0.032

#: A message is taken from its queue so many times its delivery limit, at most, without being settled. From 4.3 on the
#: broker does not count it as a failure when it takes a message back after its consumer timeout, nor when a worker that
#: stops hands it back: so a task that never ends in time would run for ever. A message that is only handed back comes
#: near this number in a hundred restarts of its workers (the limit is 20 by default).
MOST_ACQUISITIONS = 5

#: Failed deliveries before a message is given up, whatever the limit of its queue is: it may have died with another one
#: at first, and then runs alone once (see `consume.alone`).
LEAST_DELIVERIES = 2

#: Exchanges that lead to a queue by its name. No role but a worker's may write to the default one.
_BY_NAME = ("", QUEUES_EXCHANGE)

#: Headers that count deliveries, the best first.
_COUNTS = ("x-acquired-count", "x-delivery-count", DELIVERIES)


def refusal(job: Job, utcnow: Callable[[], datetime] = broker_time.utcnow) -> Outcome | None:
    """Why this request is not run now; None when it is. Pure but for the clock, which a simulation has of its own."""
    request, delivery = job.request, job.delivery
    assert request is not None
    if delivery.redelivered or request.delivery_count:
        failed = failed_deliveries(delivery)
        limit = job.queue.most_deliveries
        if limit and failed >= max(limit, LEAST_DELIVERIES):
            detail = f"it was delivered {counted(failed, 'time')} and never settled; the limit is {limit}"
            return Reject("too-many-deliveries", detail)
        acquired = deliveries_before(delivery)
        if acquired >= MOST_ACQUISITIONS * job.queue.most_deliveries > 0:
            return Reject("too-many-deliveries", _acquired_too_often(acquired, job.queue.most_deliveries))
        if delivery.redelivered and not _is_counted(delivery):
            return Recount(failed + 1)
    if request.expires is None and request.eta is None:
        return None
    now = utcnow()
    if request.expires is not None and request.expires <= now:
        return Expired(f"it expired at {request.expires.isoformat()}")
    if request.eta is not None:
        # What comes off the ladder is never early by the broker's clock. The header alone proves nothing, for anybody
        # who copies a signed message may add it: such a message may be early by as much as two clocks differ.
        delay = (request.eta - now).total_seconds()
        if delay > (bounds.CLOCK_DIFFERENCE if arrived_by_ladder(delivery.shared_headers) else EARLY):
            return Postpone(delay)
    return None


def _acquired_too_often(acquired: int, limit: int) -> str:
    return (
        f"it was taken from its queue {acquired} times and never settled, which is {MOST_ACQUISITIONS} times the "
        f"delivery limit of {limit}: its task may run longer than the consumer timeout. Set `consumer_timeout` of the "
        "queue in the topology, or `time_limit` of the task"
    )


def deliveries_before(delivery: Delivery) -> int:
    """How often this message was delivered before: as the broker acquired it (4.3), else as it counts deliveries
    (quorum queues), else as we count (classic queues), else whether it is redelivered."""
    headers = delivery.shared_headers
    for name in _COUNTS:
        if name in headers and (name != DELIVERIES or counted_by_worker(delivery)):
            count = headers[name]
            if isinstance(count, int) and count > 0:
                return min(count, bounds.MOST_RETRIES)
    return 1 if delivery.redelivered else 0


def failed_deliveries(delivery: Delivery) -> int:
    """As `deliveries_before`, without those that only handed the message back (4.3 counts them apart): those that the
    broker counts, and those that were counted before the message was last published again."""
    headers = delivery.shared_headers
    found = 0
    for name in ("x-delivery-count", DELIVERIES) if counted_by_worker(delivery) else ("x-delivery-count",):
        count = headers.get(name)
        if isinstance(count, int) and count > 0:
            found += count
    return min(found, bounds.MOST_RETRIES)  # who may publish by name can write such a header


def counted_by_worker(delivery: Delivery) -> bool:
    """Whether a worker can have counted the deliveries of this message: what it counts it publishes by name, and some
    of that waits on the ladder then. Whoever may publish to one queue alone does that by another exchange, and must
    not make a worker set everything else aside (`consume.alone`)."""
    return delivery.exchange in _BY_NAME or delivery.exchange.startswith((TWINS, ROOM))


def replies_to(reach: Reach) -> Admission:
    """Refuses a message that asks for its reply in a place where this app sends none."""

    def refused(job: Job) -> Outcome | None:
        request = job.request
        assert request is not None
        if request.reply_to is None or request.verified:
            return None
        problem = reach.reply_problem(request.reply_to)
        return None if problem is None else Reject("unsupported", problem)

    return refused


def _is_counted(delivery: Delivery) -> bool:
    headers = delivery.shared_headers
    return "x-delivery-count" in headers or "x-acquired-count" in headers
