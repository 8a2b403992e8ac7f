"""Which queues a message reaches: each exchange type's matching, exchange-to-exchange bindings, alternates.

https://www.rabbitmq.com/docs/exchanges and https://www.rabbitmq.com/docs/ae
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from amqptasks.memory.exchanges import headers_match
from amqptasks.messages.outgoing import QUEUES_EXCHANGE
from amqptasks.topology.topology import ExchangeType, Source, Topology


@dataclass(frozen=True, slots=True)
class Hop:
    """One binding that a message meets: it leads from `binding.exchange` to `target`, if the message `fits`."""

    kind: Literal["queue", "exchange"]
    target: str
    binding: Source
    fits: bool


@dataclass(frozen=True, slots=True)
class Passage:
    """A message at an exchange: every binding that it meets there, and the alternate exchange, where it goes on to
    that. `type` is None for an exchange that the topology does not know."""

    exchange: str
    type: ExchangeType | None
    hops: tuple[Hop, ...]
    alternate: str | None


def queues_reached(
    topology: Topology, exchange: str, routing_key: str | None, headers: Mapping[str, object] | None = None
) -> frozenset[str]:
    """The declared queues that a publish to `exchange` with `routing_key` (None: any key) can reach.

    Without `headers`, a headers exchange is taken to match: what headers a task carries is not known then. Not raising
    for an exchange that the topology does not know: it reaches nothing.
    """
    if exchange == QUEUES_EXCHANGE:
        names = topology.reached_by_name
        return names if routing_key is None else names & {routing_key}
    passed = passages(topology, exchange, routing_key, headers)
    return frozenset(hop.target for one in passed for hop in one.hops if hop.fits and hop.kind == "queue")


def passages(
    topology: Topology, exchange: str, routing_key: str | None, headers: Mapping[str, object] | None = None
) -> tuple[Passage, ...]:
    """What a message passes from `exchange` on: each exchange once, so that circles end."""
    found: list[Passage] = []
    seen, ahead = {exchange}, deque([exchange])
    while ahead:
        passage = _passage(topology, ahead.popleft(), routing_key, headers)
        found.append(passage)
        onward = [hop.target for hop in passage.hops if hop.fits and hop.kind == "exchange"]
        for name in onward if passage.alternate is None else [*onward, passage.alternate]:
            if name not in seen:
                seen.add(name)
                ahead.append(name)
    return tuple(found)


def matches(
    exchange_type: ExchangeType,
    binding: Source,
    routing_key: str | None,
    headers: Mapping[str, object] | None = None,
) -> bool:
    """Whether a binding of an exchange of this type can take a message with this routing key and these headers.
    Of the types beyond AMQP's own, those that choose one of their queues can choose each."""
    if exchange_type == "headers":
        return headers is None or headers_match(binding.arguments, headers)
    if routing_key is None:
        return True
    if exchange_type == "direct":
        return binding.routing_key == routing_key
    return exchange_type != "topic" or topic_matches(binding.routing_key, routing_key)


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


def _passage(
    topology: Topology, exchange: str, routing_key: str | None, headers: Mapping[str, object] | None
) -> Passage:
    kind, rule = topology.exchange_type(exchange), topology.routes_as(exchange)
    hops = tuple(
        Hop(destination_type, name, binding, rule is not None and matches(rule, binding, routing_key, headers))
        for destination_type, name, binding in topology.bound_from.get(exchange, ())
    )
    declared = topology.exchanges.get(exchange)
    alternate = declared.alternate_exchange if declared is not None else None
    # Any key, any headers: none may match, then the alternate has its turn.
    unsure = routing_key is None or (rule == "headers" and headers is None)
    taken = any(hop.fits for hop in hops) and not unsure
    return Passage(exchange, kind, hops, None if taken else alternate)
