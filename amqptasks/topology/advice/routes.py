"""Routes that are never used, that hope for a key, or whose priority nobody orders by."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator

from amqptasks.messages.routing import Route
from amqptasks.topology.advice.advice import Advice, Subject
from amqptasks.topology.ask.reach import queues_reached
from amqptasks.topology.graphs.build import written
from amqptasks.topology.read.document import Where


def routes_never_used(subject: Subject) -> Iterator[Advice]:
    """A pattern behind one that takes all that it takes."""
    patterns = [route for route in subject.topology.routes if route.kind != "exact"]
    for index, route in enumerate(patterns):
        for earlier in patterns[:index]:
            if _takes_all_of(earlier, route):
                problem = f"it is never used: `{written(earlier)}` comes before it and takes all of its tasks"
                yield Advice("warning", "route-never-used", _where(route), problem, "Put the narrower pattern first")
                break


def routes_by_name_alone(subject: Subject) -> Iterator[Advice]:
    """A pattern without a routing key: each task's name is its own, and some name may be bound by nobody."""
    topology = subject.topology
    for route in topology.routes:
        if route.kind == "exact" or route.exchange is None or route.routing_key is not None:
            continue
        bound = topology.bound_from.get(route.exchange, ())
        declared = topology.exchanges.get(route.exchange)
        compared = topology.compares_keys(route.exchange) and (declared is None or declared.alternate_exchange is None)
        if compared and not any(binding.routing_key == "#" for _, _, binding in bound):
            keys = ", ".join(dict.fromkeys(f"`{binding.routing_key}`" for _, _, binding in bound))
            problem = f"its tasks go by their names to `{route.exchange}`, where only these are bound: {keys}"
            fix = "Give the route a `routing_key`, or the exchange an `alternate_exchange`"
            yield Advice("note", "route-by-name", _where(route), problem, fix)


def priorities_that_nobody_orders_by(subject: Subject) -> Iterator[Advice]:
    """https://www.rabbitmq.com/docs/priority and https://www.rabbitmq.com/docs/quorum-queues#priorities"""
    for route in subject.topology.routes:
        if route.priority is None:
            continue
        for name in sorted(_reached(subject, route)):
            where = (*_where(route), "priority")
            queue = subject.queues[name]
            kind = queue.arguments.get("x-queue-type")
            most = queue.arguments.get("x-max-priority", 0) if kind == "classic" else 31
            assert isinstance(most, int)
            if kind == "stream":
                continue
            if kind == "quorum" and subject.capabilities.version < (4, 0, 0):
                problem = f"a quorum queue of {subject.release} has no priorities, and `{name}` is one"
                fix = f"Give `{name}` a `max_priority`: it becomes a classic queue there"
                yield Advice("warning", "priority-ignored", where, problem, fix)
            elif not most:
                problem = f"the classic queue `{name}` has no `max_priority`, and so no priorities"
                fix = f"Give `{name}` a `max_priority` of {max(1, min(route.priority, 255))}"
                yield Advice("warning", "priority-ignored", where, problem, fix)
            elif route.priority > most:
                problem = f"`{name}` takes {route.priority} as {most}, the highest that it knows"
                yield Advice("note", "priority-capped", where, problem, f"Write {most}, or raise `max_priority`")


def _reached(subject: Subject, route: Route) -> frozenset[str]:
    if route.exchange is None:
        queue = route.queue or subject.topology.default_queue
        return frozenset() if queue is None else frozenset([queue])
    key = route.pattern if route.routing_key is None and route.kind == "exact" else route.routing_key
    return queues_reached(subject.topology, route.exchange, key)


def _takes_all_of(earlier: Route, later: Route) -> bool:
    """True only where it is certain. A `*` of the later pattern can be taken by a `*` of the earlier one alone."""
    if earlier.kind != "glob" or later.kind != "glob" or set("?[") & set(earlier.pattern + later.pattern):
        return False
    return fnmatch.fnmatchcase(later.pattern, earlier.pattern)


def _where(route: Route) -> Where:
    return ("routes", written(route))
