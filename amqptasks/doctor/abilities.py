"""What differs between releases of RabbitMQ, as a table for the broker at hand."""

from __future__ import annotations

from amqptasks.transport.capabilities import Capabilities

#: Bytes in a mebibyte.
_MIB = 1024 * 1024


def abilities(can: Capabilities) -> dict[str, str]:
    """A need, and how it is met there."""
    return {
        "priorities": (
            "quorum queues, 32 strict levels (0-31)"
            if can.quorum_priorities
            else "classic queues with max_priority: not replicated, dead-lettered at most once"
        ),
        "delays and retries": (
            "ladder of quorum queues, two of them (priorities 0-4, and 5 and up)"
            if can.two_priority_classes
            else "ladder of quorum queues"
        ),
        "long tasks": (
            "consumer_timeout of a queue or of a consumer"
            if can.consumer_timeout_argument
            else "consumer_timeout of a queue (3.12 and newer), else in rabbitmq.conf (30 minutes by default)"
        ),
        "poison messages": (
            "the delivery limit counts failures only"
            if can.nack_is_free
            else "default delivery limit of 20, which counts every return"
            if can.delivery_limit_off
            else "no delivery limit of its own: the topology sets one"
        ),
        "message size": f"up to {can.maximum_message_size // _MIB} MiB",
        "policies by queue type": "yes" if can.policies_by_queue_type else "no: apply-to is queues, exchanges or all",
    }
