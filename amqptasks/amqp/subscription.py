"""Consuming one queue over a channel of its own, and coming back after every way in which that ends.

the connection breaks       a new channel when it stands again
the broker closes the channel (406 by a consumer timeout before 4.3, 404 when the queue is gone)
                            a new channel, after a pause that grows
the broker cancels the consumer (queue deleted; on 4.3 a consumer timeout)
                            the channel is closed by us: 4.3 keeps the cancelled consumer, and would hand it the
                            next message as soon as one of its old deliveries is acked
nothing of these, and still no consumer
                            the watchdog asks the broker, and begins anew
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from pika import exceptions
from pika.channel import Channel

from amqptasks.amqp.connection import Connection, pause_before
from amqptasks.amqp.lease import ChannelLease
from amqptasks.amqp.loop import Loop
from amqptasks.amqp.wire.pika_internals import WireChannel
from amqptasks.errors import BrokerUnreachable
from amqptasks.messages.delivery import Alike, Delivery, Likeness
from amqptasks.messages.properties import Properties
from amqptasks.runtime.clock import monotonic
from amqptasks.transport import Listener

#: Seconds between two questions to the broker whether our consumer is still there. Every known way to lose it tells
#: us at once; this is for the unknown ones, and one passive declare costs the broker next to nothing.
WATCHDOG = 15.0

#: Seconds between the last ack or nack and closing the channel. A channel holds back what a quorum queue is too busy to
#: take, more than 32 commands ahead of it, and drops that when it is closed: of 400 single nacks 269 were lost on 4.3,
#: and counted as failures; acks are lost in the same way, and their tasks run again.
APPLIED_WITHIN = 0.25

_numbers = itertools.count(1)


class Subscription:
    """See `transport.Subscription`. Lives on the link's loop."""

    def __init__(
        self,
        loop: Loop,
        connection: Connection,
        queue: str,
        prefetch: int,
        listener: Listener,
        consumer_timeout: float | None = None,
    ) -> None:
        self.queue = queue
        self._consumer_timeout = consumer_timeout
        self._loop = loop
        self._guarded = loop.guard.wrapped
        self._connection = connection
        self._prefetch = prefetch
        self._listener = listener
        self._channel: WireChannel | None = None
        self._lease: ChannelLease | None = None
        self._consumer_tag: str | None = None
        self._confirmed = False
        self._paused = False
        self._closing = False
        self._attempt = 0
        self._opening = False
        self._pausing = False  # the cancel of a pause is under way: deliveries may still come
        self._leaving = False  # a cancel is under way, and the channel stays open until the broker has answered it
        self._batch: list[Delivery] = []
        self._loop.call_later(WATCHDOG, self._watch)

    @property
    def consuming(self) -> bool:
        return self._confirmed and self._channel is not None and bool(self._channel.is_open)

    @property
    def unsettled(self) -> int:
        return 0 if self._lease is None else self._lease.unsettled

    @property
    def is_closed(self) -> bool:
        return self._closing and self._channel is None

    @property
    def is_quiet(self) -> bool:
        return (self._paused or self._closing) and not (self._pausing or self._leaving or self._batch)

    def start(self) -> None:
        """Open the channel now, if the connection stands; called again whenever it stands anew."""
        if self._closing or self._opening or self._channel is not None or not self._connection.is_open:
            return
        self._opening = True
        self._connection.channel(self._on_opened)

    def connection_closed(self) -> None:
        self._opening = False
        if self._channel is not None:  # it was not told, or raised
            self._channel = None
            self._end_lease("the connection has ended")

    def pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._pausing = self._cancel_consumer(self._on_paused)

    def resume(self) -> None:
        if self._paused and not self._closing:
            self._paused = False
            if self._is_usable:
                self._consume()

    def resize(self, prefetch: int) -> None:
        """A consumer keeps the prefetch that it began with: another takes its place, on the same channel, with what is
        held. https://www.rabbitmq.com/docs/consumer-prefetch"""
        self._prefetch = prefetch
        channel, confirmed = self._channel, self._confirmed
        if self._closing or channel is None or not self._is_usable or self._lease is None:
            return  # the next channel begins with it
        self._lease.resize(prefetch)
        consumed = self._cancel_consumer()
        channel.basic_qos(prefetch_count=prefetch)
        if consumed:
            self._consume()
            self._confirmed = confirmed  # nobody need hear that it ended and began

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        # What is on its way comes before the answer; closing the channel meanwhile would count it as failed.
        self._leaving = self._cancel_consumer(self._on_left)
        self._close_when_done()

    def abandon(self) -> None:
        """Close at once; what is unsettled goes back to the queue."""
        self._closing = True
        self._close_channel()

    def _on_opened(self, channel: WireChannel) -> None:
        self._opening = False
        if not self._guarded(self._on_channel)(channel):  # half made: another one takes its place
            self._channel = None
            channel.close()
            self._loop.call_later(pause_before(1), self.start)

    def _on_channel(self, channel: WireChannel) -> None:
        self._opening = False
        self._channel = channel
        self._lease = ChannelLease(channel, self._loop, self._prefetch, self._close_when_done)
        channel.on_delivery = self._on_delivery
        channel.on_alike = self._on_alike
        channel.add_on_close_callback(self._guarded(self._on_channel_closed))
        channel.add_on_cancel_callback(self._guarded(self._on_cancelled_by_broker))
        channel.basic_qos(prefetch_count=self._prefetch)
        if self._closing:
            self._close_channel()
        elif not self._paused:
            self._consume()

    def _consume(self, *, auto_ack: bool = False, arguments: dict[str, object] | None = None) -> None:
        assert self._channel is not None
        # A tag is never used twice: 4.3 may still know the old one, and would close the connection (530).
        self._consumer_tag = f"amqptasks-{next(_numbers)}"
        capabilities = self._connection.capabilities
        if self._consumer_timeout is not None and capabilities is not None and capabilities.consumer_timeout_argument:
            arguments = {**(arguments or {}), "x-consumer-timeout": round(self._consumer_timeout * 1000)}
        self._channel.basic_consume(
            self.queue,
            lambda *_: None,
            auto_ack=auto_ack,
            consumer_tag=self._consumer_tag,
            arguments=arguments,
            callback=self._guarded(self._on_consume_ok),
        )

    def _on_consume_ok(self, _frame: object) -> None:
        if self._consumer_tag is None or self._lease is None:
            return
        self._attempt = 0
        self._connection.proven()
        self._lease.consumed = True
        if not self._confirmed:
            self._confirmed = True
            self._guarded(self._listener.consuming)(self._lease)

    def _on_delivery(
        self, tag: int, redelivered: bool, exchange: str, routing_key: str, properties: Properties, body: bytes
    ) -> None:
        lease = self._lease
        if lease is not None:
            self._add(Delivery(self.queue, tag, exchange, routing_key, redelivered, properties, body, lease), lease)

    def _on_alike(
        self,
        tag: int,
        redelivered: bool,
        exchange: str,
        routing_key: str,
        likeness: Likeness,
        identity: str,
        body: bytes,
    ) -> None:
        lease = self._lease
        if lease is not None:
            self._add(
                Alike(self.queue, tag, exchange, routing_key, redelivered, likeness, identity, body, lease), lease
            )

    def _add(self, delivery: Delivery, lease: ChannelLease) -> None:
        lease.unsettled += 1
        if not self._batch:
            self._loop.call_later(0, self._end_turn)
        self._batch.append(delivery)

    def _end_turn(self) -> None:
        if not self._guarded(self._hand_over)():
            self._close_channel()  # nobody knows what became of them: all goes back

    def _hand_over(self) -> None:
        batch, self._batch = self._batch, []
        if batch and not self._guarded(self._listener.deliveries)(batch):
            self._close_channel()  # as above

    def _cancel_consumer(self, answered: Callable[[object], None] | None = None) -> bool:
        """True when there was one to cancel."""
        self._confirmed = False
        tag, self._consumer_tag = self._consumer_tag, None
        if tag is None or self._channel is None or not self._is_usable:
            return False
        self._channel.basic_cancel(tag, self._guarded(answered) if answered is not None else None)
        return True

    @property
    def _is_usable(self) -> bool:
        """False also while a connection that broke tells its channels, one after the other."""
        return self._channel is not None and bool(self._channel.is_open) and self._connection.is_open

    def _on_paused(self, _frame: object) -> None:
        self._pausing = False

    def _on_left(self, _frame: object) -> None:
        self._leaving = False
        self._close_when_done()

    def _close_when_done(self) -> None:
        if self._closing and not self._leaving and (self._lease is None or self._lease.is_empty):
            applied = (self._lease.written if self._lease is not None else 0.0) + APPLIED_WITHIN - monotonic()
            if applied > 0:
                self._loop.call_later(applied, self._close_when_done)
            else:
                self._close_channel()

    def _close_channel(self) -> None:
        if self._channel is not None and self._is_usable:
            self._channel.close()

    def _on_cancelled_by_broker(self, _frame: object) -> None:
        if self._channel is not None and self._is_usable:
            self._end_lease(f"the broker cancelled the consumer of {self.queue!r}")
            self._channel.close(reply_text="consumer cancelled by the broker")

    def _on_channel_closed(self, channel: Channel, reason: Exception) -> None:
        if channel is not self._channel:
            return
        self._channel = None
        if not self._confirmed and isinstance(reason, exceptions.ChannelClosedByBroker) and reason.reply_code == 406:
            self._consumer_timeout = None  # a queue of another type than we were told: it knows no such argument
        self._end_lease(str(reason))
        if self._closing or not self._connection.is_open:
            return
        self._attempt += 1
        if isinstance(reason, exceptions.ChannelClosedByBroker):
            self._guarded(self._listener.unavailable)(self.queue, f"{reason.reply_code} {reason.reply_text}")
        self._loop.call_later(pause_before(self._attempt), self.start)

    def _end_lease(self, reason: str) -> None:
        self._confirmed = self._pausing = False
        self._consumer_tag = None
        lease, self._lease = self._lease, None
        self._batch.clear()  # delivered in this very turn, and already the broker's again
        if lease is not None and lease.alive:
            lease.alive = False
            if lease.consumed:  # else the broker refused the consumer: nothing was given, nothing is lost
                self._guarded(self._listener.lost)(lease, reason)

    def _watch(self) -> None:
        if self._closing:
            return
        self._loop.call_later(WATCHDOG, self._watch)
        channel = self._channel
        if channel is None:
            self.start()
        elif channel.is_closed:
            self._on_channel_closed(channel, BrokerUnreachable("the channel has ended"))
        elif self.consuming and self._is_usable:
            self._ask_broker(channel)

    def _ask_broker(self, channel: WireChannel) -> None:
        told = self._guarded(lambda frame: self._on_watched(channel, frame))
        channel.queue_declare(self.queue, passive=True, callback=told)

    def _on_watched(self, channel: WireChannel, frame: Any) -> None:
        if frame.method.consumer_count == 0 and channel is self._channel and self.consuming:
            self._on_cancelled_by_broker(None)
