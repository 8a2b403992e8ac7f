"""Values that several targets draw: what JSON and AMQP's field tables hold, odd ones first."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from amqptasks.messages.delivery import SETTLED, Delivery, Lease
from amqptasks.messages.properties import Properties
from tests.harness.foreign import LINE_ENDS, ODD_NAMES

#: Values of a pool. They are made once and drawn from: building each anew costs ten times what checking it does.
_POOL = 600

_MOMENTS = (datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
_SCALARS: tuple[Any, ...] = (
    *("", "x" * 5000, "\ud800", *ODD_NAMES, *LINE_ENDS),
    *(None, True, False, 0, -1, 1, 2, 3, 2**31, 2**53, 2**63, -(2**63), 2**64, 10**30, 10**400),
    *(0.5, -0.0, 1e300, -1e-300, float("inf"), float("-inf"), float("nan"), 1e18, 253402300800.0),
)
_FIELDS = (*_SCALARS, *_MOMENTS, Decimal("1.5"), Decimal("-0"), b"", b"\x00\xff")


def deep(levels: int) -> Any:
    found: Any = 1
    for level in range(levels):
        found = [found] if level % 2 else {"a": found}
    return found


def _pool(leaves: tuple[Any, ...]) -> tuple[Any, ...]:
    """Leaves, lists and objects of these; the same ones in each run, so that a crash is one for all."""
    source = random.Random(len(leaves))

    def one(depth: int) -> Any:
        kind = source.random()
        if depth and kind < 0.25:
            return [one(depth - 1) for _ in range(source.randrange(4))]
        if depth and kind < 0.5:
            return {_key(): one(depth - 1) for _ in range(source.randrange(4))}
        return source.choice(leaves)

    def _key() -> str:
        return source.choice([leaf for leaf in leaves if isinstance(leaf, str)])

    return tuple([deep(levels) for levels in (2, 40, 60, 200)] + [one(3) for _ in range(_POOL)])


TEXTS = st.sampled_from([leaf for leaf in _SCALARS if isinstance(leaf, str)])
NUMBERS = st.sampled_from([leaf for leaf in _SCALARS if isinstance(leaf, int)])
FRACTIONS = st.sampled_from([leaf for leaf in _SCALARS if isinstance(leaf, float)])
SCALARS = st.sampled_from(_SCALARS)
FIELDS = st.sampled_from(_FIELDS)
ODD_JSON = _pool(_SCALARS)
ODD_FIELDS = _pool(_FIELDS)
JSON = st.sampled_from(ODD_JSON)
NESTED_FIELDS = st.sampled_from(ODD_FIELDS)


def body(value: Any) -> bytes:
    """As JSON, with what JSON has not (`NaN`, half a surrogate) as other writers spell it."""
    return json.dumps(value, default=str).encode("utf-8", "surrogatepass")


def bodies(objects: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Mostly the objects; else any JSON, and bytes that are none."""
    cut = st.tuples(objects.map(body), st.integers(0, 40)).map(lambda drawn: drawn[0][: -drawn[1] or None])
    return st.one_of(objects.map(body), objects.map(body), JSON.map(body), st.binary(max_size=30), cut)


def likely(known: dict[str, st.SearchStrategy[Any]], odd: st.SearchStrategy[Any] = JSON) -> st.SearchStrategy[Any]:
    """An object with some of these keys, each with what it should hold, or with anything."""
    names = sorted(known)

    @st.composite
    def drawn(draw: st.DrawFn) -> dict[str, Any]:
        found = {}
        for name in draw(st.lists(st.sampled_from(names), max_size=len(names), unique=True)):
            found[name] = draw(odd if draw(st.integers(0, 4)) == 4 else known[name])
        return found

    return drawn()


def delivery(
    given: bytes,
    headers: Any = None,
    exchange: str = "tasks",
    properties: dict[str, Any] | None = None,
    lease: Lease = SETTLED,
    redelivered: bool = False,
) -> Delivery:
    return Delivery(
        "emails", 1, exchange, "emails", redelivered, Properties(headers=headers, **(properties or {})), given, lease
    )
