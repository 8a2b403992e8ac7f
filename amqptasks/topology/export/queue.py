"""A queue of the broker as the file would say it: by its keys where they make just this queue, else `exact`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from pydantic import ValidationError

from amqptasks.errors import TopologyError
from amqptasks.messages.outgoing import QUEUES_EXCHANGE
from amqptasks.topology import durations
from amqptasks.topology.broker.identity import binding_key, without_undefined
from amqptasks.topology.broker.observed import ObservedQueue
from amqptasks.topology.expand.expand import NET, UNREACHED, expand
from amqptasks.topology.model.queue import QueuePart
from amqptasks.topology.model.retry import NATIVE_RETRIES
from amqptasks.topology.plan.differences import of_queue
from amqptasks.topology.plan.drift import OWN
from amqptasks.topology.topology import DEAD, DELIVERY_LIMIT, QueueSettings, Topology
from amqptasks.transport.capabilities import Capabilities
from amqptasks.transport.entities import Binding, Queue

#: Keys of ours for arguments whose value is taken as it is, and for those in milliseconds.
_AS_IT_IS = {
    "x-max-priority": "max_priority",
    "x-max-length": "max_length",
    "x-max-length-bytes": "max_length_bytes",
    "x-single-active-consumer": "single_active_consumer",
    "x-overflow": "overflow",
    "x-quorum-initial-group-size": "initial_group_size",
    "x-quorum-target-group-size": "target_group_size",
    "x-queue-leader-locator": "leader_locator",
    "x-queue-mode": "queue_mode",
    "x-queue-version": "queue_version",
    "x-stream-max-segment-size-bytes": "max_segment_size",
    "x-stream-filter-size-bytes": "filter_size",
    "x-initial-cluster-size": "initial_cluster_size",
}
_TIMES = {
    "x-message-ttl": "message_ttl",
    "x-expires": "expires",
    "x-consumer-timeout": "consumer_timeout",
    "x-consumer-disconnected-timeout": "consumer_disconnected_timeout",
}

#: Arguments that come of keys which say more than one of them.
_OF_OTHERS = frozenset(
    {
        "x-queue-type",
        "x-delivery-limit",
        "x-dead-letter-exchange",
        "x-dead-letter-routing-key",
        "x-dead-letter-strategy",
        "x-delayed-retry-type",
        "x-delayed-retry-min",
        "x-delayed-retry-max",
        "x-max-age",
        "x-queue-master-locator",
    }
)


@dataclass(frozen=True)
class Surroundings:
    """What else is on the broker: `queues` by name, the `bindings` of each, and the `types` of exchanges."""

    capabilities: Capabilities
    queues: Mapping[str, ObservedQueue]
    bindings: Mapping[str, tuple[Binding, ...]]
    types: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Written:
    """The keys of one queue, and the queues that come of it by themselves."""

    keys: dict[str, Any]
    generated: frozenset[str] = frozenset()
    comments: tuple[str, ...] = field(default=())


def by_keys(queue: ObservedQueue, around: Surroundings) -> Written | None:
    """The shortest mapping that makes this queue, what belongs to it and their bindings; None where none does."""
    for keys in _guesses(queue, around):
        settings = _settings(queue.name, keys)
        if settings is None:
            continue
        generated = frozenset({settings.own_dead_letter, *settings.retry_queues.values()} - {None})
        if _makes(settings, around):
            return Written(keys, generated, _comments(keys))  # type: ignore[arg-type]
    return None


def exactly(queue: ObservedQueue, around: Surroundings) -> Written:
    """The queue with its arguments, and nothing of ours."""
    keys: dict[str, Any] = {"exact": True, "type": queue.type}
    keys |= {} if queue.queue.durable else {"durable": False}
    keys |= {"auto_delete": True} if queue.queue.auto_delete else {}
    said = without_undefined(queue.queue.arguments)
    arguments = {name: value for name, value in said.items() if name != "x-queue-type"}
    keys |= {"arguments": arguments} if arguments else {}
    bindings = _foreign(around.bindings.get(queue.name, ()))
    return Written(keys | bindings_of(bindings, queue.name, around.types))


def bindings_of(bindings: Iterable[Binding], destination: str, types: Mapping[str, str]) -> dict[str, Any]:
    """The key `bindings`, where there are any; `types` are those of the exchanges."""
    found = [_binding(binding, destination, types.get(binding.source, "direct")) for binding in bindings]
    return {"bindings": found} if found else {}


def _binding(binding: Binding, destination: str, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {"exchange": binding.source}
    key = binding.routing_key
    if kind == "x-consistent-hash" and key.isdecimal() and str(int(key)) == key:
        found["weight"] = int(key)
    elif kind in ("direct", "topic") or key:
        found["routing_key"] = key
    if binding.source == QUEUES_EXCHANGE and key == destination:
        del found["routing_key"]
    return found | ({"arguments": without_undefined(binding.arguments)} if binding.arguments else {})


def _foreign(bindings: Iterable[Binding]) -> Iterator[Binding]:
    """Those that a file can speak of: what leads in and out of the ladder comes by itself."""
    return (one for one in bindings if not one.source.startswith(OWN) or one.source == QUEUES_EXCHANGE)


def _guesses(queue: ObservedQueue, around: Surroundings) -> Iterator[dict[str, Any]]:
    """Mappings that may make this queue, those that say least first."""
    if queue.queue.exclusive:
        return
    bindings = [
        one
        for one in _foreign(around.bindings.get(queue.name, ()))
        if not (one.source == QUEUES_EXCHANGE and one.routing_key == queue.name and not one.arguments)
    ]
    common = {} if queue.type == "quorum" else {"type": queue.type}
    common |= _plain(queue.queue)
    for letters, retry in product(_dead_letters(queue, around), _retries(queue, around)):
        yield common | letters | retry | _limit(queue, retry) | bindings_of(bindings, queue.name, around.types)


def _plain(queue: Queue) -> dict[str, Any]:
    """The keys that stand for one argument each; arguments that have no key of their own."""
    found: dict[str, Any] = {} if queue.durable else {"durable": False}
    found |= {"auto_delete": True} if queue.auto_delete else {}
    rest: dict[str, Any] = {}
    for name, value in without_undefined(queue.arguments).items():
        if (name, value) == ("x-overflow", "reject-publish"):
            continue  # what is not said
        if name in _AS_IT_IS:
            found[_AS_IT_IS[name]] = value
        elif name in _TIMES and isinstance(value, int):
            found[_TIMES[name]] = durations.exact(value / 1000)
        elif name not in _OF_OTHERS:
            rest[name] = value
    if queue.arguments.get("x-queue-master-locator") is not None:
        locator = queue.arguments["x-queue-master-locator"]
        found["leader_locator"] = "balanced" if locator == "min-masters" else locator
    age = queue.arguments.get("x-max-age")
    if isinstance(age, str) and age[:-1].isdigit() and age.endswith("s"):
        found["max_age"] = durations.exact(int(age[:-1]))
    return found | ({"arguments": rest} if rest else {})


def _dead_letters(queue: ObservedQueue, around: Surroundings) -> Iterator[dict[str, Any]]:
    """A queue of its own, which is looked at for its bounds; or a shared one; or none."""
    if queue.type == "stream":
        yield {}
        return
    if "x-dead-letter-exchange" not in queue.queue.arguments:
        yield {"dead_letter": False}
        return
    target = queue.queue.arguments.get("x-dead-letter-routing-key")
    there = around.queues.get(str(target))
    if there is None:
        return
    if target == f"{queue.name}{DEAD}":
        arguments = there.queue.arguments
        names = {"max_length": "x-max-length", "max_length_bytes": "x-max-length-bytes"}
        bounds: dict[str, Any] = {key: arguments[name] for key, name in names.items() if name in arguments}
        ttl = arguments.get("x-message-ttl")
        if isinstance(ttl, int):
            bounds = {"ttl": durations.exact(ttl / 1000)} | bounds
        yield {"dead_letter": bounds} if bounds else {}
    yield {"dead_letter": {"queue": target}}


def _retries(queue: ObservedQueue, around: Surroundings) -> Iterator[dict[str, Any]]:
    """In queues of its own, which are there; in itself; or in the ladder, of which a queue shows nothing."""
    prefix = f"{queue.name}.retry."
    delays = sorted(
        delay
        for name in around.queues
        if name.startswith(prefix) and (delay := durations.seconds(name.removeprefix(prefix)))
    )
    if delays:
        yield {"retry": {"delays": [durations.exact(delay) for delay in delays], "queues": True}}
    arguments = queue.queue.arguments
    if arguments.get("x-delayed-retry-type") == "failed":
        first, longest = arguments.get("x-delayed-retry-min"), arguments.get("x-delayed-retry-max")
        if isinstance(first, int) and isinstance(longest, int):
            times = {"first": durations.exact(first / 1000), "max": durations.exact(longest / 1000)}
            yield {"retry": {"native": True, **times}}
    yield {}


def _limit(queue: ObservedQueue, retry: Mapping[str, Any]) -> dict[str, Any]:
    limit = queue.queue.arguments.get("x-delivery-limit")
    if queue.type != "quorum" or not isinstance(limit, int):
        return {}
    if limit == UNREACHED:
        return {"delivery_limit": False}
    native = NATIVE_RETRIES if retry.get("retry", {}).get("native") else 0
    own = limit - NET - native
    return {} if own == DELIVERY_LIMIT else {"delivery_limit": own}


def _settings(name: str, keys: Mapping[str, Any]) -> QueueSettings | None:
    try:
        return QueuePart.model_validate(keys).settings(name)
    except ValidationError:
        return None


def _makes(settings: QueueSettings, around: Surroundings) -> bool:
    """Whether expanding it gives just what is on the broker, and all of that."""
    try:
        made = expand(Topology({settings.name: settings}), around.capabilities)
    except TopologyError:  # this release cannot have it that way
        return False
    for queue in made.queues:
        there = around.queues.get(queue.name)
        if there is None or of_queue(queue, there):
            return False
    wanted = {binding_key(binding) for binding in made.bindings}
    there_too = {binding_key(one) for queue in made.queues for one in _foreign(around.bindings.get(queue.name, ()))}
    return wanted == there_too


def _comments(keys: Mapping[str, Any]) -> tuple[str, ...]:
    if keys.get("type") == "classic" and "max_priority" in keys:
        return ("without `type: classic` RabbitMQ 4.3 makes it a replicated queue with priorities",)
    return ()
