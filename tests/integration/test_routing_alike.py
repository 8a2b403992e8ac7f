"""RabbitMQ, the broker in memory and the topology's own reckoning lead every message to the same queues.

Topologies and messages are generated; on RabbitMQ they are declared and published, and every queue is read out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, note, settings, strategies as st

from amqptasks import dial
from amqptasks.errors import Unroutable
from amqptasks.memory.registry import forget
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.topology.ask.reach import queues_reached
from amqptasks.topology.broker.declare import declare
from amqptasks.topology.expand.expand import expand
from amqptasks.topology.read.loader import from_mapping
from amqptasks.topology.topology import Topology
from amqptasks.transport import Session
from tests.harness.vhost import Vhost

#: Few words, so that keys and patterns meet; the empty word and the empty key among them.
WORDS = st.sampled_from(["a", "b", "c", ""])
PATTERN_WORDS = st.sampled_from(["a", "b", "*", "#", ""])
KEYS = st.lists(WORDS, max_size=3).map(".".join)
#: At most two `#`, as RabbitMQ 4.3 has it.
PATTERNS = st.lists(PATTERN_WORDS, max_size=4).filter(lambda words: words.count("#") <= 2).map(".".join)

VALUES = st.sampled_from(["red", "blue", "", 1, 2, True, False])
NAMES = st.sampled_from(["colour", "size", "x-late"])
HEADERS = st.dictionaries(NAMES, VALUES, max_size=3)
MATCHES = st.sampled_from([{}, *({"x-match": match} for match in ("all", "any", "all-with-x", "any-with-x"))])

#: Exchanges and queues of one topology; names of one letter, alike in all.
EXCHANGES, QUEUES = ["e0", "e1", "e2", "e3"], ["q0", "q1", "q2", "q3"]
TYPES = st.sampled_from(["direct", "topic", "fanout", "headers"])

_numbers = itertools.count()


@st.composite
def bindings(draw: st.DrawFn, types: dict[str, str]) -> list[dict[str, object]]:
    found = []
    for exchange in draw(st.lists(st.sampled_from(EXCHANGES), max_size=4)):
        binding: dict[str, object] = {"exchange": exchange}
        if types[exchange] in ("direct", "topic"):
            binding["routing_key"] = draw(KEYS if types[exchange] == "direct" else PATTERNS)
        elif types[exchange] == "headers":
            binding["arguments"] = {**draw(MATCHES), **draw(HEADERS)}
        found.append(binding)
    return found


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    """Exchanges bound to each other, in circles too, and alternates; classic queues without more, to be quick."""
    types = {name: draw(TYPES) for name in EXCHANGES}
    exchanges: dict[str, dict[str, object]] = {}
    for name, kind in types.items():
        others = [other for other in EXCHANGES if other != name]
        alternate = draw(st.none() | st.sampled_from(others))
        exchanges[name] = {"type": kind, "bindings": draw(bindings(types))[:2]}
        if alternate is not None:
            exchanges[name]["alternate_exchange"] = alternate
    queues = {name: {"type": "classic", "dead_letter": False, "bindings": draw(bindings(types))} for name in QUEUES}
    return from_mapping({"version": 1, "exchanges": exchanges, "queues": queues})


@st.composite
def messages(draw: st.DrawFn) -> tuple[str, str, dict[str, object]]:
    exchange = draw(st.sampled_from([*EXCHANGES, "amqptasks.queues"]))
    key = draw(st.sampled_from([*QUEUES, "nobody"]) if exchange == "amqptasks.queues" else KEYS)
    return exchange, key, draw(HEADERS)


@pytest.fixture
def real(vhost: Vhost) -> Iterator[Session]:
    session = dial.session([vhost.url])
    yield session
    session.close()


def _declare(topology: Topology, session: Session) -> None:
    declare(expand(topology, session.capabilities), session)


def _delete(topology: Topology, session: Session) -> None:
    for name in topology.queues:
        session.delete_queue(name)
    for name in [*topology.exchanges, "amqptasks.queues"]:
        session.delete_exchange(name)


def _publish(session: Session, number: int, message: tuple[str, str, dict[str, object]]) -> bool:
    """False: it came back."""
    exchange, key, headers = message
    try:
        session.publish(Outgoing(exchange, key, b"%d" % number, Properties(headers=dict(headers))))
    except Unroutable:
        return False
    return True


def _arrived(session: Session, topology: Topology) -> dict[int, set[str]]:
    """By the number of each message the queues that have it; fails where one has it twice."""
    found: dict[int, set[str]] = {}
    for name in topology.queues:
        state = session.queue_state(name)
        assert state is not None
        # As many as are there, and no more: the session would wait for more to come.
        for delivery in list(session.take(name, state.messages)) if state.messages else ():
            queues = found.setdefault(int(delivery.body), set())
            assert name not in queues, f"{name} has message {int(delivery.body)} twice"
            queues.add(name)
            session.ack(delivery)
        session.give_back()
    return found


def _same_everywhere(topology: Topology, sent: list[tuple[str, str, dict[str, object]]], real: Session) -> None:
    url = f"memory://alike-{next(_numbers)}"
    memory = dial.session([url])
    try:
        arrived, returned = [], []
        for session in (real, memory):
            _declare(topology, session)
            returned.append([_publish(session, number, one) for number, one in enumerate(sent)])
            arrived.append(_arrived(session, topology))
    finally:
        _delete(topology, real)
        memory.close()
        forget(url)
    for number, (exchange, key, headers) in enumerate(sent):
        note(f"message {number}: exchange {exchange}, key {key!r}, headers {headers}")
        reckoned = set(queues_reached(topology, exchange, key, headers))
        on_rabbitmq, in_memory = (one.get(number, set()) for one in arrived)
        assert in_memory == on_rabbitmq
        assert reckoned == on_rabbitmq
        assert returned[0][number] == returned[1][number] == bool(on_rabbitmq)


PROPERTY = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.mark.long
@settings(PROPERTY, max_examples=25)
@given(topology=topologies(), sent=st.lists(messages(), min_size=1, max_size=12))
def test_every_message_reaches_the_same_queues_everywhere(
    topology: Topology, sent: list[tuple[str, str, dict[str, object]]], real: Session
) -> None:
    _same_everywhere(topology, sent, real)


@pytest.mark.long
@pytest.mark.timeout(900)
@settings(PROPERTY, max_examples=200)
@given(topology=topologies(), sent=st.lists(messages(), min_size=1, max_size=30))
def test_every_message_reaches_the_same_queues_everywhere_in_many_topologies(
    topology: Topology, sent: list[tuple[str, str, dict[str, object]]], real: Session
) -> None:
    _same_everywhere(topology, sent, real)
