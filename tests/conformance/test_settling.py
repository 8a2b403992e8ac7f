"""Ack, nack, reject, a broken connection: what becomes of a delivery, and how it is counted.

Releases count differently. 4.3: `x-acquired-count` for every return, `x-delivery-count` for failures. 4.0: each return
is a delivery. 3.x: the same, and a first delivery may show a zero.
"""

from __future__ import annotations

from amqptasks.messages.delivery import Delivery
from tests.conformance.transport import SOON, Transport, headers, texts
from tests.harness.wait import wait_for


def counts(delivery: Delivery) -> dict[str, object]:
    return {name: value for name, value in headers(delivery).items() if name.endswith("-count") and value}


def expected(transport: Transport, returned: int, failed: int) -> dict[str, object]:
    """What a quorum queue shows after `returned` returns, of which `failed` failed."""
    if transport.capabilities.nack_is_free:
        shown = {"x-acquired-count": returned, "x-delivery-count": failed}
    else:
        shown = {"x-delivery-count": returned}
    return {name: count for name, count in shown.items() if count}


def test_an_acked_message_is_gone(transport: Transport) -> None:
    queue = transport.queue()
    inbox = transport.subscribe(queue, prefetch=1)
    transport.send(queue, "1", "2")
    transport.ack(inbox.next())
    inbox.next()  # proves that the ack has arrived
    transport.break_connections()
    assert texts(inbox.take(1)) == ["2"]


def test_a_first_delivery_has_no_past(transport: Transport) -> None:
    queue = transport.queue()
    inbox = transport.subscribe(queue)
    transport.send(queue, "1")
    delivery = inbox.next()
    assert not delivery.redelivered
    assert counts(delivery) == expected(transport, 0, 0)


def test_nack_gives_back_and_is_not_a_failure(transport: Transport) -> None:
    queue = transport.queue()
    inbox = transport.subscribe(queue)
    transport.send(queue, "1")
    for returned in (1, 2):
        transport.nack(inbox.next())
        delivery = inbox.next()
        assert delivery.redelivered
        assert counts(delivery) == expected(transport, returned * 2 - 1, 0)
        transport.nack(delivery)


def test_reject_gives_back_and_counts_a_failure(transport: Transport) -> None:
    queue = transport.queue()
    inbox = transport.subscribe(queue)
    transport.send(queue, "1")
    transport.reject(inbox.next())
    first = inbox.next()
    assert first.redelivered
    assert counts(first) == expected(transport, 1, 1)
    transport.nack(first)
    assert counts(inbox.next()) == expected(transport, 2, 1)


def test_a_broken_connection_gives_back_and_counts_a_failure(transport: Transport) -> None:
    queue = transport.queue()
    inbox = transport.subscribe(queue)
    transport.send(queue, "1")
    inbox.next()
    transport.break_connections()
    again = inbox.next()
    assert again.redelivered
    assert counts(again) == expected(transport, 1, 1)


def test_a_stopped_link_gives_back_what_is_not_settled(transport: Transport) -> None:
    queue = transport.queue()
    link = transport.new_link()
    inbox = transport.subscribe(queue, link=link)
    transport.send(queue, "1", "2")
    held = inbox.take(2)
    link.call_soon(lambda: held[0].lease.ack(held[0].tag))
    link.stop(SOON)
    other = transport.subscribe(queue)
    again = other.next()
    assert (texts([again]), again.redelivered) == (["2"], True)
    assert other.is_empty


def test_a_classic_queue_marks_redeliveries_and_counts_nothing(transport: Transport) -> None:
    queue = transport.queue(type="classic")
    inbox = transport.subscribe(queue)
    transport.send(queue, "1")
    transport.reject(inbox.next())
    delivery = inbox.next()
    assert delivery.redelivered
    assert counts(delivery) == {}


def test_what_is_given_back_returns_to_its_place(transport: Transport) -> None:
    for kind in ("quorum", "classic"):
        limit = {"delivery_limit": 20} if kind == "quorum" else {}  # 3.x: only with a limit it keeps the place
        queue = transport.queue(type=kind, **limit)
        transport.send(queue, "1", "2", "3", "4")
        inbox = transport.subscribe(queue, prefetch=3)
        held = inbox.take(3)
        transport.on_link(inbox.subscription.close)
        transport.nack(*held)
        transport.wait_until_ready(queue, 4)
        assert transport.bodies(queue) == ["1", "2", "3", "4"], kind


def test_a_quorum_queue_of_43_hands_returned_messages_out_first(transport: Transport) -> None:
    if not transport.capabilities.quorum_priorities:
        return
    queue = transport.queue()
    transport.send(queue, "a", "b", "c")
    inbox = transport.subscribe(queue, prefetch=3)
    held = inbox.take(3)
    transport.on_link(inbox.subscription.close)
    transport.send(queue, "urgent", priority=31)
    for ready, position in enumerate((2, 0, 1), start=2):  # of those nacked together, the oldest would come first
        transport.nack(held[position])
        transport.wait_until_ready(queue, ready)
    assert transport.bodies(queue) == ["c", "a", "b", "urgent"]


def test_a_classic_queue_keeps_priority_and_age(transport: Transport) -> None:
    queue = transport.queue(type="classic", max_priority=9)
    transport.send(queue, "a", "b", "c")
    inbox = transport.subscribe(queue, prefetch=3)
    held = inbox.take(3)
    transport.on_link(inbox.subscription.close)
    transport.send(queue, "urgent", priority=9)
    transport.nack(held[2], held[0], held[1])
    transport.wait_until_ready(queue, 4)
    assert transport.bodies(queue) == ["urgent", "a", "b", "c"]


def test_settling_under_a_dead_lease_does_nothing(transport: Transport) -> None:
    queue = transport.queue()
    inbox = transport.subscribe(queue)
    transport.send(queue, "1")
    old = inbox.next()
    transport.break_connections()
    lost = inbox.lost_leases.get(timeout=SOON)
    assert lost is old.lease
    assert not old.lease.alive
    new = inbox.next()
    assert new.lease is not old.lease
    transport.ack(old)
    transport.nack(old)
    transport.reject(old)
    assert inbox.is_empty  # it was neither given back ...
    transport.nack(new)
    assert texts(inbox.take(1)) == ["1"]  # ... nor acked


def test_acks_of_one_turn_need_no_order(transport: Transport) -> None:
    queue = transport.queue()
    inbox = transport.subscribe(queue, prefetch=10)
    transport.send(queue, *map(str, range(10)))
    held = inbox.take(10)
    transport.ack(held[9], held[0], held[5], held[1])
    transport.ack(held[2], held[8])
    transport.nack(held[3])
    again = inbox.next()
    assert texts([again]) == ["3"]
    transport.on_link(inbox.subscription.close)
    transport.ack(again, held[4], held[6], held[7])
    transport.send(queue, "last")
    assert transport.bodies(queue) == ["last"]
    wait_for(lambda: transport.session.queue_state(queue).consumers == 0, SOON)  # type: ignore[union-attr]
