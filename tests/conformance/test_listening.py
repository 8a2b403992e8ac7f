"""A queue of one's own, to hear what is published to an exchange while one listens."""

from __future__ import annotations

from tests.conformance.transport import SOON, Inbox, Transport, texts
from tests.harness.wait import wait_for


def listen(transport: Transport, *bindings: tuple[str, str], wait: bool = True) -> Inbox:
    inbox = Inbox()
    inbox.subscription = transport.on_link(lambda: transport.link.listen("ears", bindings, inbox))
    if wait:
        inbox.started.get(timeout=SOON)
    return inbox


def test_everybody_who_listens_hears(transport: Transport) -> None:
    exchange = transport.exchange("fanout")
    one, two = listen(transport, (exchange, "")), listen(transport, (exchange, ""))
    transport.publish(exchange, "1")
    assert [texts(one.take(1)), texts(two.take(1))] == [["1"], ["1"]]
    assert one.subscription.queue.startswith("ears.")
    assert one.subscription.queue != two.subscription.queue


def test_a_routing_key_says_what_is_heard(transport: Transport) -> None:
    exchange = transport.exchange("topic")
    inbox = listen(transport, (exchange, "task.*"), (exchange, "worker.online"))
    for key in ("task.sent", "worker.offline", "worker.online", "task.failed"):
        transport.publish(exchange, key, routing_key=key, mandatory=False)
    assert texts(inbox.take(3)) == ["task.sent", "worker.online", "task.failed"]
    assert inbox.is_empty


def test_what_is_heard_needs_no_settling(transport: Transport) -> None:
    exchange = transport.exchange("fanout")
    inbox = listen(transport, (exchange, ""))
    for number in range(50):
        transport.publish(exchange, str(number))
    heard = inbox.take(50)
    assert texts(heard) == [str(number) for number in range(50)]
    assert not heard[0].lease.alive


def test_who_listens_again_after_a_break_has_another_queue(transport: Transport) -> None:
    exchange = transport.exchange("fanout")
    inbox = listen(transport, (exchange, ""))
    before = inbox.subscription.queue
    transport.break_connections()
    inbox.started.get(timeout=SOON)
    transport.publish(exchange, "after")
    assert texts(inbox.take(1)) == ["after"]
    assert inbox.subscription.queue != before


def test_the_queue_goes_with_who_listened(transport: Transport) -> None:
    exchange = transport.exchange("fanout")
    inbox = listen(transport, (exchange, ""))
    queue = inbox.subscription.queue
    transport.on_link(inbox.subscription.close)
    wait_for(lambda: transport.on_link(lambda: inbox.subscription.is_closed), SOON)
    wait_for(lambda: transport.session.queue_state(queue) is None, SOON)


def test_an_exchange_that_is_not_there_yet_is_listened_to_later(transport: Transport) -> None:
    inbox = listen(transport, ("not-yet", ""), wait=False)
    inbox.refusals.get(timeout=SOON)
    transport.exchange("fanout", name="not-yet")
    inbox.started.get(timeout=SOON)
    transport.publish("not-yet", "1")
    assert texts(inbox.take(1)) == ["1"]
