"""What a publisher hears about its message."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from amqptasks.errors import MessageTooLarge, Nacked, PublishError, PublishRejected, Unroutable
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from tests.conformance.transport import Transport, headers


def test_a_confirmed_message_is_in_its_queue(transport: Transport) -> None:
    queue = transport.queue()
    transport.send(queue, "1")
    assert transport.ready(queue) == 1


def test_body_and_properties_arrive_as_they_were_sent(transport: Transport) -> None:
    queue = transport.queue()
    properties = Properties(
        content_type="application/json",
        content_encoding="utf-8",
        headers={
            "text": "é",
            "number": 2**40,
            "negative": -1,
            "true": True,
            "none": None,
            "bytes": b"\x00\xff",
            "list": [1, "two", {"three": 3}],
            "table": {"a": {"b": []}},
            "time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        },
        priority=7,
        correlation_id="c",
        reply_to="r",
        expiration="60000",
        message_id="m",
        timestamp=1_700_000_000,
        type="t",
        app_id="a",
    )
    transport.session.publish(Outgoing("", queue, bytes(range(256)), properties))
    delivery = transport.drain(queue)[0]
    assert delivery.body == bytes(range(256))
    received = delivery.properties
    received.headers = {name: value for name, value in (received.headers or {}).items() if name != "x-delivery-count"}
    assert received == properties


def test_a_fraction_in_a_header_stays_one(transport: Transport) -> None:
    queue = transport.queue()
    transport.send(queue, "1", headers={"seconds": 1.25})
    assert headers(transport.drain(queue)[0])["seconds"] == 1.25


def test_headers_arrive_as_the_wire_carries_them(transport: Transport) -> None:
    queue = transport.queue()
    sent = {"tuple": (1, (2,)), "naive": datetime(2026, 1, 2, 3, 4, 5, 678), "array": bytearray(b"b")}
    transport.session.publish(Outgoing("", queue, b"", Properties(headers=sent)))
    received = headers(transport.drain(queue)[0])
    assert {name: received[name] for name in sent} == {
        "tuple": [1, [2]],
        "naive": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "array": b"b",
    }


def test_what_the_publisher_changes_afterwards_changes_nothing(transport: Transport) -> None:
    queue = transport.queue()
    mine: dict[str, object] = {"list": [1]}
    transport.session.publish(Outgoing("", queue, b"", Properties(headers=mine)))
    mine["list"] = mine["new"] = None
    received = headers(transport.drain(queue)[0])
    assert received.get("list") == [1]
    assert "new" not in received


def test_a_message_that_no_queue_takes_is_unroutable(transport: Transport) -> None:
    with pytest.raises(Unroutable, match="nowhere"):
        transport.send("nowhere", "1")
    with pytest.raises(Unroutable):
        transport.session.publish(Outgoing("", "nowhere", b"", Properties()))


def test_without_mandatory_a_message_may_vanish(transport: Transport) -> None:
    transport.send("nowhere", "1", mandatory=False)
    transport.session.publish(Outgoing("", "nowhere", b"", Properties(), mandatory=False))


def test_a_missing_exchange_rejects_the_message_alone(transport: Transport) -> None:
    queue = transport.queue()
    transport.send(queue, "before")
    with pytest.raises(PublishRejected, match="missing"):
        transport.publish("missing", "1")
    with pytest.raises(PublishRejected, match="missing"):
        transport.session.publish(Outgoing("missing", "", b"", Properties()))
    transport.send(queue, "after")
    assert transport.bodies(queue) == ["before", "after"]


def test_an_error_names_the_message(transport: Transport) -> None:
    with pytest.raises(PublishError) as caught:
        transport.publish("missing", "1", correlation_id="task-1")
    assert caught.value.message_id == "task-1"


WRONG: dict[str, dict[str, object]] = {
    "a fraction of a millisecond": {"expiration": "1.5"},
    "an object": {"headers": {"thing": object()}},
    "an object inside": {"headers": {"list": [{"thing": {1, 2}}]}},
    "too many bits": {"headers": {"number": 2**64}},
    "a long name": {"headers": {"n" * 256: 1}},
    "a long property": {"correlation_id": "c" * 256},
    "too high a priority": {"priority": 256},
    "not a number": {"headers": {"number": float("nan")}},
    "infinity": {"headers": {"list": [float("-inf")]}},
    "decimal not a number": {"headers": {"number": Decimal("NaN")}},
    "a large decimal": {"headers": {"number": Decimal("1e30")}},
    "a time before 1970": {"headers": {"time": datetime(1969, 1, 1, tzinfo=UTC)}},
    "half a pair": {"headers": {"text": "half \ud800 a pair"}},
    "half a pair in a name": {"headers": {"half \ud800 a pair": 1}},
    "half a pair inside": {"headers": {"list": [{"a": "\ud800"}]}},
    "CC as a text": {"headers": {"CC": "text"}},
    "BCC as a number": {"headers": {"BCC": 5}},
}


@pytest.mark.parametrize(
    "large",
    [
        {"text": "x" * 200_000},
        {"list": ["x" * 1000] * 131},
        {f"a header with a longer name, number {number}": number for number in range(4_000)},
        {"table": {f"{number}": b"x" * 1000 for number in range(131)}},
    ],
    ids=["text", "list", "many", "table"],
)
def test_headers_larger_than_a_frame_are_too_large(transport: Transport, large: dict[str, object]) -> None:
    queue = transport.queue()
    with pytest.raises(MessageTooLarge):
        transport.send(queue, "1", headers=large)
    transport.send(queue, "after", headers={"text": "x" * 120_000})
    assert transport.bodies(queue) == ["after"]


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_cannot_be_sent_is_rejected_alone(transport: Transport, wrong: dict[str, object]) -> None:
    queue = transport.queue()
    with pytest.raises(PublishRejected):
        transport.send(queue, "1", **wrong)
    with pytest.raises(PublishRejected):
        transport.session.publish(Outgoing("", queue, b"", Properties(**wrong)))  # type: ignore[arg-type]
    transport.send(queue, "after")
    assert transport.bodies(queue) == ["after"]


def test_a_routing_key_has_255_bytes_at_most(transport: Transport) -> None:
    transport.send("k" * 255, "1", mandatory=False)
    with pytest.raises(PublishRejected):
        transport.send("k" * 256, "1", mandatory=False)


def test_a_body_over_the_limit_is_too_large(transport: Transport) -> None:
    limit = transport.capabilities.maximum_message_size
    if limit > 2**25:
        pytest.skip(f"this release takes {limit} bytes: more than a test should send")
    queue = transport.queue()
    with pytest.raises(MessageTooLarge, match=str(limit)):
        transport.send(queue, "x" * (limit + 1))
    assert transport.ready(queue) == 0


def test_an_internal_exchange_takes_messages_from_exchanges_only(transport: Transport) -> None:
    from amqptasks.transport.entities import Exchange

    transport.session.declare_exchange(Exchange("inner", "fanout", internal=True))
    outer = transport.exchange("fanout")
    transport.bind_exchange(outer, "inner")
    queue = transport.bound_queue("inner")
    with pytest.raises(PublishRejected):
        transport.publish("inner", "1")
    transport.publish(outer, "2")
    assert transport.bodies(queue) == ["2"]


def test_a_full_queue_nacks(transport: Transport) -> None:
    queue = transport.queue(type="classic", max_length=1, overflow="reject-publish")
    transport.send(queue, "1")
    with pytest.raises(Nacked):
        transport.send(queue, "2")
    with pytest.raises(Nacked):
        transport.session.publish(Outgoing("", queue, b"3", Properties()))
    assert transport.bodies(queue) == ["1"]
    transport.send(queue, "4")
    assert transport.bodies(queue) == ["4"]


def test_a_full_quorum_queue_nacks_in_the_end(transport: Transport) -> None:
    queue = transport.queue(max_length=2, overflow="reject-publish")
    with pytest.raises(Nacked):
        transport.send(queue, *map(str, range(20)))
    assert 2 <= transport.ready(queue) < 20  # RabbitMQ may overshoot, memory:// does not
    assert not transport.is_memory or transport.ready(queue) == 2


def test_a_nacked_message_is_stored_where_there_was_room(transport: Transport) -> None:
    exchange = transport.exchange("fanout")
    full = transport.queue(type="classic", max_length=1, overflow="reject-publish")
    free = transport.queue()
    for queue in (full, free):
        transport.bind(exchange, queue)
    transport.publish(exchange, "1")
    with pytest.raises(Nacked):
        transport.publish(exchange, "2")
    assert (transport.bodies(full), transport.bodies(free)) == (["1"], ["1", "2"])


def test_a_byte_limit_counts_bodies(transport: Transport) -> None:
    queue = transport.queue(type="classic", max_length_bytes=10)
    transport.send(queue, "aaaa", "bbbb", "cccc")
    assert transport.bodies(queue) == ["bbbb", "cccc"]
