"""What a topology becomes on the broker at hand, where that is not as it is written, and why. For people: `plan` prints
it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from amqptasks.topology import durations
from amqptasks.topology.expand.expand import effective_type
from amqptasks.topology.topology import QueueRetry, QueueSettings, Topology
from amqptasks.transport.capabilities import Capabilities


@dataclass(frozen=True, slots=True)
class Decision:
    """`what` the file says of `queue` (None: of the virtual host), what that `became`, and `why`."""

    queue: str | None
    what: str
    became: str
    why: str


#: Keys that older releases store and pass over, with the first that honours each, and what to do before it.
_SINCE = {
    "consumer_timeout": ((3, 12), "set consumer_timeout in rabbitmq.conf, for all queues"),
    "target_group_size": ((3, 13), "rabbitmq-queues grow adds members by hand"),
    "filter_size": ((3, 13), "consumers of the stream get all messages"),
    "consumer_disconnected_timeout": ((4, 3), "such tasks come back when the node is declared down"),
}

#: How RabbitMQ deals with a target that refuses: `dead_letter_worker_publisher_confirm_timeout`, and the messages that
#: it holds out to a target at a time (measured on 3.10, 4.0 and 4.3).
_AGAIN = "RabbitMQ tries again every 180 seconds, with 32 messages at a time"


def decisions(topology: Topology, capabilities: Capabilities) -> tuple[Decision, ...]:
    """In the order of the file. Pure."""
    return tuple(_all(topology, capabilities))


def _all(topology: Topology, capabilities: Capabilities) -> Iterator[Decision]:
    host = topology.virtual_host
    if host is not None and host.default_queue_type is not None and capabilities.version < (3, 11, 0):
        why = "it counts from RabbitMQ 3.11 on; queues of this file always name their type"
        yield Decision(None, "default_queue_type", f"nothing on {_release(capabilities)}", why)
    for queue in topology.queues.values():
        if not queue.exact:
            yield from _type(queue, capabilities)
        if queue.retry is not None:
            yield _retry(queue, queue.retry, capabilities)
        if not queue.exact:
            yield from _dead_letters(topology, queue, capabilities)
            yield from _full(queue)
            yield from _passed_over(queue, capabilities)


def _type(queue: QueueSettings, capabilities: Capabilities) -> Iterator[Decision]:
    if queue.max_priority is None:
        return
    what = f"max_priority: {queue.max_priority}"
    if queue.type == "classic":
        yield Decision(queue.name, what, "x-max-priority", "a classic queue orders by as many priorities as it is told")
    elif effective_type(queue, capabilities) == "classic":
        why = (
            f"quorum queues of {_release(capabilities)} do not order by priority. A classic queue is on one node only,"
            " counts no deliveries, and dead-letters at most once"
        )
        yield Decision(queue.name, what, "a classic queue with x-max-priority", why)
    else:
        yield Decision(queue.name, what, "no argument", "from RabbitMQ 4.3 on quorum queues order by 0 to 31 anyway")


def _retry(queue: QueueSettings, retry: QueueRetry, capabilities: Capabilities) -> Decision:
    if retry.kind == "queues":
        names = ", ".join(dict.fromkeys(queue.retry_queues.values()))
        why = "a short list of fixed delays: one hop, and nothing shared with other queues"
        if queue.refuses:
            why += f". While {queue.name} is full they stay there; {_AGAIN}"
        return Decision(queue.name, f"retry: {_delays(retry)}, queues", names, why)
    if retry.kind == "ladder":
        why = "it has any delay, on every release, and all queues share it"
        return Decision(queue.name, f"retry: {_delays(retry)}", "the ladder of delay queues", why)
    what = f"retry: native, {durations.written(retry.first or 0)} to {durations.written(retry.max or 0)}"
    if capabilities.delayed_retry:
        why = "this broker holds a failed message back in its queue: no copy, and no moment with two of it"
        return Decision(queue.name, what, "x-delayed-retry-type: failed", why)
    why = (
        f"{_release(capabilities)} has no delayed retry (RabbitMQ 4.3 has). The arguments are on the queue all the"
        " same, so that it does not differ after an upgrade"
    )
    return Decision(queue.name, what, "the ladder of delay queues, with the same delays", why)


def _delays(retry: QueueRetry) -> str:
    if retry.delays:
        return ", ".join(durations.written(delay) for delay in retry.delays)
    return f"{durations.written(retry.first or 0)}, doubling, up to {durations.written(retry.max or 0)}"


def _dead_letters(topology: Topology, queue: QueueSettings, capabilities: Capabilities) -> Iterator[Decision]:
    if queue.type == "stream" or (queue.dead_letter is None and _is_a_dead_letter_queue(topology, queue)):
        return
    if queue.dead_letter is None:
        why = "the file says `dead_letter: false`: what expires, is refused or fails for good is gone"
        yield Decision(queue.name, "dead_letter: false", "dropped", why)
        return
    target = queue.dead_letter
    if effective_type(queue, capabilities) == "classic":
        why = (
            "a classic queue can do no more: what is under way when the broker is killed, or finds its target full, is"
            " lost"
        )
        yield Decision(queue.name, "dead_letter", f"at most once, into {target}", why)
    elif queue.overflow == "drop-head":
        why = "`drop-head` and at-least-once exclude each other: what is under way when the broker is killed is lost"
        yield Decision(queue.name, "dead_letter", f"at most once, into {target}", why)
    else:
        why = f"what {_bound(topology, queue)} {target} does not take stays in {queue.name}; {_AGAIN}. Nothing is lost"
        yield Decision(queue.name, "dead_letter", f"at least once, into {target}", why)


def _bound(topology: Topology, queue: QueueSettings) -> str:
    letters = queue.dead_letters
    shared = topology.queues.get(letters.queue) if letters is not None and letters.queue else None
    bounds = shared if shared is not None else letters
    full = bounds is not None and (bounds.max_length is not None or bounds.max_length_bytes is not None)
    return "a full or missing" if full else "a missing"


def _is_a_dead_letter_queue(topology: Topology, queue: QueueSettings) -> bool:
    return queue.name in topology.ends


def _full(queue: QueueSettings) -> Iterator[Decision]:
    if queue.refuses:
        why = f"publishers are refused, so that they know. A delayed task has none any more: it waits in {queue.room}"
        yield Decision(queue.name, "max_length", "refuses when full; delayed tasks wait before it", why)
    elif queue.overflow == "drop-head":
        why = "the file says `overflow: drop-head`; with `reject-publish` the publisher would know"
        yield Decision(queue.name, "max_length", "drops the oldest task when full", why)
    if queue.expires is not None:
        why = "`expires` takes the queue away, and no dead-letter queue gets what is in it"
        after = durations.written(queue.expires)
        yield Decision(queue.name, "expires", f"deleted with all that is in it after {after} without a consumer", why)


def _passed_over(queue: QueueSettings, capabilities: Capabilities) -> Iterator[Decision]:
    for key, (since, meanwhile) in _SINCE.items():
        if getattr(queue, key) is not None and capabilities.version < since:
            why = f"it counts from RabbitMQ {since[0]}.{since[1]} on, and is sent all the same; until then {meanwhile}"
            yield Decision(queue.name, key, f"nothing on {_release(capabilities)}", why)
    if queue.queue_mode == "lazy" and capabilities.version >= (3, 12, 0):
        why = "from RabbitMQ 3.12 on classic queues keep messages on disk anyway"
        yield Decision(queue.name, "queue_mode: lazy", f"nothing on {_release(capabilities)}", why)
    if queue.type == "classic" and queue.leader_locator is not None and not capabilities.classic_leader_locator:
        why = "before RabbitMQ 4.0 classic queues know it under this name"
        yield Decision(queue.name, f"leader_locator: {queue.leader_locator}", "x-queue-master-locator", why)


def _release(capabilities: Capabilities) -> str:
    return f"{capabilities.product} {capabilities.version[0]}.{capabilities.version[1]}"
