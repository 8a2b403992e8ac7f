"""Reading a stream over AMQP 0-9-1: as consuming a queue, from an offset, and on from there after a break.

https://www.rabbitmq.com/docs/streams. A stream's consumer needs a prefetch and acks, and answers a nack or reject by
closing the connection (540), so nothing here gives anything back.
"""

from __future__ import annotations

from collections.abc import Sequence

from amqptasks.amqp.connection import Connection
from amqptasks.amqp.lease import ChannelLease
from amqptasks.amqp.loop import Loop
from amqptasks.amqp.subscription import Subscription
from amqptasks.amqp.wire.pika_internals import WireChannel
from amqptasks.messages.delivery import Delivery
from amqptasks.transport import STREAM_FILTER, STREAM_OFFSET, Listener, StreamOffset


class StreamSubscription(Subscription):
    """See `transport.Link.read_stream`."""

    def __init__(
        self,
        loop: Loop,
        connection: Connection,
        queue: str,
        offset: StreamOffset,
        prefetch: int,
        listener: Listener,
        filters: Sequence[str] = (),
    ) -> None:
        self._offset = offset
        self._filters = list(filters)
        super().__init__(loop, connection, queue, prefetch, listener)

    def _consume(self, *, auto_ack: bool = False, arguments: dict[str, object] | None = None) -> None:
        arguments = {**(arguments or {}), STREAM_OFFSET: self._offset}
        if self._filters:
            arguments[STREAM_FILTER] = self._filters
        super()._consume(auto_ack=auto_ack, arguments=arguments)

    def _add(self, delivery: Delivery, lease: ChannelLease) -> None:
        number = delivery.shared_headers.get(STREAM_OFFSET)
        if isinstance(number, int):
            self._offset = number + 1
        super()._add(delivery, lease)

    def _ask_broker(self, channel: WireChannel) -> None:
        """A passive declare tells no consumers of a stream: it always counts none."""
