"""What is wrong with the product or its version, as such."""

from __future__ import annotations

from collections.abc import Iterator

from amqptasks.doctor.finding import Finding
from amqptasks.doctor.snapshot import Snapshot

#: The oldest release that the tests run on; quorum queues before it lack what delays stand on.
OLDEST = (3, 10, 0)


def version(seen: Snapshot) -> Iterator[Finding]:
    can = seen.capabilities
    release = ".".join(map(str, can.version))
    if can.product != "RabbitMQ":
        yield Finding(
            "note",
            "broker",
            f"it is {can.product}, on which amqptasks is not tested",
            "use RabbitMQ 3.10 or newer, or try your tasks on it with care",
        )
    elif can.version < OLDEST:
        yield Finding("wrong", "broker", f"RabbitMQ {release} is older than 3.10", "upgrade to RabbitMQ 4.3")
    elif not can.quorum_priorities:
        yield Finding(
            "note",
            "broker",
            f"RabbitMQ {release} has no priorities on quorum queues: a queue with max_priority is a classic one",
            "upgrade to RabbitMQ 4.3 for replicated queues with priorities",
        )
