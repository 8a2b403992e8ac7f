"""Consuming: how much, by whom, and coming back."""

from __future__ import annotations

from tests.conformance.transport import SOON, Transport, texts
from tests.harness.wait import wait_for


def consumers(transport: Transport, queue: str) -> int:
    state = transport.session.queue_state(queue)
    assert state is not None
    return state.consumers


def test_consuming_means_that_the_broker_says_so(transport: Transport) -> None:
    queue = transport.queue()
    inbox = transport.subscribe(queue)
    assert transport.on_link(lambda: inbox.subscription.consuming)
    assert inbox.subscription.queue == queue
    assert consumers(transport, queue) == 1


def test_messages_that_wait_are_delivered_in_order(transport: Transport) -> None:
    queue = transport.queue()
    transport.send(queue, *map(str, range(20)))
    assert texts(transport.subscribe(queue, prefetch=20).take(20)) == [str(number) for number in range(20)]


def test_the_prefetch_limits_what_is_held(transport: Transport) -> None:
    queue = transport.queue()
    transport.send(queue, "1", "2", "3", "4", "5")
    inbox = transport.subscribe(queue, prefetch=2)
    held = inbox.take(2)
    assert inbox.is_empty
    assert transport.ready(queue) == 3
    transport.ack(held[0])
    assert texts(inbox.take(1)) == ["3"]
    assert inbox.is_empty


def test_the_prefetch_is_changed_while_messages_are_held(transport: Transport) -> None:
    """What was held before counts besides, until it is settled."""
    queue = transport.queue()
    transport.send(queue, *map(str, range(8)))
    inbox = transport.subscribe(queue, prefetch=1)
    first = inbox.next()
    transport.on_link(lambda: inbox.subscription.resize(2))
    transport.ack(first, *inbox.take(1))
    inbox.take(2)
    assert inbox.is_empty, "two are held, and no more may be"
    assert transport.ready(queue) == 4
    transport.on_link(lambda: inbox.subscription.resize(6))
    wait_for(lambda: transport.ready(queue) == 0, SOON, "there is room for all")
    assert transport.on_link(lambda: inbox.subscription.consuming)
    assert inbox.started.empty(), "nobody need hear that it began again"
    assert inbox.lost_leases.empty()


def test_a_paused_subscription_goes_on_with_another_prefetch(transport: Transport) -> None:
    queue = transport.queue()
    inbox = transport.subscribe(queue, prefetch=1)
    transport.on_link(inbox.subscription.pause)
    transport.on_link(lambda: inbox.subscription.resize(2))
    transport.send(queue, "1", "2", "3")
    assert inbox.is_empty
    transport.on_link(inbox.subscription.resume)
    assert texts(inbox.take(2)) == ["1", "2"]
    assert inbox.is_empty


def test_two_consumers_take_turns(transport: Transport) -> None:
    queue = transport.queue()
    one, two = transport.subscribe(queue), transport.subscribe(queue, link=transport.new_link())
    transport.send(queue, "1", "2", "3", "4")
    found = [texts(one.take(2)), texts(two.take(2))]
    assert sorted(found) == [["1", "3"], ["2", "4"]]


def test_who_is_full_is_passed_over(transport: Transport) -> None:
    queue = transport.queue()
    narrow, wide = transport.subscribe(queue, prefetch=1), transport.subscribe(queue, prefetch=10)
    transport.send(queue, *map(str, range(6)))
    assert len(narrow.take(1)) == 1
    assert len(wide.take(5)) == 5


def test_a_single_active_consumer_gets_all_until_it_goes(transport: Transport) -> None:
    queue = transport.queue(single_active_consumer=True)
    first = transport.subscribe(queue)
    second = transport.subscribe(queue, link=transport.new_link())
    transport.send(queue, "1", "2")
    held = first.take(2)
    assert second.is_empty
    transport.ack(*held)
    transport.on_link(first.subscription.close)
    transport.send(queue, "3")
    assert texts(second.take(1)) == ["3"]


def test_a_paused_subscription_gets_nothing_and_can_still_settle(transport: Transport) -> None:
    queue = transport.queue()
    inbox = transport.subscribe(queue)
    transport.send(queue, "1")
    held = inbox.next()
    transport.on_link(inbox.subscription.pause)
    assert not transport.on_link(lambda: inbox.subscription.consuming)
    assert held.lease.alive
    transport.ack(held)
    wait_for(lambda: consumers(transport, queue) == 0, SOON)
    transport.send(queue, "2")
    assert inbox.is_empty
    transport.on_link(inbox.subscription.resume)
    assert texts(inbox.take(1)) == ["2"]
    assert transport.on_link(lambda: inbox.subscription.consuming)


def test_once_a_paused_subscription_is_quiet_nothing_comes_any_more(transport: Transport) -> None:
    queue = transport.queue()
    inbox = transport.subscribe(queue, prefetch=500)
    transport.send(queue, *map(str, range(500)))  # the first are being delivered while it is paused

    def paused() -> bool:
        inbox.subscription.pause()
        return inbox.subscription.is_quiet

    transport.on_link(paused)
    wait_for(lambda: transport.on_link(lambda: inbox.subscription.is_quiet), SOON)
    seen = sum(inbox.batches)
    transport.send(queue, "500")
    transport.wait_until_ready(queue, 501 - seen)
    assert sum(inbox.batches) == seen
    transport.on_link(inbox.subscription.resume)
    assert texts(inbox.take(500)) == list(map(str, range(500)))
    assert not transport.on_link(lambda: inbox.subscription.is_quiet)


def test_a_closed_subscription_settles_what_it_holds(transport: Transport) -> None:
    queue = transport.queue()
    inbox = transport.subscribe(queue)
    transport.send(queue, "1", "2")
    held = inbox.take(2)
    transport.on_link(inbox.subscription.close)
    assert held[0].lease.alive
    transport.ack(held[0])
    transport.nack(held[1])
    wait_for(lambda: consumers(transport, queue) == 0, SOON)
    transport.send(queue, "3")
    assert inbox.is_empty
    assert transport.bodies(queue) == ["2", "3"]


def test_a_subscription_outlives_a_broken_connection(transport: Transport) -> None:
    queue = transport.queue()
    inbox = transport.subscribe(queue)
    transport.break_connections()
    inbox.lost_leases.get(timeout=SOON)
    lease = inbox.started.get(timeout=SOON)
    transport.send(queue, "2")
    delivery = inbox.next()
    assert texts([delivery]) == ["2"]
    assert delivery.lease is lease


def test_a_paused_subscription_stays_paused_through_a_broken_connection(transport: Transport) -> None:
    queue = transport.queue()
    inbox = transport.subscribe(queue)
    transport.on_link(inbox.subscription.pause)
    transport.break_connections()
    inbox.lost_leases.get(timeout=SOON)
    transport.send(queue, "1")
    assert inbox.is_empty
    transport.on_link(inbox.subscription.resume)
    assert texts(inbox.take(1)) == ["1"]


def test_a_queue_that_comes_later_is_consumed_then(transport: Transport) -> None:
    inbox = transport.subscribe("later", wait=False)
    assert inbox.refusals.get(timeout=SOON) == "later"
    assert not transport.on_link(lambda: inbox.subscription.consuming)
    assert inbox.lost_leases.empty(), "what was refused has lost nothing"
    transport.queue("later")
    inbox.started.get(timeout=SOON)
    transport.send("later", "1")
    assert texts(inbox.take(1)) == ["1"]


def test_a_queue_that_was_deleted_and_declared_again_is_consumed_again(transport: Transport) -> None:
    queue = transport.queue()
    inbox = transport.subscribe(queue)
    transport.send(queue, "1")
    old = inbox.next()
    transport.session.delete_queue(queue)
    assert inbox.lost_leases.get(timeout=SOON) is old.lease
    inbox.refusals.get(timeout=SOON)
    transport.queue(queue)
    inbox.started.get(timeout=SOON)
    transport.ack(old)
    transport.send(queue, "2")
    assert texts(inbox.take(1)) == ["2"]
    assert consumers(transport, queue) == 1


def test_a_queue_deleted_while_paused_is_consumed_again_after_resuming(transport: Transport) -> None:
    queue = transport.queue()
    inbox = transport.subscribe(queue)
    transport.on_link(inbox.subscription.pause)
    transport.session.delete_queue(queue)
    transport.queue(queue)
    transport.on_link(inbox.subscription.resume)
    transport.send(queue, "1")
    assert texts(inbox.take(1)) == ["1"]


def test_messages_that_come_together_are_handed_over_together(transport: Transport) -> None:
    queue = transport.queue()
    transport.send(queue, *map(str, range(50)))
    inbox = transport.subscribe(queue, prefetch=50)
    inbox.take(50)
    assert len(inbox.batches) < 25


def test_calls_run_in_order_on_one_thread(transport: Transport) -> None:
    order: list[str] = []

    def later() -> None:
        transport.link.call_later(0.05, lambda: order.append("later"))
        cancelled = transport.link.call_later(0.02, lambda: order.append("cancelled"))
        cancelled.cancel()
        transport.link.call_later(0, lambda: order.append("soon"))

    for number in range(3):
        transport.link.call_soon(lambda number=number: order.append(str(number)))
    transport.on_link(later)
    wait_for(lambda: "later" in order, SOON)
    assert order == ["0", "1", "2", "soon", "later"]


def test_a_callback_that_fails_does_not_end_the_link(transport: Transport) -> None:
    transport.link.call_soon(lambda: 1 / 0)
    queue = transport.queue()
    transport.send(queue, "1")
    assert transport.bodies(queue) == ["1"]
