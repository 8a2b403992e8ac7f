"""Topic patterns, compared with an oracle."""

from __future__ import annotations

import re

from hypothesis import given, strategies as st

from amqptasks.memory import exchanges
from amqptasks.memory.exchanges import MemoryExchange
from amqptasks.transport.entities import Binding, Exchange

WORDS = st.lists(st.sampled_from(["a", "b", "ab", ""]), max_size=5).map(".".join)
PATTERNS = st.lists(st.sampled_from(["a", "b", "ab", "*", "#", ""]), max_size=4).map(".".join)


def as_expression(pattern: str) -> re.Pattern[str]:
    """The words of a key, each followed by a full stop, against the same for the pattern."""
    parts = {"*": r"[^.]*\.", "#": r"(?:[^.]*\.)*"}
    words = pattern.split(".") if pattern else []
    return re.compile("".join(parts.get(word, re.escape(word) + r"\.") for word in words))


@given(PATTERNS, WORDS)
def test_topic_patterns_match_as_a_regular_expression_says(pattern: str, key: str) -> None:
    exchange = MemoryExchange(Exchange("e", "topic"))
    exchange.bind(Binding("e", "q", pattern))
    ended = "".join(f"{word}." for word in key.split(".")) if key else ""
    assert bool(exchange.route(key, {})) is bool(as_expression(pattern).fullmatch(ended))


def test_remembered_routes_are_forgotten_when_bindings_change() -> None:
    exchange = MemoryExchange(Exchange("e", "direct"))
    binding = Binding("e", "q", "k")
    assert exchange.route("k", {}) == []
    exchange.bind(binding)
    assert exchange.route("k", {}) == [binding]
    assert exchange.unbind(lambda bound: bound == binding)
    assert exchange.route("k", {}) == []


def test_keys_that_never_repeat_do_not_fill_memory() -> None:
    exchange = MemoryExchange(Exchange("e", "fanout"))
    for number in range(exchanges.ROUTES + 10):
        exchange.route(str(number), {})
    assert len(exchange._routes) <= exchanges.ROUTES
