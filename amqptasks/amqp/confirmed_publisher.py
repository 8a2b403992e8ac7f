"""Everything that is on its way to the broker: one channel in confirm mode, and what waits for it.

A message lives in `_waiting` until it is written and in `_unconfirmed` until the broker confirmed it. When the channel
or the connection breaks, what was unconfirmed is written again, in its old order, before anything new: a duplicate is
possible then, a loss is not. A message of which a copy was written and not answered is in doubt for good: its error
says so (`PendingPublish.in_doubt`).

A message that makes the broker close the channel must fail alone, and the broker does not say which one it was. So
after such a close the messages in flight are suspects: they are written again one at a time, and the one with which
the channel closes again is the culprit. For a missing exchange or right (404, 403) the broker names the exchange, and
a suspect that alone is bound for it is taken at once.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

from pika import exceptions
from pika.channel import Channel

from amqptasks.amqp.connection import Connection
from amqptasks.amqp.loop import Loop
from amqptasks.amqp.pending_publish import PendingPublish
from amqptasks.amqp.wire.pika_internals import FrameTooLarge, WireChannel
from amqptasks.amqp.wire.properties import ReceivedProperties
from amqptasks.errors import (
    BrokerError,
    BrokerUnreachable,
    ConnectionBlocked,
    MessageTooLarge,
    PublishRejected,
    PublishTimeout,
    is_lasting,
)
from amqptasks.messages.delivery import SETTLED, Delivery
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import REPLY_TO, Properties
from amqptasks.runtime.clock import monotonic
from amqptasks.transport import Done

#: Messages written and not yet confirmed. A quorum queue on one connection is at its best from about 500; more only
#: grows what must be written again after a break.
WINDOW = 1000

#: Seconds between two looks for messages whose time is up: what a deadline may be late by.
SWEEP = 0.25

#: AMQP's reply code for a message that the broker refuses for what is in it: a property, its size.
PRECONDITION_FAILED = 406

_NAMED_EXCHANGE = re.compile(r"exchange '([^']*)'")


class ConfirmedPublisher:
    """Lives on the link's loop; every method but `replies` runs there."""

    def __init__(self, loop: Loop, connection: Connection, refused: Callable[[Outgoing], None]) -> None:
        """`refused` is told of each message that a queue refuses (nack)."""
        self._loop = loop
        self._connection = connection
        self._refused = refused
        self._channel: WireChannel | None = None
        self._ready = False
        self._waiting: deque[PendingPublish] = deque()
        self._suspects: deque[PendingPublish] = deque()
        self._unconfirmed: dict[int, PendingPublish] = {}
        self._tag = 0
        self._lowest = 1
        self._blocked: str | None = None
        self._sweeping = False
        #: Told when the broker begins to block publishers, with its reason, and None when it ends.
        self.told_blocked: Callable[[str | None], None] | None = None
        self._proven = False  # a confirm has come through this channel
        self._sweep_or_again = loop.guard.protected(self._sweep, self._sweep_again)
        self._on_reply: Callable[[Delivery], None] | None = None
        self._on_replies_lost: Callable[[str], None] | None = None

    @property
    def is_empty(self) -> bool:
        """True when nobody waits for anything any more."""
        entries = (*self._unconfirmed.values(), *self._suspects, *self._waiting)
        return all(entry.done is None for entry in entries)

    @property
    def blocked(self) -> str | None:
        """Why the broker reads nothing from this connection, in its words ("low on disk"); None where it reads."""
        return self._blocked

    def replies(self, reply: Callable[[Delivery], None], lost: Callable[[str], None]) -> None:
        """Consume the direct reply-to queue from now on."""
        asked_before = self._on_reply is not None
        self._on_reply, self._on_replies_lost = reply, lost
        if self._ready and not asked_before:
            self._consume_replies()

    def publish(self, outgoing: Outgoing, done: Done, timeout: float) -> PendingPublish:
        entry = PendingPublish(outgoing, done, monotonic() + timeout)
        if self._writable and not self._waiting:
            self._write(entry)
        else:
            self._waiting.append(entry)
            if not self._ready:
                self._connection.open()
        if not self._sweeping:
            self._sweep_soon()
        return entry

    def connection_opened(self) -> None:
        self._blocked = None
        self._connection.on_blocked(self.set_blocked, lambda: self.set_blocked(None))
        self.open_channel()

    def take(self, entries: Sequence[PendingPublish]) -> None:
        """Publish what was on its way over other channels of a connection that broke."""
        self._waiting.extendleft(reversed(entries))
        if entries:
            self._sweep_soon()

    def connection_closed(self, error: BrokerError) -> None:
        """The connection broke, or could not be had."""
        self._waiting.extendleft(reversed(self._channel_lost(str(error))))
        self.set_blocked(None)
        if is_lasting(error):  # waiting longer does not mend a password
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """End everything with this error."""
        entries = [*self._unconfirmed.values(), *self._suspects, *self._waiting]
        self._unconfirmed.clear()
        self._suspects.clear()
        self._waiting.clear()
        for entry in entries:
            entry.finish(error)

    def leave(self) -> list[PendingPublish]:
        """Publish nothing more; what is not confirmed, in its order."""
        left = [*self._channel_lost("the connection is lost"), *self._suspects, *self._waiting]
        self._suspects.clear()
        self._waiting.clear()
        return left

    def close_when_empty(self) -> bool:
        """Close the channel where nobody waits for an answer of it; whether it is closed."""
        if not self.is_empty:
            return False
        channel, self._channel, self._ready = self._channel, None, False
        if channel is not None and channel.is_open:
            channel.close()
        return True

    @property
    def _writable(self) -> bool:
        return self._ready and self._blocked is None and not self._suspects and len(self._unconfirmed) < WINDOW

    def open_channel(self) -> None:
        if self._connection.is_open:
            self._connection.channel(self._on_channel)

    def _on_channel(self, channel: WireChannel) -> None:
        self._channel = channel
        wrapped = self._loop.guard.wrapped
        channel.add_on_close_callback(wrapped(self._on_channel_closed))
        channel.add_on_return_callback(cast("Callable[..., None]", wrapped(self._on_return)))
        channel.on_confirm = self._on_ack
        channel.confirm_delivery(wrapped(self._on_nack), wrapped(self._on_confirm_mode))

    def _on_confirm_mode(self, _frame: object) -> None:
        self._tag = 0
        self._lowest = 1
        self._ready = True
        if self._on_reply is not None:
            self._consume_replies()
        self._drain()

    def _consume_replies(self) -> None:
        assert self._channel is not None
        self._channel.on_delivery = self._on_reply_delivery
        # Without waiting for consume-ok: the broker reads the channel in order, so the consumer is there before
        # the first message that asks for a reply.
        self._channel.basic_consume(REPLY_TO, lambda *_: None, auto_ack=True)

    def _on_reply_delivery(
        self, _tag: int, redelivered: bool, exchange: str, routing_key: str, properties: Properties, body: bytes
    ) -> None:
        if self._on_reply is not None:
            self._on_reply(Delivery(REPLY_TO, 0, exchange, routing_key, redelivered, properties, body, SETTLED))

    def _drain(self) -> None:
        """Write what may be written: suspects one at a time, then all others as far as the window goes."""
        while self._ready and self._blocked is None:
            if self._suspects:
                if self._unconfirmed:
                    return
                self._write(self._suspects.popleft())
            elif self._waiting and len(self._unconfirmed) < WINDOW:
                self._write(self._waiting.popleft())
            else:
                return

    def _write(self, entry: PendingPublish) -> None:
        if entry.done is None:
            return
        outgoing = entry.outgoing
        assert self._channel is not None
        size, limit = len(outgoing.body), self._size_limit
        if size > limit:
            entry.finish(MessageTooLarge(f"the body has {size} bytes, this broker takes {limit}", entry.name))
            return
        try:
            self._channel.publish(outgoing)
        except FrameTooLarge as error:
            entry.finish(MessageTooLarge(f"the headers are too large: {error}", entry.name))
        except (exceptions.ChannelWrongStateError, exceptions.ConnectionWrongStateError):
            # It is closing under us; its close callback comes next, and opens another.
            self._ready = False
            self._waiting.appendleft(entry)
        except Exception as error:
            entry.finish(PublishRejected(f"the message cannot be encoded: {error}", entry.name))
        else:
            self._tag += 1
            entry.written = True
            entry.returned = None
            self._unconfirmed[self._tag] = entry

    @property
    def _size_limit(self) -> int:
        capabilities = self._connection.capabilities
        return capabilities.maximum_message_size if capabilities is not None else 2**63

    def _on_ack(self, tag: int, multiple: bool) -> None:
        self._on_confirm(tag, multiple, acked=True)

    def _on_nack(self, frame: Any) -> None:
        self._on_confirm(frame.method.delivery_tag, frame.method.multiple, acked=False)

    def _on_confirm(self, tag: int, multiple: bool, *, acked: bool) -> None:
        if not self._proven:
            self._proven = True
            self._connection.proven()
        if multiple:
            # Tag by tag: the first key of a dict that is emptied from its front takes ever longer to find.
            for below in range(self._lowest, tag + 1):
                found = self._unconfirmed.pop(below, None)
                if found is not None:
                    found.confirm(acked)
                    if not acked:
                        self._refused(found.outgoing)
            self._lowest = tag + 1
        else:
            found = self._unconfirmed.pop(tag, None)
            if found is not None:
                found.confirm(acked)
                if not acked:
                    self._refused(found.outgoing)
        if self._waiting or self._suspects:
            self._drain()

    def _on_return(self, _channel: object, method: Any, properties: ReceivedProperties, body: bytes) -> None:
        """The broker returns messages in the order it got them, each before its confirm, without its number."""
        for entry in self._unconfirmed.values():
            outgoing = entry.outgoing
            if (
                entry.returned is None
                and outgoing.mandatory
                and outgoing.routing_key == method.routing_key
                and outgoing.exchange == method.exchange
                and outgoing.properties.correlation_id == properties.ours.correlation_id
                and outgoing.body == body
            ):
                entry.returned = f"{method.reply_code} {method.reply_text}"
                return

    def _on_channel_closed(self, channel: Channel, reason: Exception) -> None:
        if channel is not self._channel:
            return
        if isinstance(reason, exceptions.ChannelClosedByBroker):
            culprit = self._blamed(reason)
            if culprit is not None:
                culprit.written = False  # that was the answer
            self._suspects.extendleft(reversed(self._channel_lost(str(reason))))
            if culprit is not None and culprit.done is not None:
                self._suspects.remove(culprit)
                if reason.reply_code == PRECONDITION_FAILED:
                    culprit.in_doubt = False  # refused for what is in it, and so was every copy before
                culprit.finish(PublishRejected(f"{reason.reply_code} {reason.reply_text}", culprit.name))
        else:
            self._waiting.extendleft(reversed(self._channel_lost(str(reason))))
        if self._connection.is_open:
            self.open_channel()

    def _channel_lost(self, reason: str) -> list[PendingPublish]:
        """The channel is gone; what was in flight on it, in order. Replies asked for through it will not come."""
        if self._channel is None:
            return []
        self._channel = None
        self._ready = self._proven = False
        for entry in self._unconfirmed.values():
            entry.lose_channel()
        in_flight = [entry for entry in self._unconfirmed.values() if entry.done is not None]
        self._unconfirmed.clear()
        if self._on_replies_lost is not None:
            self._loop.guard.wrapped(self._on_replies_lost)(reason)
        return in_flight

    def _blamed(self, reason: exceptions.ChannelClosedByBroker) -> PendingPublish | None:
        """The message over which the broker closed the channel, where that is certain: it was alone there, or alone in
        being for the exchange that the broker names. Of several for one exchange the first may have been stored before
        somebody deleted that exchange, or took the right to write to it."""
        in_flight = list(self._unconfirmed.values())
        named = _NAMED_EXCHANGE.search(reason.reply_text)
        if len(in_flight) > 1 and named is not None:
            in_flight = [entry for entry in in_flight if entry.outgoing.exchange == named[1]]
        return in_flight[0] if len(in_flight) == 1 else None

    def set_blocked(self, reason: str | None) -> None:
        """The broker reads nothing from the connection, in its words; None where it reads."""
        if reason == self._blocked:
            return
        self._blocked = reason
        if self.told_blocked is not None:
            self.told_blocked(reason)
        if reason is None:
            self._drain()

    def _sweep_soon(self) -> None:
        if not self._sweeping:
            self._sweeping = True
            self._loop.call_later(SWEEP, self._sweep_or_again)

    def _sweep(self) -> None:
        now = monotonic()
        for entry in [e for e in (*self._suspects, *self._waiting) if e.deadline <= now]:
            entry.finish(self._overdue(entry))
        for entry in [e for e in self._unconfirmed.values() if e.deadline <= now and e.done is not None]:
            entry.finish(self._overdue(entry))
        self._suspects = deque(e for e in self._suspects if e.done is not None)
        self._waiting = deque(e for e in self._waiting if e.done is not None)
        self._sweeping = not self.is_empty
        if self._sweeping:
            self._loop.call_later(SWEEP, self._sweep_or_again)

    def _sweep_again(self) -> None:
        self._loop.call_later(SWEEP, self._sweep_or_again)

    def _overdue(self, entry: PendingPublish) -> BrokerError:
        doubt = "; the message may be stored all the same" if entry.written or entry.in_doubt else ""
        if self._blocked is not None:
            return ConnectionBlocked(f"the broker blocks publishers: {self._blocked}{doubt}")
        if not self._ready:
            trouble = self._connection.trouble
            known = str(trouble) if trouble is not None else f"{self._connection.where} did not answer in time"
            return BrokerUnreachable(f"{known}{doubt}")
        return PublishTimeout(f"the broker sent no confirm in time{doubt}", entry.name)
