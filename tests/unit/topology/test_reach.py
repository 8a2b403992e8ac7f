"""Which queues a message reaches, by RabbitMQ's rules."""

from __future__ import annotations

import pytest

from amqptasks.topology.ask.reach import passages, queues_reached, topic_matches
from amqptasks.topology.read.loader import from_mapping
from amqptasks.topology.topology import ExchangeSettings, QueueSettings, Source, Topology


@pytest.mark.parametrize(
    ("pattern", "key", "fits"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("a.*", "a.b.c", False),
        ("a.#", "a", True),
        ("a.#", "a.b.c", True),
        ("#", "", True),
        ("#", "a.b", True),
        ("", "", True),
        ("", "a", False),
        ("*", "", False),
        ("#.b", "b", True),
        ("#.b", "a.c.b", True),
        ("#.b", "a.b.c", False),
        ("#.b.#", "a.b.c", True),
        ("*.#", "a", True),
        ("a.#.c", "a.c", True),
        ("a.#.c", "a.b.b.c", True),
        ("a.#.c", "a.b.b", False),
    ],
)
def test_a_topic_pattern_matches_words(pattern: str, key: str, fits: bool):
    assert topic_matches(pattern, key) is fits


def _topology() -> Topology:
    return Topology(
        queues={
            "direct": QueueSettings("direct", bindings=(Source("d", "k"),)),
            "all": QueueSettings("all", bindings=(Source("f"),)),
            "some": QueueSettings("some", bindings=(Source("h", arguments={"format": "pdf"}),)),
            "rest": QueueSettings("rest", bindings=(Source("spare"),)),
        },
        exchanges={
            "d": ExchangeSettings("d", alternate_exchange="spare"),
            "f": ExchangeSettings("f", "fanout", bindings=(Source("t", "to.f.#"),)),
            "h": ExchangeSettings("h", "headers"),
            "t": ExchangeSettings("t", "topic", bindings=(Source("f"),)),
            "spare": ExchangeSettings("spare", "fanout"),
        },
    )


@pytest.mark.parametrize(
    ("exchange", "key", "reached"),
    [
        ("d", "k", {"direct"}),
        ("d", "x", {"rest"}),
        ("d", None, {"direct", "rest"}),
        ("f", "anything", {"all"}),
        ("t", "to.f.now", {"all"}),
        ("t", "elsewhere", set()),
        ("h", "", {"some"}),
        ("amqptasks.queues", "all", {"all"}),
        ("amqptasks.queues", "none", set()),
        ("unknown", "k", set()),
    ],
)
def test_a_message_is_followed_through_exchanges_and_alternates(exchange: str, key: str | None, reached: set[str]):
    assert queues_reached(_topology(), exchange, key) == reached


def test_a_circle_of_exchanges_ends():
    topology = from_mapping(
        {
            "version": 1,
            "exchanges": {
                "a": {"type": "fanout", "bindings": [{"exchange": "b"}]},
                "b": {"type": "fanout", "bindings": [{"exchange": "a"}]},
            },
            "queues": {"q": {"bindings": [{"exchange": "b"}]}},
        }
    )
    assert queues_reached(topology, "a", "") == {"q"}


@pytest.mark.parametrize(
    ("headers", "reached"), [({"format": "pdf"}, {"some"}), ({"format": "png"}, set()), ({}, set()), (None, {"some"})]
)
def test_headers_are_compared_where_they_are_known(headers: dict[str, object] | None, reached: set[str]):
    assert queues_reached(_topology(), "h", "", headers) == reached


def test_a_passage_tells_what_did_not_fit_too_and_where_the_alternate_leads():
    first, second = passages(_topology(), "d", "x")
    assert [(hop.target, hop.fits) for hop in first.hops] == [("direct", False)]
    assert (first.alternate, second.exchange, second.alternate) == ("spare", "spare", None)
    assert passages(_topology(), "d", "k")[0].alternate is None
