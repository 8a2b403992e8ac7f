"""Direct reply-to: an answer goes straight to the link that asked."""

from __future__ import annotations

import queue as queues

import pytest

from amqptasks.errors import PublishRejected
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.properties import REPLY_TO
from amqptasks.transport import Link
from tests.conformance.transport import SOON, Transport


class Asker:
    """A link that receives replies."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._replies: queues.Queue[Delivery] = queues.Queue()
        self.lost: queues.Queue[str] = queues.Queue()
        link.receive_replies(self._replies.put, self.lost.put)

    def reply(self) -> Delivery:
        return self._replies.get(timeout=SOON)


def test_a_reply_reaches_who_asked(transport: Transport) -> None:
    queue = transport.queue()
    asker, other = Asker(transport.link), Asker(transport.new_link())
    transport.send(queue, "question", reply_to=REPLY_TO, correlation_id="c", link=asker.link)
    question = transport.drain(queue)[0]
    address = question.properties.reply_to
    assert address is not None
    assert address.startswith(f"{REPLY_TO}.")
    transport.publish("", "answer", routing_key=address, mandatory=False, correlation_id="c", link=other.link)
    reply = asker.reply()
    assert (reply.body, reply.properties.correlation_id, reply.queue) == (b"answer", "c", REPLY_TO)


def test_the_address_survives_a_dead_letter_exchange(transport: Transport) -> None:
    queue = transport.queue()
    waiting = transport.queue(message_ttl=100, dead_letter_exchange="", dead_letter_routing_key=queue)
    asker = Asker(transport.link)
    transport.send(waiting, "question", reply_to=REPLY_TO)
    address = transport.receive(queue)[0].properties.reply_to
    assert address is not None
    transport.publish("", "answer", routing_key=address, mandatory=False)
    assert asker.reply().body == b"answer"


def test_a_reply_to_somebody_who_is_gone_is_dropped(transport: Transport) -> None:
    queue = transport.queue()
    asker = Asker(transport.new_link())
    transport.send(queue, "question", reply_to=REPLY_TO, link=asker.link)
    address = transport.drain(queue)[0].properties.reply_to
    assert address is not None
    asker.link.stop(SOON)
    transport.publish("", "answer", routing_key=address, mandatory=False)


def test_who_receives_no_replies_may_not_ask_for_one(transport: Transport) -> None:
    queue = transport.queue()
    with pytest.raises(PublishRejected, match="fast reply consumer"):
        transport.send(queue, "question", reply_to=REPLY_TO)


def test_a_broken_connection_loses_the_replies_and_later_ones_come(transport: Transport) -> None:
    queue = transport.queue()
    asker = Asker(transport.link)
    transport.send(queue, "old", reply_to=REPLY_TO)
    old = transport.drain(queue)[0].properties.reply_to
    transport.break_connections()
    asker.lost.get(timeout=SOON)
    transport.send(queue, "new", reply_to=REPLY_TO)
    new = transport.drain(queue)[0].properties.reply_to
    assert old is not None
    assert new is not None
    assert old != new
    transport.publish("", "too late", routing_key=old, mandatory=False)
    transport.publish("", "answer", routing_key=new, mandatory=False)
    assert asker.reply().body == b"answer"
