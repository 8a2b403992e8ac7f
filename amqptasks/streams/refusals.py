"""What RabbitMQ says of a stream that cannot be read."""

from __future__ import annotations

#: Of a queue that does not exist, in 404; of one that is only down it says something else.
NOT_THERE = "no queue"

#: Of a right that this user does not have.
REFUSED = "403"


def is_refusal(reason: str) -> bool:
    """Whether every node would say the same: this user may not read it, or there is none."""
    return reason.startswith(REFUSED) or NOT_THERE in reason
