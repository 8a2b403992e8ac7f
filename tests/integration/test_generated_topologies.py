"""Whatever the model accepts, expands, and a real broker takes it: generated files with every key, declared."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amqptasks.amqp.session import Session
from amqptasks.errors import TopologyError
from amqptasks.topology.decisions import decisions
from amqptasks.topology.declare import declare
from amqptasks.topology.expand import expand
from amqptasks.topology.ladder import ladder_objects
from amqptasks.topology.loader import from_mapping
from tests.harness.vhost import Vhost

#: Names of one example are few, so that bindings meet and names collide now and then.
NAMES = st.sampled_from(["a", "b", "c.d", "e f", "ü", "x" * 60])
DURATIONS = st.sampled_from(["1ms", "250ms", "5s", "1h 30m", "14d", "3650d"])
COUNTS = st.integers(1, 5) | st.just(2**40)
KEYS = st.sampled_from(["", "a", "a.b", "a.*", "#", "#.b.#"])


def optional(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keys)


BINDINGS = st.lists(st.fixed_dictionaries({"exchange": NAMES | st.just("amq.topic"), "routing_key": KEYS}), max_size=2)

RETRIES = st.one_of(
    st.fixed_dictionaries({"delays": st.lists(DURATIONS, min_size=1, max_size=3)}, optional={"queues": st.just(True)}),
    st.fixed_dictionaries({"backoff": st.just("exponential")}, optional={"max_retries": st.integers(0, 9)}),
    st.fixed_dictionaries(
        {"native": st.just(True), "first": st.sampled_from(["1ms", "2s"]), "max": st.sampled_from(["1s", "10s"])}
    ),
)

LOCATORS = st.sampled_from(["client-local", "balanced"])
OF_QUEUES: dict[str, st.SearchStrategy[Any]] = {
    "bindings": BINDINGS,
    "max_priority": st.integers(1, 31),
    "retry": RETRIES,
    "dead_letter": st.just(False)
    | optional(ttl=DURATIONS, max_length=COUNTS, max_length_bytes=COUNTS)
    | st.fixed_dictionaries({"queue": NAMES}),
    "delivery_limit": st.just(False) | st.integers(1, 100),
    "max_length": COUNTS,
    "max_length_bytes": COUNTS,
    "overflow": st.sampled_from(["reject-publish", "drop-head", "reject-publish-dlx"]),
    "message_ttl": DURATIONS,
    "expires": DURATIONS.filter(lambda text: text != "1ms"),
    "single_active_consumer": st.booleans(),
    "leader_locator": LOCATORS,
}
QUEUES = st.one_of(
    optional(
        **OF_QUEUES,
        consumer_timeout=DURATIONS,
        consumer_disconnected_timeout=DURATIONS,
        initial_group_size=st.integers(1, 5),
        target_group_size=st.integers(1, 5),
    ),
    optional(
        **OF_QUEUES,
        queue_mode=st.sampled_from(["default", "lazy"]),
        queue_version=st.just(2),
        durable=st.just(True),
        auto_delete=st.just(False),
    ).map(lambda keys: {"type": "classic", **keys}),
    optional(
        bindings=BINDINGS,
        max_length_bytes=COUNTS,
        leader_locator=LOCATORS,
        max_age=DURATIONS,
        max_segment_size=st.integers(1, 3_000_000_000),
        filter_size=st.integers(16, 255),
        initial_cluster_size=st.integers(1, 3),
    ).map(lambda keys: {"type": "stream", **keys}),
    st.fixed_dictionaries(
        {"exact": st.just(True)},
        optional={"bindings": BINDINGS, "arguments": st.just({"x-max-length": 5, "x-of-somebody": "text"})},
    ),
)
EXCHANGES = optional(
    type=st.sampled_from(["direct", "topic", "fanout", "headers"]),
    durable=st.booleans(),
    internal=st.booleans(),
    alternate_exchange=NAMES,
    bindings=BINDINGS,
)
FILES = st.fixed_dictionaries(
    {"version": st.just(1), "queues": st.dictionaries(NAMES, QUEUES, min_size=1, max_size=3)},
    optional={
        "exchanges": st.dictionaries(NAMES, EXCHANGES, max_size=4),
        "defaults": st.fixed_dictionaries({"queue": optional(message_ttl=DURATIONS, max_length=COUNTS)}),
        "delays": st.fixed_dictionaries({"max": st.sampled_from(["1m", "1h", "398d"])}),
    },
)


def _taken(vhost: Vhost, file: dict[str, Any]) -> bool:
    """False for a file that the model refuses. A file that it takes is declared, twice; then all of it is deleted."""
    try:
        topology = from_mapping(file, environment={})
    except TopologyError:
        return False
    session = Session([vhost.url])
    try:
        capabilities = session.capabilities
        decisions(topology, capabilities)
        objects = expand(topology, capabilities)
        assert len(ladder_objects(topology, capabilities)) > 0  # declaring it each time would take minutes
        try:
            declare(objects, session)
            again = declare(objects, session)
            assert {change.state for change in again if change.kind != "binding"} == {"present"}
        finally:
            for queue in objects.queues:
                session.delete_queue(queue.name)
            for exchange in objects.exchanges:
                session.delete_exchange(exchange.name)
    finally:
        session.close()
    return True


def _declared(vhost: Vhost, examples: int) -> None:
    """Stops at so many files that were taken."""
    taken = 0

    @settings(
        max_examples=examples * 8,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(FILES)
    def generated(file: dict[str, Any]) -> None:
        nonlocal taken
        if taken < examples:
            taken += _taken(vhost, file)

    generated()
    assert taken == examples, f"{taken} of {examples * 8} files were good"


def test_what_the_model_accepts_the_broker_takes(vhost: Vhost) -> None:
    _declared(vhost, 10)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_what_the_model_accepts_the_broker_takes_200_times(vhost: Vhost) -> None:
    _declared(vhost, 200)
