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
    "x-consumer-disconnected-timeout": "`consumer_disconnected_timeout`",
    "x-dead-letter-exchange": "`dead_letter`, which makes a queue of its own for it",
    "x-dead-letter-routing-key": "`dead_letter`, which makes a queue of its own for it",
    "x-dead-letter-strategy": "`dead_letter`; dead-lettering is at-least-once wherever the queue type can",
    "x-overflow": "`overflow`",
    "x-expires": "`expires`",
    "x-queue-leader-locator": "`leader_locator`",
    "x-queue-master-locator": "`leader_locator`",
    "x-queue-mode": "`queue_mode`",
    "x-queue-version": "`queue_version`",
    "x-quorum-initial-group-size": "`initial_group_size`",
    "x-quorum-target-group-size": "`target_group_size`",
    "x-delayed-retry-type": "`retry: {native: true}`",
    "x-delayed-retry-min": "`retry: {native: true, first: 1s}`",
    "x-delayed-retry-max": "`retry: {native: true, first: 1s, max: 10s}`",
    "x-initial-cluster-size": "`initial_cluster_size`",
    "x-max-age": "`max_age`",
    "x-stream-max-segment-size-bytes": "`max_segment_size`",
    "x-stream-filter-size-bytes": "`filter_size`",
}

#: Keys that only some queue types have; every type has the others.
KEYS: Mapping[str, frozenset[QueueType]] = {
    "max_priority": frozenset({"quorum", "classic"}),
    "retry": frozenset({"quorum", "classic"}),
    "dead_letter": frozenset({"quorum", "classic"}),
    "delivery_limit": frozenset({"quorum", "classic"}),
    "max_length": frozenset({"quorum", "classic"}),
    "overflow": frozenset({"quorum", "classic"}),
    "message_ttl": frozenset({"quorum", "classic"}),
    "expires": frozenset({"quorum", "classic"}),
    "single_active_consumer": frozenset({"quorum", "classic"}),
    "consumer_timeout": frozenset({"quorum"}),
    "consumer_disconnected_timeout": frozenset({"quorum"}),
    "initial_group_size": frozenset({"quorum"}),
    "target_group_size": frozenset({"quorum"}),
    "queue_mode": frozenset({"classic"}),
    "queue_version": frozenset({"classic"}),
    "durable": frozenset({"classic"}),
    "auto_delete": frozenset({"classic"}),
    "max_age": frozenset({"stream"}),
    "max_segment_size": frozenset({"stream"}),
    "filter_size": frozenset({"stream"}),
    "initial_cluster_size": frozenset({"stream"}),
}
