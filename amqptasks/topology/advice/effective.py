"""A queue with all that is said of it: by its keys, by its own arguments, and by the policies of the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from amqptasks.topology import durations
from amqptasks.topology.plan.policies import applied
from amqptasks.topology.topology import QueueSettings, Topology


def effective(queue: QueueSettings, topology: Topology) -> QueueSettings:
    """The same queue, whose keys also have what an exact queue says in its `arguments`, and what the file's policies
    say of it."""
    said: dict[str, object] = {}
    for operator in (True, False):
        policy = applied(topology.policies, queue.name, queue.type, operator)
        said |= {} if policy is None else policy.definition
    said |= {name.removeprefix("x-"): value for name, value in queue.arguments.items()}
    found = {key: value for key, value in _keys(said).items() if getattr(queue, key) in (None, False)}
    return replace(queue, **found) if found else queue  # type: ignore[arg-type]


def _keys(said: Mapping[str, object]) -> dict[str, object]:
    """RabbitMQ's names and units in ours; what is no number where one is wanted is left out."""
    found: dict[str, object] = {
        key: said[name]
        for name, key in (("max-length", "max_length"), ("max-length-bytes", "max_length_bytes"))
        if isinstance(said.get(name), int)
    }
    for name, key in _TIMES.items():
        value = said.get(name)
        if isinstance(value, int):
            found[key] = value / 1000
    age = said.get("max-age")
    seconds = durations.age(age) if isinstance(age, str) else None
    if seconds is not None:
        found["max_age"] = float(seconds)
    if said.get("single-active-consumer") is True:
        found["single_active_consumer"] = True
    return found


_TIMES = {"message-ttl": "message_ttl", "expires": "expires", "consumer-timeout": "consumer_timeout"}
