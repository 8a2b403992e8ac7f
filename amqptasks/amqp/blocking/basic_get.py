"""Single messages of one queue for whoever asks: `basic.get` on a channel of its own, one after the other.

Each queue has a channel: one that is gone closes it (404), and what was got of others must not go back with it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, cast

from pika import spec
from pika.channel import Channel

from amqptasks.amqp.connection import Connection
from amqptasks.amqp.lease import ChannelLease
from amqptasks.amqp.loop import Loop
from amqptasks.amqp.wire.pika_internals import WireChannel
from amqptasks.errors import BrokerError, BrokerUnreachable
from amqptasks.messages.delivery import Delivery
from amqptasks.transport import Got

if TYPE_CHECKING:
    from amqptasks.amqp.wire.properties import ReceivedProperties


class BasicGet:
    """See `transport.Link.get`. Lives on the link's loop."""

    def __init__(self, loop: Loop, connection: Connection, queue: str) -> None:
        self._loop = loop
        self._connection = connection
        self._queue = queue
        self._channel: WireChannel | None = None
        self._lease: ChannelLease | None = None
        self._opening = False
        self._asked: deque[Got] = deque()  # the first is under way, once the channel is there
        self._under_way = False

    def get(self, done: Got) -> None:
        self._asked.append(done)
        if len(self._asked) == 1:
            self._loop.call_later(0, self._go_on)

    def connection_closed(self, error: BrokerError) -> None:
        """Whoever asked is told: by the time that there is another connection, the answer may not matter."""
        self._opening = False
        self._fail(error)

    def _go_on(self) -> None:
        if self._under_way or self._opening or not self._asked:
            return
        if self._channel is not None:
            self._under_way = True
            self._channel.basic_get(self._queue, self._loop.guard.wrapped(self._on_message))
        elif self._connection.is_open:
            self._opening = True
            self._connection.channel(self._on_channel)
        else:
            self._fail(BrokerUnreachable("there is no connection to the broker now"))

    def _on_channel(self, channel: WireChannel) -> None:
        self._opening = False
        self._channel = channel
        self._lease = ChannelLease(channel, self._loop, 1, _nothing)
        wrapped = self._loop.guard.wrapped
        channel.add_on_close_callback(wrapped(self._on_channel_closed))
        channel.add_callback(wrapped(self._on_empty), [spec.Basic.GetEmpty], one_shot=False)
        self._go_on()

    def _on_message(
        self, _channel: Channel, method: spec.Basic.GetOk, properties: spec.BasicProperties, body: bytes
    ) -> None:
        assert self._lease is not None
        done = self._asked.popleft()
        self._lease.unsettled += 1
        tag, redelivered = int(method.delivery_tag), bool(method.redelivered)
        exchange, routing_key = str(method.exchange), str(method.routing_key)
        ours = cast("ReceivedProperties", properties).ours
        delivery = Delivery(self._queue, tag, exchange, routing_key, redelivered, ours, body, self._lease)
        self._answered()
        done(delivery, None)

    def _on_empty(self, _frame: object) -> None:
        done = self._asked.popleft()
        self._answered()
        done(None, None)

    def _answered(self) -> None:
        self._under_way = False
        self._loop.call_later(0, self._go_on)  # pika still holds the callback of this one

    def _on_channel_closed(self, channel: Channel, reason: Exception) -> None:
        if channel is not self._channel:
            return
        self._channel = None
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.alive = False
        if self._under_way:  # the broker closed it over this one: the queue is not there
            self._under_way = False
            done = self._asked.popleft()
            done(None, BrokerError(str(reason)))
        self._loop.call_later(0, self._go_on)

    def _fail(self, error: BrokerError) -> None:
        asked, self._asked, self._under_way = self._asked, deque(), False
        for done in asked:
            self._loop.guard.wrapped(done)(None, error)


def _nothing() -> None:
    """Nobody waits for this lease to be empty: its channel lives as long as the connection."""
