"""Where messages go that leave a queue without being acked, and what is written on them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.conformance.transport import Transport, deaths, headers, texts


@pytest.fixture
def dead(transport: Transport) -> str:
    return transport.queue("dead")


def test_an_expired_message_says_so(transport: Transport, dead: str) -> None:
    queue = transport.queue(message_ttl=100, dead_letter_exchange="", dead_letter_routing_key=dead)
    transport.send(queue, "1", headers={"mine": 1})
    delivery = transport.receive(dead)[0]
    found = headers(delivery)
    record = found["x-death"][0]  # type: ignore[index]
    assert abs(record.pop("time") - datetime.now(UTC)) < timedelta(seconds=10)
    assert record == {"count": 1, "reason": "expired", "queue": queue, "exchange": "", "routing-keys": [queue]}
    assert found["mine"] == 1
    assert [found[f"x-first-death-{part}"] for part in ("reason", "queue", "exchange")] == ["expired", queue, ""]
    assert (delivery.exchange, delivery.routing_key) == ("", dead)


def test_a_messages_own_time_is_moved_to_the_record(transport: Transport, dead: str) -> None:
    queue = transport.queue(dead_letter_exchange="", dead_letter_routing_key=dead)
    transport.send(queue, "1", expiration="100")
    delivery = transport.receive(dead)[0]
    assert headers(delivery)["x-death"][0]["original-expiration"] == "100"  # type: ignore[index]
    assert delivery.properties.expiration is None


@pytest.mark.parametrize("kind", ["quorum", "classic"])
def test_a_dropped_head_says_maxlen(transport: Transport, dead: str, kind: str) -> None:
    queue = transport.queue(type=kind, max_length=1, dead_letter_exchange="", dead_letter_routing_key=dead)
    transport.send(queue, "1", "2")
    delivery = transport.receive(dead)[0]
    assert texts([delivery]) == ["1"]
    assert deaths(delivery) == [(queue, "maxlen", 1)]


def test_a_delivery_too_many_says_delivery_limit(transport: Transport, dead: str) -> None:
    queue = transport.queue(delivery_limit=2, dead_letter_exchange="", dead_letter_routing_key=dead)
    transport.send(queue, "1")
    inbox = transport.subscribe(queue)
    for _ in range(3):  # a limit of two allows three deliveries
        transport.reject(inbox.next())
    delivery = transport.receive(dead)[0]
    assert deaths(delivery) == [(queue, "delivery_limit", 1)]
    assert inbox.is_empty
    if transport.capabilities.nack_is_free:  # only 4.3 tells the count of the last failure, too
        assert headers(delivery)["x-delivery-count"] == 3


def test_without_a_dead_letter_exchange_a_message_is_gone(transport: Transport) -> None:
    queue = transport.queue(delivery_limit=0)
    transport.send(queue, "1")
    inbox = transport.subscribe(queue)
    transport.reject(inbox.next())
    transport.send(queue, "2")
    assert texts(inbox.take(1)) == ["2"]


def test_the_routing_key_stays_unless_the_queue_has_one(transport: Transport) -> None:
    exchange = transport.exchange("topic")
    dead = transport.bound_queue(exchange, "#")
    keeps = transport.queue(message_ttl=50, dead_letter_exchange=exchange)
    changes = transport.queue(message_ttl=50, dead_letter_exchange=exchange, dead_letter_routing_key="new")
    transport.send(keeps, "1")
    transport.send(changes, "2")
    found = {delivery.body: delivery for delivery in transport.receive(dead, 2)}
    assert (found[b"1"].exchange, found[b"1"].routing_key) == (exchange, keeps)
    assert (found[b"2"].exchange, found[b"2"].routing_key) == (exchange, "new")


def test_each_death_is_recorded_the_newest_first(transport: Transport, dead: str) -> None:
    second = transport.queue(message_ttl=50, dead_letter_exchange="", dead_letter_routing_key=dead)
    first = transport.queue(message_ttl=50, dead_letter_exchange="", dead_letter_routing_key=second)
    transport.send(first, "1")
    delivery = transport.receive(dead)[0]
    assert deaths(delivery) == [(second, "expired", 1), (first, "expired", 1)]
    assert headers(delivery)["x-first-death-queue"] == first
    if transport.capabilities.delivery_limit_off:  # x-last-death came with 3.13
        assert headers(delivery)["x-last-death-queue"] == second


def test_a_circle_without_a_rejection_ends(transport: Transport) -> None:
    witnesses = transport.exchange("fanout")
    queue = transport.queue(message_ttl=50, dead_letter_exchange=witnesses)
    transport.bind(witnesses, queue)
    witness = transport.bound_queue(witnesses)
    transport.send(queue, "1")
    clock = transport.queue(message_ttl=400, dead_letter_exchange="", dead_letter_routing_key=witness)
    transport.send(clock, "clock")
    assert texts(transport.receive(witness, 2)) == ["1", "clock"]  # a second round would have come in between
    assert transport.ready(queue) == 0


def test_at_least_once_keeps_what_the_target_refuses(transport: Transport) -> None:
    full = transport.queue(type="classic", max_length=1, overflow="reject-publish")
    transport.send(full, "there")
    queue = transport.queue(
        message_ttl=50,
        overflow="reject-publish",
        max_length=1,
        dead_letter_strategy="at-least-once",
        dead_letter_exchange="",
        dead_letter_routing_key=full,
    )
    transport.send(queue, "waits")
    transport.wait_until_ready(queue, 0)
    assert transport.bodies(full) == ["there"]
    if transport.is_memory:  # RabbitMQ tries again after three minutes
        assert texts(transport.receive(full)) == ["waits"]


def test_at_least_once_sends_on_what_the_target_takes(transport: Transport, dead: str) -> None:
    queue = transport.queue(
        message_ttl=50,
        overflow="reject-publish",
        dead_letter_strategy="at-least-once",
        dead_letter_exchange="",
        dead_letter_routing_key=dead,
    )
    transport.send(queue, *map(str, range(50)))
    assert texts(transport.receive(dead, 50)) == [str(number) for number in range(50)]


def test_a_clients_own_x_death_is_worth_nothing(transport: Transport, dead: str) -> None:
    if not transport.capabilities.delivery_limit_off:
        pytest.skip("up to 3.13 the broker believes the header")
    queue = transport.queue(message_ttl=50, dead_letter_exchange="", dead_letter_routing_key=dead)
    forged = [{"queue": dead, "reason": "expired", "count": 5, "exchange": "", "routing-keys": [dead]}]
    transport.send(queue, "1", headers={"x-death": forged})
    assert deaths(transport.receive(dead)[0]) == [(queue, "expired", 1)]
