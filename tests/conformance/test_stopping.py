"""A link that was stopped: whoever publishes through it hears so, whenever that was."""

from __future__ import annotations

import asyncio
import threading

import pytest

from amqptasks.errors import BrokerUnreachable
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.transport.publisher import Publisher
from tests.conformance.transport import SOON, Transport

MESSAGE = Outgoing("", "nowhere", b"x", Properties(), mandatory=False)


def test_what_is_published_after_the_stop_is_refused_at_once(transport: Transport) -> None:
    link = transport.new_link()
    publisher = Publisher(link)
    publisher.publish(MESSAGE, SOON)
    link.stop(SOON)
    with pytest.raises(BrokerUnreachable, match="the link was stopped"):
        publisher.submit(MESSAGE, SOON).result(1)
    with pytest.raises(BrokerUnreachable, match="the link was stopped"):
        publisher.publish(MESSAGE, SOON)
    with pytest.raises(BrokerUnreachable, match="the link was stopped"):
        asyncio.run(asyncio.wait_for(publisher.publish_async(MESSAGE, SOON), 1))
    failed = publisher.publish_many([MESSAGE] * 3, SOON)
    assert [(one.position, type(one.error)) for one in failed] == [(n, BrokerUnreachable) for n in range(3)]


def test_each_publish_has_an_end_also_one_that_meets_the_stop(transport: Transport) -> None:
    """From several threads, across the whole stop; each begins before it, and ends with a refusal."""

    def publish(publisher: Publisher, started: threading.Event) -> None:
        try:
            while True:
                future = publisher.submit(MESSAGE, SOON)
                started.set()
                future.result(SOON)
        except BrokerUnreachable:
            refused.append(None)
        except BaseException as error:
            refused.append(error)

    for _ in range(5):
        refused: list[BaseException | None] = []
        link = transport.new_link()
        begun = [threading.Event() for _ in range(4)]
        threads = [threading.Thread(target=publish, args=(Publisher(link), event)) for event in begun]
        for thread in threads:
            thread.start()
        for event in begun:
            assert event.wait(SOON)
        link.stop(SOON)
        for thread in threads:
            thread.join(2 * SOON)
        assert refused == [None] * 4


def test_what_was_handed_over_in_the_last_moment_runs_or_is_refused(transport: Transport) -> None:
    """`call_soon` tells which: True means that it ran, False that it never will."""
    for _ in range(5):
        link = transport.new_link()
        promised, ran = 0, list[None]()
        stopping = threading.Thread(target=link.stop, args=(SOON,))
        stopping.start()
        while link.call_soon(lambda ran=ran: ran.append(None)):
            promised += 1
        stopping.join(2 * SOON)
        assert len(ran) == promised
