"""Topologies that nobody would write: mappings of a file's shape, for tests of what must hold for every one of them.

Names come from a small alphabet, so that patterns of policies and topics fit something now and then. What is generated
is right by the rules of the file, on every release of RabbitMQ. `files.py` makes such as need not be right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

#: Characters that are something special to one of the layers in between: URLs, YAML, regular expressions, people.
ODD = (" ", "/", "%", "é", "[", "#", '"', "?", "&")

#: What RabbitMQ lets a topic be called, and what means any word or words there.
WORDS = ("a", "b", "order", "*", "#")

EXCHANGE_TYPES = ("direct", "topic", "fanout", "headers")

#: Every virtual host has them.
BUILT_IN = {"amq.direct": "direct", "amq.topic": "topic", "amq.fanout": "fanout", "amq.headers": "headers"}

#: Seconds and minutes that become milliseconds, also odd ones.
DURATIONS = st.sampled_from(["1ms", "250ms", "5s", "1h 30m", "14d", "3650d"])

COUNTS = st.one_of(st.integers(1, 5), st.sampled_from([1000, 2**31, 2**40]))


def names(prefix: str) -> st.SearchStrategy[str]:
    """Of queues and exchanges: short, now and then with an odd character."""
    parts = st.lists(st.sampled_from(["a", "b", "c", "order", ".", *ODD]), min_size=1, max_size=4)
    return parts.map(lambda found: prefix + "".join(found))


def topologies(most: int = 5) -> st.SearchStrategy[dict[str, Any]]:
    """Mappings for `loader.from_mapping`, with up to `most` queues and as many exchanges."""
    return _topologies(most)


@st.composite
def _topologies(draw: st.DrawFn, most: int) -> dict[str, Any]:
    exchanges = draw(st.dictionaries(names("x"), st.sampled_from(EXCHANGE_TYPES), max_size=most))
    types: dict[str, str] = {**exchanges, **BUILT_IN}
    queues = draw(st.lists(names("q"), min_size=1, max_size=most, unique=True))
    found: dict[str, Any] = {
        "version": 1,
        "exchanges": {name: draw(_exchange(name, kind, types)) for name, kind in exchanges.items()},
        "queues": {name: draw(_queue(types)) for name in queues},
        "delays": {"max": draw(st.sampled_from(["1s", "5s"]))},  # few rungs: the ladder has tests of its own
    }
    policies = draw(st.dictionaries(names("p").filter(lambda name: "/" not in name), _policy(queues), max_size=2))
    if policies:
        found["policies"] = policies
    return found


@st.composite
def _exchange(draw: st.DrawFn, name: str, kind: str, types: Mapping[str, str]) -> dict[str, Any]:
    """Bound from those that come before it by name: without a circle."""
    earlier = {other: type_ for other, type_ in types.items() if other < name}
    found: dict[str, Any] = {"type": kind}
    if draw(st.booleans()):
        found["durable"] = draw(st.booleans())
    if draw(st.booleans()):
        found["alternate_exchange"] = draw(st.sampled_from(sorted(earlier)))
    if draw(st.booleans()):
        found["bindings"] = draw(_bindings(earlier))
    return found


@st.composite
def _queue(draw: st.DrawFn, types: Mapping[str, str]) -> dict[str, Any]:
    kind = draw(st.sampled_from(["quorum", "quorum", "classic", "stream"]))
    found: dict[str, Any] = {} if kind == "quorum" and draw(st.booleans()) else {"type": kind}
    found["bindings"] = draw(_bindings(types))
    optional: dict[str, st.SearchStrategy[Any]] = {"max_length_bytes": COUNTS}
    if kind != "stream":
        optional |= {
            "max_priority": st.integers(1, 31),
            "dead_letter": st.one_of(st.just(False), _dead_letter()),
            "max_length": COUNTS,
            "message_ttl": DURATIONS,
            "single_active_consumer": st.booleans(),
            "retry": st.just({"delays": ["100ms", "1s"]}),
        }
    if kind == "quorum":
        optional |= {"delivery_limit": st.integers(1, 100)}
    if kind == "stream":
        optional |= {"arguments": st.just({"x-own": "text"})}
    for key in draw(st.lists(st.sampled_from(sorted(optional)), max_size=4, unique=True)):
        found[key] = draw(optional[key])
    return found


def _dead_letter() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={"ttl": DURATIONS, "max_length": COUNTS, "max_length_bytes": COUNTS})


@st.composite
def _bindings(draw: st.DrawFn, types: Mapping[str, str]) -> list[dict[str, Any]]:
    found = []
    for exchange in draw(st.lists(st.sampled_from(sorted(types)), max_size=3)):
        binding: dict[str, Any] = {"exchange": exchange, "routing_key": draw(_routing_key(types[exchange]))}
        if types[exchange] == "headers" or draw(st.integers(0, 5)) == 0:
            binding["arguments"] = draw(_headers())
        found.append(binding)
    return found


@st.composite
def _routing_key(draw: st.DrawFn, kind: str) -> str:
    """RabbitMQ 4.3 takes at most two `#`."""
    if kind == "topic":
        words = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4))
        return ".".join(word for index, word in enumerate(words) if word != "#" or words[:index].count("#") < 2)
    return draw(st.sampled_from(["", "a", "order.new", "ünïcode/%"]))


def _headers() -> st.SearchStrategy[dict[str, Any]]:
    values = st.one_of(st.booleans(), st.integers(-(2**40), 2**40), st.sampled_from(["", "pdf", "é"]))
    headers = st.dictionaries(st.sampled_from(["format", "n", "x-own", "Ü"]), values, max_size=3)
    return st.tuples(st.sampled_from(["all", "any", "all-with-x", "any-with-x"]), headers).map(
        lambda drawn: {"x-match": drawn[0], **drawn[1]}
    )


def _policy(queues: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Patterns that fit some names; settings that take no message away."""
    return st.fixed_dictionaries(
        {
            "pattern": st.sampled_from(["^q", "a", "^xo", "^none$"]),
            "apply_to": st.sampled_from(["queues", "all"]),
            "definition": st.fixed_dictionaries({"max_length": st.sampled_from([10**6, 2**40])}),
        },
        optional={"priority": st.integers(0, 10)},
    )
