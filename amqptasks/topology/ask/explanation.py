"""Why a message goes where it goes, and why not elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher

from amqptasks.errors import NoRoute
from amqptasks.messages.outgoing import QUEUES_EXCHANGE
from amqptasks.messages.routing import Destination, Route, Router
from amqptasks.topology.ask.reach import Passage, passages, queues_reached
from amqptasks.topology.expand.expand import work_queue
from amqptasks.topology.topology import Topology
from amqptasks.transport.capabilities import Capabilities

#: How many rules that do not fit are worth telling.
NEAREST = 5


@dataclass(frozen=True, slots=True)
class Arrival:
    """A queue that is reached; `priority` says in words what becomes of the message's priority there."""

    queue: str
    type: str
    priority: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """`route` took the task, where one did; `passed_over` fit it too, and came later. `destination` is what it is
    published to, None where nothing says. `nearest` are routes, or else binding keys, that come close where the
    message reaches nothing."""

    route: Route | None
    passed_over: tuple[Route, ...]
    destination: Destination | None
    passages: tuple[Passage, ...]
    arrivals: tuple[Arrival, ...]
    nearest: tuple[str, ...]


def explain_task(
    topology: Topology, task: str, capabilities: Capabilities, headers: Mapping[str, object] | None = None
) -> Explanation:
    """Where a task goes that is called without options of its own."""
    router = Router(topology.routes, topology.default_queue)
    fitting = [route for route in topology.routes if Router([route], None).route(task) is not None]
    taken = router.route(task)
    others = tuple(route for route in fitting if route is not taken)
    try:
        destination = router.destination(task)
    except NoRoute:
        return Explanation(None, (), None, (), (), _nearest(task, [route.pattern for route in topology.routes]))
    return explain(topology, destination, capabilities, headers, taken, others)


def explain(
    topology: Topology,
    destination: Destination,
    capabilities: Capabilities,
    headers: Mapping[str, object] | None = None,
    route: Route | None = None,
    passed_over: tuple[Route, ...] = (),
) -> Explanation:
    """Where a message goes that is published to `destination`."""
    exchange, key = destination.exchange, destination.routing_key
    passed = () if exchange == QUEUES_EXCHANGE else passages(topology, exchange, key, headers)
    reached = queues_reached(topology, exchange, key, headers)
    arrivals = [
        _arrival(topology, name, destination.priority, capabilities) for name in topology.queues if name in reached
    ]
    known = [hop.binding.routing_key for one in passed for hop in one.hops if one.type in ("direct", "topic")]
    nearest = () if reached else _nearest(key, list(topology.queues) if exchange == QUEUES_EXCHANGE else known)
    return Explanation(route, passed_over, destination, passed, tuple(arrivals), nearest)


def _arrival(topology: Topology, name: str, priority: int | None, capabilities: Capabilities) -> Arrival:
    arguments = work_queue(topology.queues[name], capabilities).arguments
    kind = str(arguments.get("x-queue-type"))
    most = arguments.get("x-max-priority") if kind == "classic" else None
    return Arrival(name, kind, _priority(kind, most, priority, capabilities))


def _priority(kind: str, most: object, priority: int | None, capabilities: Capabilities) -> str:
    if kind == "stream":
        return "a stream has no priorities"
    if kind == "classic":
        if not isinstance(most, int):
            return "no priorities: the queue has no `max_priority`"
        return f"priority {min(priority or 0, most)} of 0 to {most}"
    if capabilities.quorum_priorities:
        return (
            "priority 4 of 0 to 31, as without one" if priority is None else f"priority {min(priority, 31)} of 0 to 31"
        )
    if capabilities.two_priority_classes:
        return f"{'high' if (priority or 0) > 4 else 'normal'} priority: two classes, 0 to 4 and from 5"
    return "no priorities: quorum queues have none before RabbitMQ 4.0"


def _nearest(wanted: str, known: list[str]) -> tuple[str, ...]:
    """The likest first; without repetitions."""
    ranked = sorted(dict.fromkeys(known), key=lambda one: -SequenceMatcher(None, wanted, one).ratio())
    return tuple(ranked[:NEAREST])
