"""What the doctor may have read, as values to make examples of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amqptasks.doctor.check import CHECKS
from amqptasks.doctor.snapshot import Snapshot
from amqptasks.topology.ask.time_limits import TimeLimit
from amqptasks.topology.broker.observed import Observed, ObservedQueue
from amqptasks.topology.expand.expand import SAFE, expand
from amqptasks.topology.read.loader import from_mapping
from amqptasks.transport.capabilities import Capabilities
from amqptasks.transport.entities import Binding, Exchange, Policy, Queue

RELEASES = {
    name: Capabilities(version=version)
    for name, version in {"3.10": (3, 10, 8), "4.0": (4, 0, 5), "4.3": (4, 3, 6)}.items()
}
NEW = RELEASES["4.3"]
BY_NAME = {check.name: check for check in CHECKS}


def queue(name: str, kind: str = "quorum", messages: int = 0, **arguments: Any) -> ObservedQueue:
    """Arguments with `_` for `-`, without their `x-`."""
    told = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    return ObservedQueue(Queue(name, arguments={"x-queue-type": kind, **told}), kind, messages)


def broker(
    *queues: ObservedQueue,
    policies: tuple[Policy, ...] = (),
    bindings: tuple[Binding, ...] = (),
    exchanges: tuple[str, ...] = ("dlx",),
    can: Capabilities = NEW,
) -> Observed:
    return Observed(
        "shop",
        can,
        exchanges={name: Exchange(name) for name in exchanges},
        queues={one.name: one for one in queues},
        bindings=bindings,
        policies=policies,
    )


def seen(can: Capabilities = NEW, **read: Any) -> Snapshot:
    return Snapshot(can, "shop", **read)


def of_topology(mapping: Mapping[str, Any], can: Capabilities = NEW, **read: Any) -> Snapshot:
    topology = from_mapping({"version": 1, **mapping})
    return Snapshot(can, "shop", "shop", topology, expand(topology, can), **read)


SAFELY: dict[str, Any] = {key.removeprefix("x-").replace("-", "_"): value for key, value in SAFE.items()}
TO_DLX = {"dead_letter_exchange": "dlx", "dead_letter_routing_key": "letters"}
BOUND = (Binding("dlx", "letters", "letters"),)
LETTERS = queue("letters")
GOOD = broker(queue("work", **TO_DLX, **SAFELY), LETTERS, bindings=BOUND)
HOUR = {"work": TimeLimit("shop.render", 3600.0)}
DROP = Policy("drop", ".*", {"overflow": "drop-head"}, "queues")
