"""Queues that nothing reaches, that lose messages, or whose settings the release does not know."""

from __future__ import annotations

from collections.abc import Iterator

from amqptasks.topology import durations
from amqptasks.topology.advice.advice import Advice, Subject
from amqptasks.topology.ask.reach import queues_reached
from amqptasks.topology.topology import QueueSettings


def queues_that_nothing_reaches(subject: Subject) -> Iterator[Advice]:
    """A call may name the queue (`queue=`), so that this is no mistake as such; a stream can only be bound."""
    topology = subject.topology
    by_name = {route.queue for route in topology.routes} | {topology.default_queue}
    for queue in topology.queues.values():
        where = ("queues", queue.name)
        if queue.name in by_name or queue.bindings or queue.name in topology.ends:
            continue
        if queue.exact and queue.type == "stream":  # somebody else's: others publish to it, by its name perhaps
            continue
        if queue.type == "stream":
            problem = "it is a stream that no exchange fills, and tasks cannot be sent to it"
            yield Advice("warning", "stream-not-filled", where, problem, "Add `bindings:`")
        else:
            problem = "no route and no binding leads to it: only calls with queue= do"
            yield Advice("note", "queue-by-name-only", where, problem, "Add a route or a binding, if that is not meant")


def bindings_that_no_route_uses(subject: Subject) -> Iterator[Advice]:
    """A queue whose exchanges are all filled by routes, and none of them with a key that it takes."""
    topology = subject.topology
    routed: dict[str, list[str | None]] = {}
    for route in topology.routes:
        if route.exchange is not None:
            key = route.pattern if route.routing_key is None and route.kind == "exact" else route.routing_key
            routed.setdefault(route.exchange, []).append(key)
    reached = {one for name, keys in routed.items() for key in keys for one in queues_reached(topology, name, key)}
    by_name = {route.queue for route in topology.routes} | {topology.default_queue}
    for queue in topology.queues.values():
        exchanges = {binding.exchange for binding in queue.bindings}
        if exchanges and exchanges <= routed.keys() and queue.name not in reached | by_name:
            problem = "the routes to its exchanges have other keys: no task goes there"
            fix = "Mend its `routing_key`, or add a route, unless another program publishes there"
            yield Advice("note", "queue-not-routed", ("queues", queue.name, "bindings"), problem, fix)


def priorities_that_change_the_type(subject: Subject) -> Iterator[Advice]:
    for queue in subject.topology.queues.values():
        kind = subject.queues[queue.name].arguments.get("x-queue-type")
        if queue.type == "quorum" and kind == "classic":
            problem = f"on {subject.release} it becomes a classic queue: one copy, dead-lettering at most once"
            fix = "Nothing, if that is worth the order; else remove it, or use RabbitMQ 4.3"
            yield Advice("note", "priority-makes-classic", ("queues", queue.name, "max_priority"), problem, fix)


def dead_letters_at_most_once(subject: Subject) -> Iterator[Advice]:
    """https://www.rabbitmq.com/docs/quorum-queues#dead-lettering. An exact queue has nothing of it on the broker: there
    the worker alone dead-letters, with a confirm."""
    for queue in subject.topology.queues.values():
        if queue.type == "classic" and queue.dead_letter is not None and not queue.exact:
            problem = "what the broker dead-letters from a classic queue can be lost on the way: at most once"
            fix = "Remove `type: classic`: quorum queues dead-letter at least once"
            yield Advice("warning", "dead-letters-at-most-once", ("queues", queue.name, "type"), problem, fix)
        elif queue.overflow == "drop-head" and queue.dead_letter is not None and not queue.exact:
            problem = "with `drop-head` the broker dead-letters at most once: what is under way can be lost"
            fix = "Remove `overflow: drop-head`: a full queue refuses then, and the publisher knows"
            yield Advice("warning", "dead-letters-at-most-once", ("queues", queue.name, "overflow"), problem, fix)


def queues_that_drop(subject: Subject) -> Iterator[Advice]:
    """But not a queue of dead letters, which is the end of the way."""
    for queue in subject.topology.queues.values():
        if queue.dead_letters is None and queue.type != "stream" and queue.name not in subject.topology.ends:
            problem = "what cannot run is dropped, with its arguments"
            where = ("queues", queue.name, "dead_letter")
            yield Advice("note", "drops-what-fails", where, problem, "Remove `dead_letter: false`, if a loss matters")


def delivery_limits_of_classic_queues(subject: Subject) -> Iterator[Advice]:
    for queue in subject.settled.values():
        if queue.type == "classic" and queue.single_active_consumer:
            problem = "a classic queue counts no deliveries, and one consumer gets every message that kills it"
            fix = "Remove `type: classic`: a quorum queue's `delivery_limit` ends that"
            yield Advice("warning", "no-delivery-limit", ("queues", queue.name, "type"), problem, fix)


def timeouts_that_the_release_ignores(subject: Subject) -> Iterator[Advice]:
    """https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout"""
    if subject.capabilities.consumer_timeout_of_queues:
        return
    for queue in subject.settled.values():
        if queue.consumer_timeout is not None:
            problem = f"{subject.release} ignores it: the broker's own limit counts, 30 minutes as it comes"
            fix = "Set `consumer_timeout` in the broker's rabbitmq.conf, or use RabbitMQ 3.12 or newer"
            where = ("queues", queue.name, "consumer_timeout")
            yield Advice("warning", "consumer-timeout-ignored", where, problem, fix)


def times_that_never_come(subject: Subject) -> Iterator[Advice]:
    """A queue that goes away by itself (`x-expires`) before its messages do."""
    for queue in subject.settled.values():
        if queue.expires is None:
            continue
        where = ("queues", queue.name, "expires")
        after = durations.written(queue.expires)
        if queue.message_ttl is not None and queue.message_ttl > queue.expires:
            problem = f"the queue goes after {after} without a consumer, before its messages' `message_ttl` ends"
            yield Advice(
                "warning", "ttl-outlives-queue", where, problem, "Make `expires` longer, or `message_ttl` shorter"
            )
        else:
            problem = f"after {after} without a consumer the queue goes, with every task in it"
            yield Advice("warning", "queue-expires", where, problem, "Remove `expires` from a queue of tasks")


def streams_without_an_end(subject: Subject) -> Iterator[Advice]:
    """https://www.rabbitmq.com/docs/streams#retention"""
    for queue in subject.settled.values():
        if queue.type == "stream" and queue.max_length_bytes is None and queue.max_age is None:
            problem = "nothing is ever removed from it: it fills the disk"
            fix = "Add `max_age: 7d` or `max_length_bytes`"
            yield Advice("warning", "stream-without-end", ("queues", queue.name), problem, fix)


def retries_longer_than_the_task_lives(subject: Subject) -> Iterator[Advice]:
    """Each retry comes back as a new message with the whole `message_ttl` before it, so that is no limit for all."""
    for queue in subject.settled.values():
        longest = _longest_wait(queue)
        if queue.message_ttl is not None and longest > queue.message_ttl:
            wait, ttl = durations.written(longest), durations.written(queue.message_ttl)
            problem = f"a retry waits up to {wait}, a task here {ttl} at most: that time begins anew after each retry"
            fix = "Nothing, if that is meant; an end for all of it is the call's `expires`"
            yield Advice("note", "retry-outlives-ttl", ("queues", queue.name, "message_ttl"), problem, fix)


def _longest_wait(queue: QueueSettings) -> float:
    return max([*queue.retry.delays, queue.retry.max or 0.0]) if queue.retry is not None else 0.0
