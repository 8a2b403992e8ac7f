"""Tasks that may run longer than the broker waits for their acknowledgement.

Half an hour by default; then the delivery goes back, and the task runs again beside itself. What a queue says beats
rabbitmq.conf, a policy counts where it is lower. https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout
"""

from __future__ import annotations

from collections.abc import Iterator

from amqptasks.doctor.commands import amqptasks, set_policy
from amqptasks.doctor.finding import Finding
from amqptasks.doctor.snapshot import Snapshot
from amqptasks.topology import durations
from amqptasks.topology.ask.time_limits import TimeLimit
from amqptasks.transport.capabilities import CONSUMER_TIMEOUT

#: How much longer than a task the broker is to wait: time for what is prefetched before it, and for its outcome.
ROOM = 2


def consumer_timeouts(seen: Snapshot) -> Iterator[Finding]:
    for queue, limit in sorted(seen.time_limits.items()):
        timeout, whose = _timeout(seen, queue)
        if timeout is not None and timeout <= limit.seconds:
            may = durations.written(limit.seconds)
            problem = f"{limit.task} may run for {may}, and {whose} takes it back after {durations.written(timeout)}"
            yield Finding("wrong", f"queue {queue}", problem, _fix(seen, queue, limit))


def _timeout(seen: Snapshot, name: str) -> tuple[float | None, str]:
    """In seconds, None where there is none; and whose it is."""
    can = seen.capabilities
    queue = None if seen.observed is None else seen.observed.queues.get(name)
    kind = queue.type if queue is not None else _kind(seen, name)
    if can.consumer_timeout_argument:
        if kind != "quorum":  # classic queues and streams have none from 4.3 on
            return None, ""
        consumers = seen.consumers.get(name)
        if consumers is not None and consumers.timeout is not None:
            return consumers.timeout, "its consumers' timeout"
    if can.consumer_timeout_of_queues:
        if queue is not None:
            own = seen.setting(queue, "consumer-timeout")
        else:
            wanted = seen.planned.get(name)
            own = None if wanted is None else wanted.arguments.get("x-consumer-timeout")
        if isinstance(own, int):
            return own / 1000, "the queue's consumer timeout"
    if can.consumer_timeout_argument:  # a worker asks for as long as its tasks may take
        return None, ""
    if seen.broker_timeout is not None:
        return seen.broker_timeout, "the broker's consumer_timeout"
    return (
        CONSUMER_TIMEOUT,
        "the broker's consumer_timeout (its default: what rabbitmq.conf says cannot be read from here)",
    )


def _kind(seen: Snapshot, name: str) -> str:
    wanted = seen.planned.get(name)
    return "quorum" if wanted is None else str(wanted.arguments.get("x-queue-type", "classic"))


def _fix(seen: Snapshot, queue: str, limit: TimeLimit) -> str:
    milliseconds = int(limit.seconds * ROOM * 1000)
    if not seen.capabilities.consumer_timeout_of_queues:
        wanted = durations.written(limit.seconds * ROOM)
        return f"consumer_timeout = {milliseconds} in rabbitmq.conf, then amqptasks doctor --consumer-timeout {wanted}"
    there = None if seen.observed is None else seen.observed.queues.get(queue)
    argument = None if there is None else there.queue.arguments.get("x-consumer-timeout")
    if isinstance(argument, int) and argument < milliseconds:  # the lower counts: a policy cannot raise it
        wanted = durations.written(limit.seconds * ROOM)
        return f"consumer_timeout: {wanted} in the file, then {amqptasks(seen.app, 'migrate', queue)}"
    policy = None if there is None else seen.policy(there)
    return set_policy(seen.vhost, queue, "timeout", {"consumer-timeout": milliseconds}, policy)
