"""What RabbitMQ knows as `x-` arguments of queues, and which queue type takes which.

The broker itself checks little: it refuses what another type knows and this one does not, and stores a misspelt
argument without a word. https://www.rabbitmq.com/docs/queues#optional-arguments and the pages of each queue type.
"""

from __future__ import annotations

from collections.abc import Mapping

from amqptasks.topology.topology import QueueType

#: Arguments that a key of ours stands for, which also checks the value.
WRITTEN_AS: Mapping[str, str] = {
    "x-queue-type": "`type`",
    "x-max-priority": "`max_priority`",
    "x-delivery-limit": "`delivery_limit`",
    "x-max-length": "`max_length`",
    "x-max-length-bytes": "`max_length_bytes`",
    "x-message-ttl": "`message_ttl`",
    "x-single-active-consumer": "`single_active_consumer`",
    "x-consumer-timeout": "`consumer_timeout`",
    "x-dead-letter-exchange": "`dead_letter`, which makes a queue of its own for it",
    "x-dead-letter-routing-key": "`dead_letter`, which makes a queue of its own for it",
    "x-dead-letter-strategy": "`dead_letter`; dead-lettering is at-least-once wherever the queue type can",
    "x-overflow": "`max_length`; a full queue always refuses, it never drops",
}

_ALL: frozenset[QueueType] = frozenset({"quorum", "classic", "stream"})
_QUORUM: frozenset[QueueType] = frozenset({"quorum"})
_CLASSIC: frozenset[QueueType] = frozenset({"classic"})
_STREAM: frozenset[QueueType] = frozenset({"stream"})

#: The other arguments, with the queue types that take them and the type of the value.
KNOWN: Mapping[str, tuple[frozenset[QueueType], type]] = {
    "x-expires": (_QUORUM | _CLASSIC, int),
    "x-queue-leader-locator": (_ALL, str),
    "x-queue-master-locator": (_CLASSIC, str),
    "x-queue-mode": (_CLASSIC, str),
    "x-queue-version": (_CLASSIC, int),
    "x-quorum-initial-group-size": (_QUORUM, int),
    "x-quorum-target-group-size": (_QUORUM, int),
    "x-delayed-retry-type": (_QUORUM, str),
    "x-delayed-retry-min": (_QUORUM, int),
    "x-delayed-retry-max": (_QUORUM, int),
    "x-consumer-disconnected-timeout": (_QUORUM, int),
    "x-initial-cluster-size": (_STREAM, int),
    "x-max-age": (_STREAM, str),
    "x-stream-max-segment-size-bytes": (_STREAM, int),
    "x-stream-filter-size-bytes": (_STREAM, int),
}


def fitting(arguments: Mapping[str, object], queue_type: QueueType) -> dict[str, object]:
    """Those that a queue of this type takes; unknown ones (a plugin's) are kept."""
    return {name: value for name, value in arguments.items() if name not in KNOWN or queue_type in KNOWN[name][0]}
