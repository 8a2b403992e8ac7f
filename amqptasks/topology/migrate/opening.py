"""The connections of a migration."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from amqptasks import dial
from amqptasks.amqp.link import Link
from amqptasks.errors import ConfigurationError
from amqptasks.management.client import Management
from amqptasks.topology.expand.expand import expand
from amqptasks.topology.expand.ladder import ladder_objects
from amqptasks.topology.migrate import figures
from amqptasks.topology.migrate.migration import PATIENCE, Event, Migration
from amqptasks.topology.topology import Topology

#: Seconds for the broker to answer; making and deleting a quorum queue takes a busy cluster some.
ANSWER_WITHIN = 30.0

#: Seconds to say goodbye.
GOODBYE = 5.0


@contextmanager
def opened(
    topology: Topology,
    queue: str,
    urls: Sequence[str],
    management: Management,
    *,
    tls: ssl.SSLContext | None = None,
    every: float = figures.EVERY,
    patience: float = PATIENCE,
    tell: Callable[[Event], None] = lambda _: None,
) -> Iterator[Migration]:
    """A migration of `queue` to the form that `topology` gives it; connected while the block lasts.

    `urls` lead to the virtual host that `management` looks at. Raises `TopologyError` for a queue that the topology
    does not have, `ConfigurationError` for `memory://`, `BrokerUnreachable`, `AccessRefused`.
    """
    if dial.is_memory(urls):
        raise ConfigurationError("memory:// lives within one process: its queues are made anew with it")
    session = dial.session(urls, tls, ANSWER_WITHIN)
    try:
        objects = expand(topology, session.capabilities) + ladder_objects(topology, session.capabilities)
        wanted = next((one for one in objects.queues if one.name == queue), None)
        if wanted is None:
            topology.queue(queue)  # knows which one was meant
            raise ConfigurationError(f"the topology has no queue {queue!r} on this broker")
        link = Link(urls, tls=tls)
        link.start()
        declared = frozenset(topology.queues)
        try:
            yield Migration(wanted, objects, session, management, link, declared, every, patience, tell)
        finally:
            link.stop(GOODBYE)
    finally:
        session.close()
