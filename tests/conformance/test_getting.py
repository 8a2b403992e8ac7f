"""`Link.get`: one message, if one is ready."""

from __future__ import annotations

import queue as queues

from amqptasks.messages.delivery import Delivery
from tests.conformance.transport import SOON, Transport, texts
from tests.harness.wait import wait_for

Answer = tuple[Delivery | None, BaseException | None]


def get(transport: Transport, queue: str) -> Answer:
    return get_many(transport, queue, 1)[0]


def get_many(transport: Transport, queue: str, count: int) -> list[Answer]:
    answers: queues.Queue[Answer] = queues.Queue()

    def ask() -> None:
        for _ in range(count):
            transport.link.get(queue, lambda delivery, error: answers.put((delivery, error)))

    transport.link.call_soon(ask)
    return [answers.get(timeout=SOON) for _ in range(count)]


def connected(transport: Transport) -> None:
    """The connection that consumes stands."""
    transport.send((queue := transport.queue()), "hello")
    transport.ack(transport.subscribe(queue).next())


def test_get_takes_one_message_and_then_says_that_there_is_none(transport: Transport) -> None:
    connected(transport)
    queue = transport.queue()
    assert get(transport, queue) == (None, None)
    transport.send(queue, "1", "2")
    answers = get_many(transport, queue, 3)
    assert texts([delivery for delivery, _ in answers[:2] if delivery is not None]) == ["1", "2"]
    assert answers[2] == (None, None)


def test_what_was_got_is_given_back_or_acked(transport: Transport) -> None:
    connected(transport)
    queue = transport.queue()
    transport.send(queue, "1")
    delivery, _ = get(transport, queue)
    assert delivery is not None
    transport.nack(delivery)

    def again() -> Delivery | None:
        return get(transport, queue)[0]

    back = wait_for(again, SOON)
    assert back is not None
    assert back.redelivered
    transport.ack(back)
    transport.send(queue, "2")
    following = wait_for(again, SOON)
    assert following is not None
    assert texts([following]) == ["2"]


def test_a_queue_that_is_not_there_is_an_error_and_the_next_is_answered(transport: Transport) -> None:
    connected(transport)
    queue = transport.queue()
    transport.send(queue, "1")
    delivery, error = get(transport, "nowhere")
    assert delivery is None
    assert "404" in str(error)
    delivery, error = get(transport, queue)
    assert error is None
    assert delivery is not None


def test_what_was_got_goes_back_when_the_connection_breaks(transport: Transport) -> None:
    connected(transport)
    queue = transport.queue()
    transport.send(queue, "1")
    delivery, _ = get(transport, queue)
    assert delivery is not None
    inbox = transport.subscribe(queue)
    transport.break_connections()
    assert texts(inbox.take(1)) == ["1"]
    wait_for(lambda: not delivery.lease.alive, SOON)
