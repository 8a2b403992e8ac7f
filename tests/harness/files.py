"""Topology files with every key there is, right or wrong: for tests of what the loader lets through.

`topologies.py` makes only files that are right, and that take no message away, on every release: for tests that
publish, or compare what is on the broker. There a key depends on what was drawn before; here none does.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.harness.topologies import COUNTS, DURATIONS

#: Names of one example are few, so that bindings meet and names collide now and then.
_NAMES = st.sampled_from(["a", "b", "c.d", "e f", "ü", "x" * 60])
_KEYS = st.sampled_from(["", "a", "a.b", "a.*", "#", "#.b.#"])


def _optional(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keys)


_BINDINGS = st.lists(
    st.fixed_dictionaries({"exchange": _NAMES | st.just("amq.topic"), "routing_key": _KEYS}), max_size=2
)

_RETRIES = st.one_of(
    st.fixed_dictionaries({"delays": st.lists(DURATIONS, min_size=1, max_size=3)}, optional={"queues": st.just(True)}),
    st.fixed_dictionaries({"backoff": st.just("exponential")}, optional={"max_retries": st.integers(0, 9)}),
    st.fixed_dictionaries(
        {"native": st.just(True), "first": st.sampled_from(["1ms", "2s"]), "max": st.sampled_from(["1s", "10s"])}
    ),
)

_LOCATORS = st.sampled_from(["client-local", "balanced"])
_OF_QUEUES: dict[str, st.SearchStrategy[Any]] = {
    "bindings": _BINDINGS,
    "max_priority": st.integers(1, 31),
    "retry": _RETRIES,
    "dead_letter": st.just(False)
    | _optional(ttl=DURATIONS, max_length=COUNTS, max_length_bytes=COUNTS)
    | st.fixed_dictionaries({"queue": _NAMES}),
    "delivery_limit": st.just(False) | st.integers(1, 100),
    "max_length": COUNTS,
    "max_length_bytes": COUNTS,
    "overflow": st.sampled_from(["reject-publish", "drop-head", "reject-publish-dlx"]),
    "message_ttl": DURATIONS,
    "expires": DURATIONS.filter(lambda text: text != "1ms"),
    "single_active_consumer": st.booleans(),
    "leader_locator": _LOCATORS,
}
_QUEUES = st.one_of(
    _optional(
        **_OF_QUEUES,
        consumer_timeout=DURATIONS,
        consumer_disconnected_timeout=DURATIONS,
        initial_group_size=st.integers(1, 5),
        target_group_size=st.integers(1, 5),
    ),
    _optional(
        **_OF_QUEUES,
        queue_mode=st.sampled_from(["default", "lazy"]),
        queue_version=st.just(2),
        durable=st.just(True),
        auto_delete=st.just(False),
    ).map(lambda keys: {"type": "classic", **keys}),
    _optional(
        bindings=_BINDINGS,
        max_length_bytes=COUNTS,
        leader_locator=_LOCATORS,
        max_age=DURATIONS,
        max_segment_size=st.integers(1, 3_000_000_000),
        filter_size=st.integers(16, 255),
        initial_cluster_size=st.integers(1, 3),
    ).map(lambda keys: {"type": "stream", **keys}),
    st.fixed_dictionaries(
        {"exact": st.just(True)},
        optional={"bindings": _BINDINGS, "arguments": st.just({"x-max-length": 5, "x-of-somebody": "text"})},
    ),
)
_EXCHANGES = _optional(
    type=st.sampled_from(["direct", "topic", "fanout", "headers"]),
    durable=st.booleans(),
    internal=st.booleans(),
    alternate_exchange=_NAMES,
    bindings=_BINDINGS,
)
#: Any file: also such as the loader refuses, about one in two.
FILES = st.fixed_dictionaries(
    {"version": st.just(1), "queues": st.dictionaries(_NAMES, _QUEUES, min_size=1, max_size=3)},
    optional={
        "exchanges": st.dictionaries(_NAMES, _EXCHANGES, max_size=4),
        "defaults": st.fixed_dictionaries({"queue": _optional(message_ttl=DURATIONS, max_length=COUNTS)}),
        "delays": st.fixed_dictionaries({"max": st.sampled_from(["1m", "1h", "398d"])}),
    },
)
