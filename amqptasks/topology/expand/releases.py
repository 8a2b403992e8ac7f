"""What a release of RabbitMQ cannot have at all."""

from __future__ import annotations

from collections.abc import Iterator

from amqptasks.errors import TopologyError
from amqptasks.topology.topology import Topology
from amqptasks.transport.capabilities import Capabilities

#: Exchange types that are in no plugin for older releases, and the first that has them.
_EXCHANGE_TYPES_SINCE = {"x-local-random": (4, 0, 0)}

#: What a policy may apply to from 3.12 on.
_BY_TYPE = frozenset({"classic_queues", "quorum_queues", "streams"})

#: The first release whose policies know the key; older ones answer 400.
_POLICY_KEYS_SINCE = {
    "consumer-timeout": (3, 12, 0),
    "target-group-size": (3, 13, 0),
    "stream-filter-size-bytes": (3, 13, 0),
    "consumer-disconnected-timeout": (4, 3, 0),
    "delayed-retry-type": (4, 3, 0),
    "delayed-retry-min": (4, 3, 0),
    "delayed-retry-max": (4, 3, 0),
}


def refuse(topology: Topology, capabilities: Capabilities) -> None:
    """Raises `TopologyError` for the first thing that the broker would refuse, before anything is declared."""
    for path, problem, hint in _refusals(topology, capabilities):
        found = ".".join(str(number) for number in capabilities.version)
        raise TopologyError(f"{problem}; this broker is {capabilities.product} {found}", path=path, hint=hint)


def _refusals(topology: Topology, capabilities: Capabilities) -> Iterator[tuple[str, str, str]]:
    version = capabilities.version
    for exchange in topology.exchanges.values():
        since = _EXCHANGE_TYPES_SINCE.get(exchange.type, (0, 0, 0))
        if version < since:
            problem = f"exchanges of type {exchange.type} are in RabbitMQ {since[0]}.{since[1]} and newer"
            yield f"exchanges.{exchange.name}.type", problem, "Use another type, or upgrade the broker"
    for queue in topology.queues.values():
        if queue.queue_version == 1 and version >= (4, 3, 0):
            problem = "RabbitMQ 4.3 has no classic queues of version 1"
            yield f"queues.{queue.name}.queue_version", problem, "Remove it: version 2 is the only one there"
    for policy in topology.policies:
        section = "operator_policies" if policy.operator else "policies"
        if policy.apply_to in _BY_TYPE and not capabilities.policies_by_queue_type:
            problem = "policies by queue type are in RabbitMQ 3.12 and newer"
            hint = "Write `apply_to: queues`, with a pattern that fits only those"
            yield f"{section}.{policy.name}.apply_to", problem, hint
        for key, value in policy.definition.items():
            since = _policy_key_since(key, value, policy.operator)
            if version < since:
                problem = f"policies set {key} from RabbitMQ {since[0]}.{since[1]} on"
                yield f"{section}.{policy.name}.definition", problem, "Remove it, or upgrade the broker"


def _policy_key_since(key: str, value: object, operator: bool) -> tuple[int, int, int]:
    if key == "delivery-limit" and value == -1:
        return (4, 0, 0)
    if operator and key == "overflow":
        return (3, 11, 0)
    return _POLICY_KEYS_SINCE.get(key, (0, 0, 0))
