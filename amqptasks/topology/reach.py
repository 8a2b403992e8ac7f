"""Which queues a message reaches: each exchange type's matching, exchange-to-exchange bindings, alternates.

https://www.rabbitmq.com/docs/exchanges and https://www.rabbitmq.com/docs/ae
"""

from __future__ import annotations

from amqptasks.routing import QUEUES_EXCHANGE
from amqptasks.topology.topology import ExchangeType, Source, Topology


def queues_reached(topology: Topology, exchange: str, routing_key: str | None) -> frozenset[str]:
    """The declared queues that a publish to `exchange` with `routing_key` (None: any key) can reach.

    A headers exchange is taken to match: what headers a task carries is not known here. Not raising for an exchange
    that the topology does not know: it reaches nothing.
    """
    if exchange == QUEUES_EXCHANGE:
        names = topology.queue_names if routing_key is None else (routing_key,)
        return frozenset(name for name in names if name in topology.queues)
    queues: set[str] = set()
    _follow(topology, exchange, routing_key, queues, set())
    return frozenset(queues)


def matches(exchange_type: ExchangeType, binding: Source, routing_key: str | None) -> bool:
    """Whether a binding of an exchange of this type takes a message with this routing key."""
    if exchange_type in ("fanout", "headers") or routing_key is None:
        return True
    if exchange_type == "direct":
        return binding.routing_key == routing_key
    return topic_matches(binding.routing_key, routing_key)


def topic_matches(pattern: str, routing_key: str) -> bool:
    """`*` stands for one word, `#` for any number of words, none included; words are separated by dots."""
    # possible[i]: the pattern so far can have used up the first i words.
    words = routing_key.split(".") if routing_key else []
    possible = [True] + [False] * len(words)
    for part in pattern.split(".") if pattern else []:
        if part == "#":
            for index in range(len(words)):
                possible[index + 1] = possible[index + 1] or possible[index]
        else:
            fits = [part in ("*", word) for word in words]
            possible = [False] + [before and fit for before, fit in zip(possible, fits, strict=False)]
    return possible[-1]


def _follow(topology: Topology, exchange: str, routing_key: str | None, queues: set[str], seen: set[str]) -> None:
    """Adds what is reached to `queues`. `seen` breaks circles."""
    if exchange in seen:
        return
    seen.add(exchange)
    kind = topology.exchange_type(exchange)
    matched = False
    for destination_type, name, binding in topology.bound_from.get(exchange, ()):
        if kind is None or not matches(kind, binding, routing_key):
            continue
        matched = True
        if destination_type == "queue":
            queues.add(name)
        else:
            _follow(topology, name, routing_key, queues, seen)
    declared = topology.exchanges.get(exchange)
    # Any key: none may match, then the alternate has its turn.
    if (not matched or routing_key is None) and declared is not None and declared.alternate_exchange is not None:
        _follow(topology, declared.alternate_exchange, routing_key, queues, seen)
