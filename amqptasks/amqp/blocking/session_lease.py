"""Messages that a blocking session holds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import Basic

from amqptasks.amqp.wire.properties import ReceivedProperties
from amqptasks.messages.delivery import Delivery


class SessionLease:
    """What one `take` holds: a channel with one consumer. An `messages.delivery.Lease`."""

    def __init__(self, channel: BlockingChannel) -> None:
        self.channel = channel

    @property
    def alive(self) -> bool:
        return bool(self.channel.is_open)

    @property
    def lost(self) -> bool:
        return not self.alive

    def ack(self, tag: int) -> None:
        if self.alive:
            self.channel.basic_ack(tag)

    def nack(self, tag: int) -> None:
        if self.alive:
            self.channel.basic_nack(tag, requeue=True)

    def reject(self, tag: int) -> None:
        if self.alive:
            self.channel.basic_reject(tag, requeue=True)

    def discard(self, tag: int) -> None:
        if self.alive:
            self.channel.basic_reject(tag, requeue=False)


def collector(
    queue: str, taken: SessionLease, arrived: deque[Delivery]
) -> Callable[[BlockingChannel, Basic.Deliver, Any, bytes], None]:
    def collect(_: BlockingChannel, method: Basic.Deliver, properties: ReceivedProperties, body: bytes) -> None:
        arrived.append(
            Delivery(
                queue=queue,
                tag=method.delivery_tag,
                exchange=method.exchange,
                routing_key=method.routing_key,
                redelivered=bool(method.redelivered),
                properties=properties.ours,
                body=body,
                lease=taken,
            )
        )

    return collect
