"""Which queues a message reaches."""

from __future__ import annotations

import pytest

from amqptasks.errors import Unroutable
from amqptasks.transport.entities import Binding, Queue
from tests.conformance.transport import Transport


def test_a_direct_exchange_takes_the_key_as_it_is(transport: Transport) -> None:
    exchange = transport.exchange("direct")
    red, blue = transport.bound_queue(exchange, "red"), transport.bound_queue(exchange, "blue")
    transport.publish(exchange, "1", routing_key="red")
    with pytest.raises(Unroutable):
        transport.publish(exchange, "2", routing_key="re")
    assert (transport.bodies(red), transport.bodies(blue)) == (["1"], [])


@pytest.mark.parametrize(
    ("pattern", "fits", "others"),
    [
        ("shop.*.created", ["shop.order.created"], ["shop.created", "shop.order.item.created"]),
        ("shop.#", ["shop", "shop.order", "shop.order.created"], ["shops", "a.shop"]),
        ("#.created", ["created", "shop.created", "a.b.created"], ["created.a"]),
        ("a.#.z", ["a.z", "a.b.z", "a.b.c.z"], ["a", "z", "a.z.b"]),
        ("*", ["a"], ["", "a.b"]),
        ("#", ["", "a", "a.b"], []),
        ("a.*.#.*", ["a.b.c", "a.b.c.d"], ["a", "a.b"]),
    ],
)
def test_a_topic_exchange_knows_stars_and_hashes(
    transport: Transport, pattern: str, fits: list[str], others: list[str]
) -> None:
    exchange = transport.exchange("topic")
    queue = transport.bound_queue(exchange, pattern)
    for key in fits + others:
        transport.publish(exchange, key, routing_key=key, mandatory=False)
    assert transport.bodies(queue) == fits


def test_a_fanout_exchange_ignores_the_key(transport: Transport) -> None:
    exchange = transport.exchange("fanout")
    queues = [transport.bound_queue(exchange, "this"), transport.bound_queue(exchange, "that")]
    transport.publish(exchange, "1", routing_key="neither")
    assert [transport.bodies(queue) for queue in queues] == [["1"], ["1"]]


HEADERS = {
    "both": {"colour": "red", "size": 3},
    "colour": {"colour": "red"},
    "other": {"colour": "blue"},
    "x": {"x-late": True},
    "x and colour": {"x-late": True, "colour": "red"},
    "true is not one": {"colour": "red", "size": True},
    "none": {},
}


@pytest.mark.parametrize(
    ("arguments", "fits"),
    [
        ({"x-match": "all", "colour": "red", "size": 3}, ["both"]),
        ({"colour": "red", "size": 3}, ["both"]),
        ({"x-match": "any", "colour": "red", "size": 3}, ["both", "colour", "x and colour", "true is not one"]),
        ({"x-match": "all", "x-late": True}, list(HEADERS)),  # x- does not count: nothing is left to ask for
        ({"x-match": "any", "x-late": True}, []),
        ({"x-match": "all-with-x", "x-late": True}, ["x", "x and colour"]),
        ({"x-match": "all-with-x", "x-late": True, "colour": "red"}, ["x and colour"]),
        ({"x-match": "any-with-x", "x-late": True, "size": 3}, ["both", "x", "x and colour"]),
        ({"x-match": "all", "colour": None}, ["both", "colour", "other", "x and colour", "true is not one"]),
    ],
)
def test_a_headers_exchange_compares_headers(
    transport: Transport, arguments: dict[str, object], fits: list[str]
) -> None:
    exchange = transport.exchange("headers")
    queue = transport.bound_queue(exchange, **arguments)
    for name, headers in HEADERS.items():
        transport.publish(exchange, name, mandatory=False, headers=dict(headers))
    assert transport.bodies(queue) == fits


def test_the_default_exchange_leads_to_the_queue_of_that_name(transport: Transport) -> None:
    queue = transport.queue()
    transport.send(queue, "1")
    assert [(one.exchange, one.routing_key) for one in transport.drain(queue)] == [("", queue)]


def test_a_queue_gets_one_copy_however_many_bindings_match(transport: Transport) -> None:
    exchange = transport.exchange("topic")
    queue = transport.bound_queue(exchange, "a.#")
    transport.bind(exchange, queue, "a.*")
    transport.bind(exchange, queue, "#")
    transport.publish(exchange, "1", routing_key="a.b")
    assert transport.bodies(queue) == ["1"]


def test_exchanges_bound_to_exchanges_pass_messages_on_with_their_key(transport: Transport) -> None:
    outer, inner = transport.exchange("fanout"), transport.exchange("direct")
    transport.bind_exchange(outer, inner)
    queue = transport.bound_queue(inner, "k")
    transport.publish(outer, "1", routing_key="k")
    assert [(one.exchange, one.routing_key) for one in transport.drain(queue)] == [(outer, "k")]


def test_a_circle_of_exchanges_ends(transport: Transport) -> None:
    one, two = transport.exchange("fanout"), transport.exchange("fanout")
    transport.bind_exchange(one, two)
    transport.bind_exchange(two, one)
    queue = transport.bound_queue(two)
    transport.publish(one, "1")
    assert transport.bodies(queue) == ["1"]


def test_an_alternate_exchange_takes_what_nothing_else_takes(transport: Transport) -> None:
    rest = transport.exchange("fanout")
    exchange = transport.exchange("direct", alternate=rest)
    known, unknown = transport.bound_queue(exchange, "known"), transport.bound_queue(rest)
    transport.publish(exchange, "1", routing_key="known")
    transport.publish(exchange, "2", routing_key="else")
    assert (transport.bodies(known), transport.bodies(unknown)) == (["1"], ["2"])


def test_an_alternate_exchange_without_a_queue_leaves_a_message_unroutable(transport: Transport) -> None:
    exchange = transport.exchange("direct", alternate=transport.exchange("fanout"))
    with pytest.raises(Unroutable):
        transport.publish(exchange, "1", routing_key="k")


def test_an_alternate_exchange_serves_an_exchange_in_the_middle_too(transport: Transport) -> None:
    rest = transport.exchange("fanout")
    outer, inner = transport.exchange("fanout"), transport.exchange("direct", alternate=rest)
    transport.bind_exchange(outer, inner)
    queue = transport.bound_queue(rest)
    transport.publish(outer, "1", routing_key="k")
    assert transport.bodies(queue) == ["1"]


def test_what_is_unbound_gets_no_more(transport: Transport) -> None:
    exchange = transport.exchange("direct")
    queue = transport.bound_queue(exchange, "k")
    transport.publish(exchange, "1", routing_key="k")
    transport.session.unbind(Binding(exchange, queue, "k"))
    transport.session.unbind(Binding(exchange, queue, "k"))  # once more is no error
    with pytest.raises(Unroutable):
        transport.publish(exchange, "2", routing_key="k")


def test_bindings_go_with_their_queue(transport: Transport) -> None:
    exchange = transport.exchange("direct")
    queue = transport.bound_queue(exchange, "k")
    transport.session.delete_queue(queue)
    transport.session.declare_queue(Queue(queue, arguments={"x-queue-type": "quorum"}))
    with pytest.raises(Unroutable):
        transport.publish(exchange, "1", routing_key="k")
