"""An alarm of a whole node: it reads nothing more from connections that publish."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.harness.nodes import StartedBroker

#: Free space that no disk has, and what the broker takes by itself, in bytes.
MORE_THAN_ALL, USUAL = "900000GB", "50000000"


@contextmanager
def alarm(broker: StartedBroker) -> Iterator[None]:
    """A disk alarm of the node, while the block lasts."""
    broker.node.rabbitmqctl("set_disk_free_limit", MORE_THAN_ALL)
    try:
        yield
    finally:
        broker.node.rabbitmqctl("set_disk_free_limit", USUAL)
