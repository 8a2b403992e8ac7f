"""Reading a stream through the link."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from amqptasks.amqp.blocking.session import Session
from amqptasks.amqp.link import Link
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.transport import StreamOffset
from amqptasks.transport.entities import Queue
from tests.conformance.transport import SOON, Inbox, Transport, stopped, texts
from tests.harness.proxy import Proxy
from tests.harness.vhost import Vhost


@pytest.fixture
def transport(vhost: Vhost, proxy: Proxy) -> Iterator[Transport]:
    links: list[Link] = []

    def new_link() -> Link:
        links.append(Link([proxy.url]))
        links[-1].start()
        return links[-1]

    session = Session([vhost.url])
    session.declare_queue(Queue("log", arguments={"x-queue-type": "stream"}))
    yield Transport(session, new_link, lambda: (proxy.cut(), None)[1], is_memory=False)
    stopped(links)
    session.close()


def write(transport: Transport, *bodies: str) -> None:
    for body in bodies:
        transport.session.publish(Outgoing("", "log", body.encode(), Properties()))


def read(transport: Transport, offset: StreamOffset) -> Inbox:
    inbox = Inbox()
    inbox.subscription = transport.on_link(lambda: transport.link.read_stream("log", offset, 100, inbox))
    inbox.started.get(timeout=SOON)
    return inbox


def test_a_stream_is_read_from_its_beginning_by_everybody(transport: Transport) -> None:
    write(transport, "1", "2", "3")
    for _ in range(2):
        inbox = read(transport, "first")
        deliveries = inbox.take(3)
        transport.ack(*deliveries)
        assert texts(deliveries) == ["1", "2", "3"]


def test_a_stream_is_read_from_a_number_or_from_now_on(transport: Transport) -> None:
    write(transport, "1", "2", "3")
    third, now = read(transport, 2), read(transport, "next")
    assert texts(third.take(1)) == ["3"]
    write(transport, "4")
    assert texts(third.take(1)) == ["4"]
    assert texts(now.take(1)) == ["4"]


def test_after_a_break_reading_goes_on_where_it_was(transport: Transport) -> None:
    write(transport, "1", "2")
    inbox = read(transport, "first")
    transport.ack(*inbox.take(2))
    transport.break_connections()
    write(transport, "3")
    inbox.started.get(timeout=SOON)
    assert texts(inbox.take(1)) == ["3"]
    assert inbox.is_empty


def test_a_reader_closes_with_unacked_messages_without_a_word_to_the_stream(transport: Transport) -> None:
    """A stream answers a nack by closing the connection."""
    write(transport, "1", "2")
    other = read(transport, "next")
    inbox = read(transport, "first")
    inbox.take(2)
    transport.on_link(inbox.subscription.close)
    write(transport, "3")
    assert texts(other.take(1)) == ["3"]
    assert other.lost_leases.empty()
