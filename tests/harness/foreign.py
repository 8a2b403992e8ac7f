"""Virtual hosts as other tools leave them: what nobody who writes our files would think of, made by AMQP or by HTTP.

A virtual host is drawn as RabbitMQ's definitions spell it, so that `make` may send it by either way. What is drawn can
be made on every release. `topologies.py` makes what our own files say.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

from amqptasks.amqp.blocking.session import Session
from amqptasks.topology.broker.identity import UNDEFINED
from amqptasks.transport.entities import Binding, Exchange, Queue
from tests.harness.vhost import Vhost

#: The longest short string of AMQP, in bytes.
LONGEST = 255

#: Names that some layer between two brokers takes for something else: YAML's words, spaces that nobody sees, our own
#: suffixes, what a terminal obeys, and what fills AMQP's 255 bytes. RabbitMQ itself takes line ends out of them.
ODD_NAMES = (
    *("orders", "Shop:OrderSubmitted", "a.b.c", "default", "default.dead", "orders.dead", "orders.due", "celery"),
    *("no", "null", "~", "1.0", "0123", "12:30", "1_000", "=", "<<", "true", "2026-11-30", "0x1F", ".inf"),
    *(" lead", "trail ", "nbsp\u00a0", "\u3000wide", "tab\t", "in\tside", "\u2028", "two\u2028lines", "next\u0085one"),
    *("\u200b", "\ufeffbom", "rtl\u202eoper", "e\x1b[31mred", "nul\x00x", "bell\x07", "del\x7f", "\x80c1"),
    *("a: b", "x #y", "#x", "- x", "? x", "&a", "*a", "!t", "|", ">", "%x", "@x", "`x`", "'q'", '"q"', "{a}", "[b]"),
    *("${X}", "$${X}", "${X:-y}", "a,b", "a\\nb", "back\\slash", "a/b", "a%2Fb", "é", "e\u0301", "\U0001f600"),
    *("x" * LONGEST, "é" * 127 + "x", " " * 3),
)
EXCHANGE_TYPES = ("direct", "topic", "fanout", "headers")
CONSISTENT_HASH = "x-consistent-hash"

#: What only definitions may hold in a name: they go through no AMQP.
LINE_ENDS = ("two\nlines", "crlf\r\n", "p\noperator_policies: {x: 1}\n#", "\n", "trail\n")

#: What a value holds inside. Texts are like names, and may hold line ends as well.
_TEXTS = ("", "x" * 300, *LINE_ENDS, *ODD_NAMES)
_NUMBERS = (0, 1, -1, 127, 128, 255, 2**31 - 1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1, -(2**63))
_FRACTIONS = (0.5, -0.25, 1.0, 1e20, 1.5e-9, 3.141592653589793, -0.0)
_KINDS_OF_SCALARS: tuple[tuple[Any, ...], ...] = (_NUMBERS, _FRACTIONS, (True, False), _TEXTS, (None,))
_NAMES_OF_FIELDS = ("tier", "x-own", "tenant id", "n", "ü", "no", "", "a: b", "tab\t", "${X}", "l" * 128)

#: Values of the pool, some of them lists and objects with others inside.
_POOL = 1000


def _pool() -> list[Any]:
    """They are made once and drawn from, the same ones in each run: drawing each part of each takes ten times as long
    as all the rest."""
    source = random.Random(_POOL)

    def one(depth: int) -> Any:
        kind = source.random()
        if depth and kind < 0.2:
            return [one(depth - 1) for _ in range(source.randrange(4))]
        if depth and kind < 0.4:
            return {source.choice(_NAMES_OF_FIELDS): one(depth - 1) for _ in range(source.randrange(4))}
        return source.choice(source.choice(_KINDS_OF_SCALARS))

    return [one(3) for _ in range(_POOL)]


_KEYS = st.sampled_from(_NAMES_OF_FIELDS)
_VALUES = st.sampled_from(_pool()).map(deepcopy)


@st.composite
def foreign_vhosts(draw: st.DrawFn, plugins: bool, operators: bool = True, most: int = 4) -> dict[str, Any]:
    """One virtual host in the spelling of definitions; `plugins`: with exchanges, shovels and upstreams of RabbitMQ's
    consistent-hash, shovel and federation plugins."""
    by_http = draw(st.booleans())
    kinds = (*EXCHANGE_TYPES, CONSISTENT_HASH) if plugins else EXCHANGE_TYPES
    names = st.sampled_from(ODD_NAMES)
    exchanges = [
        _exchange(draw, name, draw(st.sampled_from(kinds)))
        for name in draw(st.lists(names, max_size=most, unique=True))
    ]
    queues = [_queue(draw, name) for name in draw(st.lists(names, min_size=1, max_size=most, unique=True))]
    for one in exchanges:
        others = [other["name"] for other in exchanges if other["name"] != one["name"]]
        if draw(st.booleans()):
            one["arguments"]["alternate-exchange"] = draw(st.sampled_from([*others, "amq.fanout", "not there"]))
    found: dict[str, Any] = {
        "exchanges": exchanges,
        "queues": queues,
        "bindings": [_binding(draw, exchanges, queues) for _ in range(draw(st.integers(0, 2 * most)))],
        "policies": _policies(draw, _POLICIES),
        "operator_policies": _policies(draw, _OPERATOR_POLICIES) if operators else [],
        "parameters": [_parameter(draw, number) for number in range(draw(st.integers(0, 2)))] if plugins else [],
    }
    queues[0] |= {"durable": True, "auto_delete": False}  # a virtual host of nothing but clients' own holds nothing
    return {"by": "http" if by_http else "amqp", **found}


def _exchange(draw: st.DrawFn, name: str, kind: str) -> dict[str, Any]:
    arguments: dict[str, Any] = draw(st.dictionaries(_KEYS.filter(bool), _VALUES, max_size=2))
    if kind == CONSISTENT_HASH and draw(st.booleans()):
        arguments["hash-header"] = draw(st.sampled_from(("customer", "ü", "no")))
    elif draw(st.integers(0, 9)) == 9:
        arguments["x-internal-purpose"] = "federation"
    return {
        "name": name,
        "type": kind,
        "durable": draw(st.integers(0, 4)) > 0,
        "auto_delete": draw(st.integers(0, 4)) == 4,
        "internal": draw(st.integers(0, 4)) == 4,
        "arguments": arguments,
    }


_QUEUE_ARGUMENTS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "classic": {
        "x-max-priority": st.sampled_from((1, 10, 255)),
        "x-message-ttl": st.sampled_from((0, 1, 60000, 2**31)),
        "x-expires": st.sampled_from((3600000, 2**31)),
        "x-max-length": st.sampled_from((0, 1, 2**40)),
        "x-overflow": st.sampled_from(("drop-head", "reject-publish")),
        "x-dead-letter-exchange": st.sampled_from(("", "gone", "amq.topic")),
        "x-single-active-consumer": st.booleans(),
        "x-queue-mode": st.just("lazy"),
    },
    "quorum": {
        "x-max-length": st.sampled_from((1, 2**40)),
        "x-max-length-bytes": st.sampled_from((0, 10**9)),
        "x-delivery-limit": st.sampled_from((0, 1, 25)),
        "x-dead-letter-exchange": st.sampled_from(("", "gone", "amqptasks.queues")),
        "x-dead-letter-routing-key": st.sampled_from(("orders", "default.dead", "no")),
        "x-expires": st.just(3600000),
        "x-single-active-consumer": st.booleans(),
        "x-quorum-initial-group-size": st.just(3),
    },
    "stream": {
        "x-max-age": st.sampled_from(("7D", "1Y", "30m", "12h", "604800s")),
        "x-max-length-bytes": st.just(20_000_000_000),
        "x-stream-max-segment-size-bytes": st.sampled_from((1000000, 500000000)),
        "x-initial-cluster-size": st.just(1),
    },
}


def _queue(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """A classic queue may say no type, as all did once. Others than classic ones are durable."""
    kind = draw(st.sampled_from(("none", "classic", "classic", "quorum", "stream")))
    known = _QUEUE_ARGUMENTS["classic" if kind == "none" else kind]
    arguments: dict[str, Any] = {} if kind == "none" else {"x-queue-type": kind}
    for key in draw(st.lists(st.sampled_from(sorted(known)), max_size=3, unique=True)):
        arguments[key] = draw(known[key])
    if "x-dead-letter-routing-key" in arguments:
        arguments.setdefault("x-dead-letter-exchange", "")
    if kind in ("none", "classic"):
        arguments |= draw(st.dictionaries(_KEYS.filter(bool), _VALUES, max_size=1))
    else:
        arguments |= draw(st.sampled_from(({}, {}, {"x-own": "text"}, {"x-own": None})))
    passing = kind in ("none", "classic") and draw(st.integers(0, 5)) == 5
    frail = kind in ("none", "classic") and draw(st.integers(0, 5)) == 5
    return {"name": name, "durable": passing or not frail, "auto_delete": passing, "arguments": arguments}


def _binding(draw: st.DrawFn, exchanges: list[dict[str, Any]], queues: list[dict[str, Any]]) -> dict[str, Any]:
    types = {**{f"amq.{kind}": kind for kind in EXCHANGE_TYPES}, **{one["name"]: one["type"] for one in exchanges}}
    source = draw(st.sampled_from(sorted(types)))
    kind = types[source]
    earlier = [one["name"] for one in exchanges if one["name"] < source]
    to_exchange = bool(earlier) and draw(st.integers(0, 3)) == 0
    keys = st.sampled_from(("", "a", "order.#", "*.b", "é", "two\u2028lines", "${X}", "no", " ", "x" * LONGEST))
    arguments: dict[str, Any] = {}
    if kind == "headers":
        match = draw(st.sampled_from(("all", "any", "all-with-x", None)))
        arguments = ({} if match is None else {"x-match": match}) | draw(st.dictionaries(_KEYS, _VALUES, max_size=3))
    elif draw(st.integers(0, 4)) == 0:
        arguments = draw(st.dictionaries(_KEYS, _VALUES, min_size=1, max_size=2))
    return {
        "source": source,
        "destination": draw(st.sampled_from(earlier if to_exchange else [one["name"] for one in queues])),
        "destination_type": "exchange" if to_exchange else "queue",
        "routing_key": draw(st.sampled_from(("1", "20", "007"))) if kind == CONSISTENT_HASH else draw(keys),
        "arguments": arguments,
    }


_PATTERNS = st.sampled_from(
    (r"^no\.one$", "^shop:", "^$", r"^x\d+$", r"^a\Kb", "^(?i)never$", "^n\n#", "^never\u2028$")
)
_POLICIES = st.one_of(
    st.fixed_dictionaries(
        {"max-age": st.sampled_from(("7D", "1Y", "3600s"))},
        optional={"stream-max-segment-size-bytes": st.just(10**6)},
    ),
    st.fixed_dictionaries(
        {"message-ttl": st.sampled_from((0, 1, 86400001))},
        optional={
            "max-length": st.sampled_from((0, 1, 2**40)),
            "overflow": st.sampled_from(("drop-head", "reject-publish", "reject-publish-dlx")),
            "dead-letter-exchange": st.sampled_from(("", "gone")),
            "dead-letter-routing-key": st.sampled_from(("", "no", "two\nlines")),
        },
    ),
    st.fixed_dictionaries({"expires": st.sampled_from((1, 3600000)), "queue-mode": st.just("lazy")}),
    st.fixed_dictionaries({"alternate-exchange": st.sampled_from(("gone", "a: b", "two\u2028lines"))}),
    st.fixed_dictionaries({"delivery-limit": st.sampled_from((0, 5, 20))}),
)
_OPERATOR_POLICIES = st.fixed_dictionaries(
    {"max-length": st.sampled_from((1, 2**40))}, optional={"message-ttl": st.sampled_from((1, 3600000))}
)


def _policies(draw: st.DrawFn, definitions: st.SearchStrategy[dict[str, Any]]) -> list[dict[str, Any]]:
    names = draw(st.lists(st.sampled_from((*LINE_ENDS, *ODD_NAMES)), max_size=2, unique=True))
    found = []
    for name in names:
        definition = draw(definitions)
        applies = "exchanges" if "alternate-exchange" in definition else "queues"
        priority = draw(st.sampled_from((0, 1, -1, 2**31 - 1)))
        pattern = draw(_PATTERNS)
        found.append(
            {"name": name, "pattern": pattern, "definition": definition, "apply-to": applies, "priority": priority}
        )
    return found


def _parameter(draw: st.DrawFn, number: int) -> dict[str, Any]:
    """An upstream that no policy uses, or a shovel from a port where nobody listens: neither moves anything."""
    name = f"{draw(st.sampled_from((*LINE_ENDS, *ODD_NAMES)))[:40]} {number}"
    nowhere = "amqp://user:s3cr3t@127.0.0.1:9"
    if draw(st.booleans()):
        return {"component": "federation-upstream", "name": name, "value": {"uri": nowhere, "expires": 3600000}}
    shovel = {"src-uri": nowhere, "src-queue": "a", "dest-uri": nowhere, "dest-queue": "b", "reconnect-delay": 3600}
    return {"component": "shovel", "name": name, "value": shovel}


def make(drawn: Mapping[str, Any], vhost: Vhost) -> None:
    """All of it, in a virtual host that is empty."""
    entities = {kind: drawn[kind] for kind in ("exchanges", "queues", "bindings")}
    if drawn["by"] == "http":
        vhost.management.request("POST", "definitions", vhost.name, body=_without_void({**entities, "policies": []}))
    else:
        with Session([vhost.url]) as session:
            session.declare_all((_exchange_of(one) for one in drawn["exchanges"]), _nothing)
            session.declare_all((_queue_of(one) for one in drawn["queues"]), _nothing)
            session.declare_all((_binding_of(one) for one in drawn["bindings"]), _nothing)
    for section, kind in (("policies", "policies"), ("operator_policies", "operator-policies")):
        for one in drawn[section]:
            body = {key: value for key, value in one.items() if key != "name"}
            vhost.management.request("PUT", kind, vhost.name, one["name"], body=body)
    for one in drawn["parameters"]:
        body = {"value": one["value"], "vhost": vhost.name, "component": one["component"], "name": one["name"]}
        vhost.management.request("PUT", "parameters", one["component"], vhost.name, one["name"], body=body)


def _without_void(value: Any) -> Any:
    """HTTP takes no void. The text that the API writes for one can be uploaded."""
    if isinstance(value, dict):
        return {key: _without_void(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_void(one) for one in value]
    return UNDEFINED if value is None else value


def _nothing(_: object) -> None:
    """Nobody hears of it."""


def _exchange_of(one: Mapping[str, Any]) -> Exchange:
    return Exchange(one["name"], one["type"], one["durable"], one["auto_delete"], one["internal"], one["arguments"])


def _queue_of(one: Mapping[str, Any]) -> Queue:
    return Queue(one["name"], one["durable"], False, one["auto_delete"], one["arguments"])


def _binding_of(one: Mapping[str, Any]) -> Binding:
    return Binding(
        one["source"], one["destination"], one["routing_key"], one["destination_type"], dict(one["arguments"])
    )


def counts(drawn: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """How many of each kind were in them."""
    found: Counter[str] = Counter()
    for one in drawn:
        found[f"virtual hosts by {one['by'].upper()}"] += 1
        found.update(f"{exchange['type']} exchanges" for exchange in one["exchanges"])
        found.update("internal exchanges" for exchange in one["exchanges"] if exchange["internal"])
        found.update(
            "alternate exchanges" for exchange in one["exchanges"] if "alternate-exchange" in exchange["arguments"]
        )
        found.update(f"{queue['arguments'].get('x-queue-type', 'untyped')} queues" for queue in one["queues"])
        passing = [entity for entity in (*one["exchanges"], *one["queues"]) if entity["auto_delete"]]
        found.update("auto-delete objects" for _ in passing)
        found.update(f"bindings of {binding['destination_type']}s" for binding in one["bindings"])
        found.update("bindings with arguments" for binding in one["bindings"] if binding["arguments"])
        for section in ("policies", "operator_policies"):
            found[section.replace("_", " ")] += len(one[section])
        found.update(f"{parameter['component']}s" for parameter in one["parameters"])
        named = [entity["name"] for kind in ("exchanges", "queues", "policies") for entity in one[kind]]
        found.update("names that are odd" for name in named if not name.replace(".", "").replace(":", "").isalpha())
        found.update("names of 255 bytes" for name in named if len(name.encode()) == LONGEST)
    return found
