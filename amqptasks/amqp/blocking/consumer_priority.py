"""Consuming a queue before all others: https://www.rabbitmq.com/docs/consumer-priority"""

from __future__ import annotations

from amqptasks.amqp.subscription import Subscription

#: Above what anybody else asks for: consumers without a priority have 0.
PRIORITY = 100


class PrioritySubscription(Subscription):
    """Others get messages only while this one holds as many as its prefetch allows."""

    def _consume(self, *, auto_ack: bool = False, arguments: dict[str, object] | None = None) -> None:
        super()._consume(auto_ack=auto_ack, arguments={**(arguments or {}), "x-priority": PRIORITY})
