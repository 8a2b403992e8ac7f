"""The link's thread, under load and under fire."""

from __future__ import annotations

import logging
import threading
import uuid
from collections import Counter
from collections.abc import Iterator

import pytest

from amqptasks.memory.link import MemoryLink
from amqptasks.memory.registry import broker_of, forget
from amqptasks.memory.session import MemorySession
from amqptasks.messages.delivery import Delivery, Lease
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.transport.entities import Queue
from tests.harness.wait import wait_for


class Worker:
    """A listener that acks everything, and counts what it got."""

    def __init__(self) -> None:
        self.seen: Counter[bytes] = Counter()
        self.losses = 0

    def deliveries(self, batch: list[Delivery]) -> None:
        for delivery in batch:
            self.seen[delivery.body] += 1
            delivery.lease.ack(delivery.tag)

    def consuming(self, lease: Lease) -> None: ...

    def lost(self, lease: Lease, reason: str) -> None:
        self.losses += 1

    def unavailable(self, queue: str, reason: str) -> None: ...


@pytest.fixture
def url() -> Iterator[str]:
    url = f"memory://{uuid.uuid4().hex}"
    MemorySession(url).declare_queue(Queue("work", arguments={"x-queue-type": "quorum", "x-delivery-limit": -1}))
    yield url
    forget(url)


def test_nothing_is_lost_while_connections_break(url: str) -> None:
    worker = Worker()
    links = [MemoryLink(url) for _ in range(3)]
    refused: list[BaseException] = []
    for link in links:
        link.start()
        link.call_soon(lambda link=link: link.subscribe("work", 10, worker))
    publisher = MemorySession(url)
    expected = {str(number).encode() for number in range(2000)}
    for number in range(2000):
        outgoing = Outgoing("", "work", str(number).encode(), Properties())
        if number % 2:
            publisher.publish(outgoing)
        else:
            link = links[number % 3]
            link.call_soon(
                lambda link=link, outgoing=outgoing: link.publish(
                    outgoing, lambda error: refused.append(error) if error else None, 10.0
                )
            )
        if number % 100 == 0:
            broker_of(url).break_connections()
    wait_for(lambda: set(worker.seen) == expected)
    assert not refused
    assert worker.losses > 0
    for link in links:
        link.stop(5.0)
    assert publisher.queue_state("work") is not None
    assert publisher.queue_state("work").messages == 0  # type: ignore[union-attr]


def test_a_stopped_link_leaves_no_thread(url: str) -> None:
    before = threading.active_count()
    link = MemoryLink(url)
    link.start()
    link.stop(5.0)
    assert threading.active_count() == before
    link.stop(5.0)  # twice is no error


def test_a_link_that_never_started_can_be_stopped(url: str) -> None:
    link, called = MemoryLink(url), threading.Event()
    link.stop(1.0)
    link.call_soon(called.set)
    assert not called.is_set()


def test_a_failing_callback_is_logged_and_the_rest_goes_on(url: str, caplog: pytest.LogCaptureFixture) -> None:
    link = MemoryLink(url)
    link.start()
    went_on = threading.Event()

    def fail() -> None:
        raise RuntimeError("broken callback")

    with caplog.at_level(logging.ERROR):
        link.call_soon(fail)
        link.call_soon(went_on.set)
        assert went_on.wait(5.0)
        wait_for(lambda: "broken callback" in caplog.text)
    link.stop(5.0)


def test_many_calls_cost_one_turn(url: str) -> None:
    link = MemoryLink(url)
    done = threading.Event()
    order: list[int] = []
    for number in range(1000):
        link.call_soon(lambda number=number: order.append(number))
    link.call_soon(done.set)
    link.start()
    assert done.wait(5.0)
    assert order == list(range(1000))
    link.stop(5.0)
