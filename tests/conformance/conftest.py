"""`transport`: each test of this folder runs over the memory transport and over a real RabbitMQ."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from amqptasks.memory.link import MemoryLink
from amqptasks.memory.registry import broker_of, forget
from amqptasks.memory.session import MemorySession
from amqptasks.transport import Link
from tests.conformance.transport import Transport, stopped
from tests.harness.proxy import Proxy
from tests.harness.vhost import Vhost


@pytest.fixture(params=["memory", pytest.param("rabbitmq", marks=pytest.mark.broker)])
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """A transport in a namespace of its own."""
    if request.param == "memory":
        yield from _memory()
    else:
        yield from _rabbitmq(request.getfixturevalue("vhost"), request.getfixturevalue("proxy"))


def _memory() -> Iterator[Transport]:
    url = f"memory://{uuid.uuid4().hex}"
    links: list[Link] = []

    def new_link() -> Link:
        links.append(MemoryLink(url))
        links[-1].start()
        return links[-1]

    session = MemorySession(url)
    yield Transport(session, new_link, broker_of(url).break_connections, is_memory=True)
    stopped(links)
    session.close()
    forget(url)


def _rabbitmq(vhost: Vhost, proxy: Proxy) -> Iterator[Transport]:
    from amqptasks.amqp.blocking.session import Session as AmqpSession
    from amqptasks.amqp.link import Link as AmqpLink

    links: list[Link] = []

    def new_link() -> Link:
        links.append(AmqpLink([proxy.url]))
        links[-1].start()
        return links[-1]

    session = AmqpSession([vhost.url], timeout=10.0)
    yield Transport(session, new_link, lambda: (proxy.cut(), None)[1], is_memory=False)
    stopped(links)
    session.close()
