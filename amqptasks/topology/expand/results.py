"""The objects of the result store `stream://`."""

from __future__ import annotations

from amqptasks.streams import result_streams
from amqptasks.topology.expand.expand import Objects
from amqptasks.transport.capabilities import Capabilities


def result_objects(partitions: int | None, capabilities: Capabilities) -> Objects:
    """`partitions` streams, or None: as many as this release needs."""
    count = partitions or result_streams.usual(capabilities)
    keys = result_streams.keys(count)
    return Objects(
        result_streams.exchanges(),
        tuple(result_streams.queue(key, count, capabilities) for key in keys),
        tuple(binding for key in keys for binding in result_streams.bindings(key)),
    )
