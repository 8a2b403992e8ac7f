"""Order, time and length: what a queue does with messages that wait."""

from __future__ import annotations

import time

import pytest

from amqptasks.errors import DeclarationConflict
from tests.conformance.transport import SOON, Transport, deaths, texts
from tests.harness.wait import wait_for


def test_a_queue_is_first_in_first_out(transport: Transport) -> None:
    queue = transport.queue()
    transport.send(queue, "1", "2", "3")
    assert transport.bodies(queue) == ["1", "2", "3"]


def test_a_quorum_queue_has_32_strict_priorities(transport: Transport) -> None:
    if not transport.capabilities.quorum_priorities:
        pytest.skip("quorum queues of this release know no strict priorities")
    queue = transport.queue()
    for priority in (0, 3, None, 5, 31, 200, 4):
        transport.send(queue, str(priority), priority=priority)
    assert transport.bodies(queue) == ["31", "200", "5", "None", "4", "3", "0"]  # over 31 is 31, none is 4


def test_a_classic_queue_has_the_priorities_it_asks_for(transport: Transport) -> None:
    queue = transport.queue(type="classic", max_priority=5)
    for priority in (0, None, 3, 5, 200, 1):
        transport.send(queue, str(priority), priority=priority)
    assert transport.bodies(queue) == ["5", "200", "3", "1", "0", "None"]  # over the maximum is the maximum, none is 0


def test_a_classic_queue_that_asks_for_no_priorities_has_none(transport: Transport) -> None:
    queue = transport.queue(type="classic")
    transport.send(queue, "low", priority=1)
    transport.send(queue, "high", priority=9)
    assert transport.bodies(queue) == ["low", "high"]


@pytest.mark.parametrize("kind", ["quorum", "classic"])
def test_messages_expire_after_the_queues_time(transport: Transport, kind: str) -> None:
    dead = transport.queue()
    queue = transport.queue(type=kind, message_ttl=300, dead_letter_exchange="", dead_letter_routing_key=dead)
    sent = time.monotonic()
    transport.send(queue, "1", "2")
    expired = transport.receive(dead, 2)
    assert time.monotonic() - sent >= 0.3
    assert texts(expired) == ["1", "2"]


@pytest.mark.parametrize("kind", ["quorum", "classic"])
def test_a_message_expires_only_at_the_head(transport: Transport, kind: str) -> None:
    dead = transport.queue()
    queue = transport.queue(type=kind, dead_letter_exchange="", dead_letter_routing_key=dead)
    sent = time.monotonic()
    transport.send(queue, "long", expiration="700")
    transport.send(queue, "short", expiration="100")
    assert texts(transport.receive(dead, 2)) == ["long", "short"]
    assert time.monotonic() - sent >= 0.7


@pytest.mark.parametrize("kind", ["quorum", "classic"])
def test_the_shorter_of_both_times_counts(transport: Transport, kind: str) -> None:
    dead = transport.queue()
    queue = transport.queue(type=kind, message_ttl=60_000, dead_letter_exchange="", dead_letter_routing_key=dead)
    transport.send(queue, "1", expiration="100")
    assert texts(transport.receive(dead)) == ["1"]


def test_on_a_quorum_queue_a_higher_priority_holds_no_expiry_back(transport: Transport) -> None:
    if not transport.capabilities.quorum_priorities:
        pytest.skip("quorum queues of this release know no strict priorities")
    dead = transport.queue()
    queue = transport.queue(dead_letter_exchange="", dead_letter_routing_key=dead)
    transport.send(queue, "stays", priority=9)
    transport.send(queue, "goes", priority=1, expiration="100")
    assert texts(transport.receive(dead)) == ["goes"]
    assert transport.bodies(queue) == ["stays"]


def test_on_a_classic_queue_a_higher_priority_holds_the_expiry_back(transport: Transport) -> None:
    dead = transport.queue()
    queue = transport.queue(type="classic", max_priority=9, dead_letter_exchange="", dead_letter_routing_key=dead)
    transport.send(queue, "behind", priority=1, expiration="100")
    transport.send(queue, "first", priority=9, expiration="600")
    assert texts(transport.receive(dead, 2)) == ["first", "behind"]


def test_an_expired_message_is_never_delivered(transport: Transport) -> None:
    dead = transport.queue()
    queue = transport.queue(dead_letter_exchange="", dead_letter_routing_key=dead)
    transport.send(queue, "1", expiration="1000")
    inbox = transport.subscribe(queue)
    held = inbox.next()  # while it is held, its time passes
    transport.send(queue, "clock", expiration="1200")
    blocker = transport.subscribe(dead)
    clock = inbox.next()
    transport.ack(clock)
    marker = transport.queue(message_ttl=1200, dead_letter_exchange="", dead_letter_routing_key=dead)
    transport.send(marker, "marker")
    assert texts(blocker.take(1)) == ["marker"]
    transport.nack(held)
    expired = blocker.next()
    assert deaths(expired) == [(queue, "expired", 1)]
    assert inbox.is_empty


def test_a_time_of_zero_means_now_or_never(transport: Transport) -> None:
    dead = transport.queue()
    queue = transport.queue(message_ttl=0, dead_letter_exchange="", dead_letter_routing_key=dead)
    transport.send(queue, "never")
    assert texts(transport.receive(dead)) == ["never"]
    inbox = transport.subscribe(queue)
    transport.send(queue, "now")
    assert texts(inbox.take(1)) == ["now"]


@pytest.mark.parametrize("kind", ["quorum", "classic"])
def test_a_full_queue_drops_its_head(transport: Transport, kind: str) -> None:
    queue = transport.queue(type=kind, max_length=2)
    transport.send(queue, "1", "2", "3")
    assert transport.bodies(queue) == ["2", "3"]


def test_only_ready_messages_fill_a_queue(transport: Transport) -> None:
    queue = transport.queue(max_length=1)
    inbox = transport.subscribe(queue, prefetch=2)
    transport.send(queue, "1", "2", "3", "4")
    held = inbox.take(2)
    wait_for(lambda: transport.ready(queue) == 1, SOON)
    transport.ack(*held)
    assert texts(inbox.take(1)) == ["4"]


def test_dropping_the_head_takes_the_highest_priority(transport: Transport) -> None:
    """So says RabbitMQ's documentation of classic queues, and so do quorum queues of 4.3."""
    queue = transport.queue(type="classic", max_priority=9, max_length=2)
    for priority in (9, 1, 5):
        transport.send(queue, str(priority), priority=priority)
    assert transport.bodies(queue) == ["5", "1"]
    if transport.capabilities.quorum_priorities:
        quorum = transport.queue(max_length=2)
        for priority in (9, 1, 5):
            transport.send(quorum, str(priority), priority=priority)
        assert transport.bodies(quorum) == ["5", "1"]


def test_an_unused_queue_goes_after_its_time(transport: Transport) -> None:
    queue = transport.queue(expires=300)
    kept = transport.queue(expires=300)
    inbox = transport.subscribe(kept)
    wait_for(lambda: transport.session.queue_state(queue) is None, SOON)
    transport.send(kept, "1")
    assert texts(inbox.take(1)) == ["1"]


def test_of_two_declarations_that_differ_the_second_is_told_what_the_first_said(transport: Transport) -> None:
    """Which of many came first is decided here: see `claims`."""
    queue = transport.queue(type="classic", expires=60_000, dead_letter_exchange="", dead_letter_routing_key="first")
    transport.queue(queue, type="classic", expires=60_000, dead_letter_exchange="", dead_letter_routing_key="first")
    with pytest.raises(DeclarationConflict) as caught:
        transport.queue(
            queue, type="classic", expires=60_000, dead_letter_exchange="", dead_letter_routing_key="second"
        )
    conflict = caught.value
    assert (conflict.argument, conflict.wanted, conflict.current) == ("x-dead-letter-routing-key", "second", "first")
    with pytest.raises(DeclarationConflict) as caught:
        transport.queue(queue, type="classic", expires=70_000, dead_letter_exchange="", dead_letter_routing_key="first")
    assert (caught.value.argument, caught.value.current) == ("x-expires", "60000")


def test_declaring_in_vain_does_not_prolong_the_life_of_an_unused_queue(transport: Transport) -> None:
    queue = transport.queue(type="classic", expires=700, dead_letter_exchange="", dead_letter_routing_key="first")
    began = time.monotonic()

    def declared() -> bool:
        try:
            transport.queue(
                queue, type="classic", expires=700, dead_letter_exchange="", dead_letter_routing_key="second"
            )
        except DeclarationConflict:
            return False
        return True

    wait_for(declared, SOON)
    assert time.monotonic() - began >= 0.6
