"""The right to settle what one channel delivered, and when acks are written."""

from __future__ import annotations

from collections.abc import Callable

from amqptasks.amqp.acks import Acks
from amqptasks.amqp.loop import Loop
from amqptasks.amqp.wire.pika_internals import WireChannel
from amqptasks.runtime.clock import monotonic

#: Seconds that acks are gathered for while most of the prefetch is still to be worked on. One for 120 tasks instead of
#: one for 40 takes a sixth from the broker's CPU a message, and nobody waits for them: 2 ms brought no more, 3 ms cost
#: a tenth of the rate.
GATHER = 0.001

#: Of the prefetch: so much settled is written at the end of the turn. The broker sends others only then, and the rest
#: must last until they are here; with little prefetch that is every turn.
ENOUGH = 1 / 4


class ChannelLease:
    """See `messages.delivery.Lease`. Acks are gathered, and written once a turn of the loop or, while they are few, a
    moment later."""

    def __init__(self, channel: WireChannel, loop: Loop, prefetch: int, on_empty: Callable[[], None]) -> None:
        self._channel = channel
        self._loop = loop
        self._acks = Acks()
        self._flush_now = channel.protected(self._flush)
        self._flush_soon = channel.protected(self._flush_or_gather)
        self._flush_later = channel.protected(self._flush_gathered)
        self._flushing = False  # a flush is to come
        self._gathering = False  # not at the end of this turn, but a moment later
        self._gathered = 0
        self.resize(prefetch)
        self._on_empty = on_empty
        self.unsettled = 0
        self.written = 0.0  # on the monotonic clock: when something was last settled
        self.alive = True
        self.consumed = False  # the broker has confirmed a consumer: from then on, it may give messages

    def resize(self, prefetch: int) -> None:
        """So many may be unsettled from now on."""
        self._enough = max(1, int(prefetch * ENOUGH))

    def ack(self, tag: int) -> None:
        if self.alive:
            self._acks.finish(tag)
            self._settled()

    def nack(self, tag: int) -> None:
        if self.alive:
            self._acks.give_back(tag)
            self._settled()

    def reject(self, tag: int) -> None:
        self._reject(tag, requeue=True)

    def discard(self, tag: int) -> None:
        self._reject(tag, requeue=False)

    def _reject(self, tag: int, *, requeue: bool) -> None:
        if self._usable:
            self._acks.settle(tag)
            self._channel.basic_reject(tag, requeue=requeue)
            self._settled()

    @property
    def lost(self) -> bool:
        return not self.alive

    @property
    def is_empty(self) -> bool:
        """Everything is settled, and that is written."""
        return self.unsettled == 0 and not self._flushing

    @property
    def _usable(self) -> bool:
        return self.alive and bool(self._channel.is_open)

    def _settled(self) -> None:
        self.unsettled -= 1
        self._gathered += 1
        if not self._flushing:
            self._flushing = True
            self._loop.call_later(0, self._flush_soon)
        elif self._gathering and self._gathered >= self._enough:
            self._gathering = False
            self._loop.call_later(0, self._flush_now)

    def _flush_or_gather(self) -> None:
        if self._gathered >= self._enough:
            self._flush()
        else:
            self._gathering = True
            self._loop.call_later(GATHER, self._flush_later)

    def _flush_gathered(self) -> None:
        if self._gathering:
            self._flush()

    def _flush(self) -> None:
        self._flushing = self._gathering = False
        self._gathered = 0
        if self._usable:
            for tag, multiple in self._acks.flush():
                self._channel.ack(tag, multiple=multiple)
            for tag, multiple in self._acks.flush_returned():
                self._channel.basic_nack(tag, multiple=multiple, requeue=True)
            self.written = monotonic()
        if self.is_empty:
            self._on_empty()
