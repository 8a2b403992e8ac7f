"""Where a failed task waits for its next attempt: its own queue, a queue for its delay, or the ladder. Pure."""

from __future__ import annotations

from dataclasses import replace

from amqptasks.messages.delivery import Delivery
from amqptasks.messages.outgoing import QUEUES_EXCHANGE
from amqptasks.messages.own_headers import DELIVERIES, TO
from amqptasks.messages.request import Request
from amqptasks.tasks.outcomes import Retry
from amqptasks.topology.delays import UPPER_CLASS
from amqptasks.topology.topology import QueueSettings
from amqptasks.transport.capabilities import Capabilities
from amqptasks.untrusted.bounds import MOST_RETRIES
from amqptasks.worker.job.job import Job
from amqptasks.worker.job.settlement import Settlement


def waiting(job: Job, outcome: Retry, planned: Settlement, capabilities: Capabilities | None) -> Settlement:
    """`planned`, which leads through the ladder, or what the queue's `retry:` puts in its place. None for what the
    broker can do means that it is not known: then it is the ladder."""
    retry = job.queue.retry
    if retry is None or capabilities is None:
        return planned
    if retry.kind == "native" and capabilities.delayed_retry and _is_the_queues_own(job, outcome):
        # Failed, again: the broker counts it, and holds it back as long as the queue's arguments say.
        return replace(planned, verdict="reject", onward=(), delay=0.0)
    name = job.queue.retry_queues.get(outcome.delay)
    if name is None or (capabilities.two_priority_classes and _priority(job.delivery) >= UPPER_CLASS):
        return planned
    for again in planned.onward:
        again.routing_key = name
        # It comes back as one that has waited, whatever the clock of the worker says that gets it.
        again.properties.headers = {**(again.properties.headers or {}), TO: QUEUES_EXCHANGE}
    return replace(planned, delay=0.0)


def count_native_retries(request: Request, delivery: Delivery, queue: QueueSettings) -> None:
    """A message that waited in its own queue carries the number of its attempts as RabbitMQ counts them."""
    if queue.retry is None or queue.retry.kind != "native":
        return
    headers = delivery.shared_headers
    failed = headers.get("x-delivery-count")
    if "x-acquired-count" in headers and isinstance(failed, int):  # both: a quorum queue of 4.3
        request.retries = max(0, min(request.retries + failed, MOST_RETRIES))


def _is_the_queues_own(job: Job, outcome: Retry) -> bool:
    """Whether it is what the queue would do anyway: neither other arguments nor another delay are asked for, and the
    queue is not one from before an upgrade, which counts nothing."""
    assert job.task is not None
    assert job.request is not None
    assert job.queue.retry is not None
    delays = job.queue.retry.delays
    return (
        not job.task.has_retry_policy
        and outcome.call_args is None
        and outcome.call_kwargs is None
        and outcome.delay == delays[min(job.request.retries, len(delays) - 1)]
        and DELIVERIES not in (job.delivery.properties.headers or {})
    )


def _priority(delivery: Delivery) -> int:
    return delivery.properties.priority or 0
