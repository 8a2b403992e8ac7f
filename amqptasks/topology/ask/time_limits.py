"""Which task may run longest in each queue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from amqptasks.errors import NoRoute
from amqptasks.messages.routing import Router
from amqptasks.topology.ask.reach import queues_reached
from amqptasks.topology.topology import Topology

#: What of a task's options says where it goes.
_WHERE = ("queue", "exchange", "routing_key")


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """A task, and the seconds that it may run at most."""

    task: str
    seconds: float


def time_limits(
    tasks: Iterable[tuple[str, Mapping[str, Any]]], router: Router, topology: Topology
) -> dict[str, TimeLimit]:
    """By queue, from the names and options of the tasks. One without a limit has no longest time, one without a route
    has no queue: both are left out. Raises `ConfigurationError` for options that are at odds."""
    longest: dict[str, TimeLimit] = {}
    for name, options in tasks:
        seconds = options.get("time_limit") or options.get("soft_time_limit")
        if not seconds:
            continue
        try:
            to = router.destination(name, **{key: options[key] for key in _WHERE if key in options})
        except NoRoute:  # it is only ever called with queue=
            continue
        for queue in queues_reached(topology, to.exchange, to.routing_key):
            if queue not in longest or longest[queue].seconds < seconds:
                longest[queue] = TimeLimit(name, float(seconds))
    return longest
