"""The delay ladder: in the order of due time, never early, hardly late."""

from __future__ import annotations

import random
import time

import pytest

from amqptasks.messages.outgoing import QUEUES_EXCHANGE, Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.topology.broker.declare import declare
from amqptasks.topology.delays import enter
from amqptasks.topology.expand.expand import expand
from amqptasks.topology.expand.ladder import ladder_objects
from amqptasks.topology.topology import ExchangeSettings, QueueSettings, Source, Topology
from tests.conformance.transport import Transport, texts
from tests.harness.wait import wait_for

#: Seconds: 7 rungs.
LONGEST = 4.0

#: Seconds that a task may be late by: a few milliseconds a rung on an idle machine, and this one is not.
LATE = 0.15

TOPOLOGY = Topology(
    queues={
        "work": QueueSettings("work"),
        "orders": QueueSettings("orders", bindings=(Source("shop", "order.*"),)),
        "narrow": QueueSettings("narrow", max_length=1),
    },
    exchanges={"shop": ExchangeSettings("shop", "topic")},
    longest_delay=LONGEST,
)


@pytest.fixture
def ladder(transport: Transport) -> Transport:
    capabilities = transport.capabilities
    declare(expand(TOPOLOGY, capabilities) + ladder_objects(TOPOLOGY, capabilities), transport.session)
    return transport


def delay(
    transport: Transport,
    seconds: float,
    body: str,
    exchange: str = QUEUES_EXCHANGE,
    routing_key: str = "work",
    priority: int | None = None,
) -> float:
    """Publish; the moment at which it is due."""
    entry, headers = enter(seconds, exchange, transport.capabilities, priority, LONGEST)
    properties = Properties(headers=headers, priority=priority)
    due = time.monotonic() + seconds
    transport.session.publish(Outgoing(entry, routing_key, body.encode(), properties))
    return due


def test_delayed_messages_come_in_time_and_in_order(ladder: Transport) -> None:
    inbox = ladder.subscribe("work", prefetch=100)
    chosen = random.Random(7)
    delays = [chosen.uniform(0.01, 2.0) for _ in range(25)]
    due = {str(number): delay(ladder, seconds, str(number)) for number, seconds in enumerate(delays)}
    for delivery in (inbox.next() for _ in delays):
        late = time.monotonic() - due.pop(delivery.body.decode())
        assert 0 <= late < LATE
        earlier = [body for body, moment in due.items() if moment < time.monotonic() - LATE]
        assert not earlier, "due before, and not here yet"


def test_the_ladders_end_keeps_the_routing_key(ladder: Transport) -> None:
    delay(ladder, 0.1, "1", "shop", "order.created")
    delay(ladder, 0.1, "2", QUEUES_EXCHANGE, "orders")
    found = {delivery.body: delivery for delivery in ladder.receive("orders", 2)}
    assert found[b"1"].routing_key == "order.created"
    assert found[b"2"].routing_key == "orders"


def test_priority_does_not_make_anything_early_or_late(ladder: Transport) -> None:
    inbox = ladder.subscribe("work")
    low = delay(ladder, 0.5, "low", priority=1)
    high = delay(ladder, 1.0, "high", priority=9)
    assert texts(inbox.take(1)) == ["low"]
    assert 0 <= time.monotonic() - low < LATE
    assert texts(inbox.take(1)) == ["high"]
    assert 0 <= time.monotonic() - high < LATE


def test_a_full_and_a_deleted_target_hold_up_nobody(ladder: Transport) -> None:
    ladder.session.publish(Outgoing(QUEUES_EXCHANGE, "narrow", b"there", Properties()))
    ladder.session.delete_queue("orders")
    for number in range(40):  # more than a rung has slots for dead letters
        delay(ladder, 0.1, f"full {number}", QUEUES_EXCHANGE, "narrow")
        delay(ladder, 0.1, f"gone {number}", QUEUES_EXCHANGE, "orders")
    inbox = ladder.subscribe("work")
    due = delay(ladder, 0.5, "1")
    assert texts(inbox.take(1)) == ["1"]
    assert 0 <= time.monotonic() - due < LATE
    wait_for(lambda: ladder.ready("amqptasks.delay.lost") == 40)
