"""Reads a stream on a link: from an offset to its end, or along with it, through every kind of break.

A reader goes on AT the last record that it applied, and looks at it again: the same record, and it goes on behind it;
a later one, and records were cut by retention (`Gap`); another one with the same number, and somebody deleted the
stream and made it again (`Replaced`), which is read from its beginning. RabbitMQ says none of this by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from amqptasks.errors import BrokerError
from amqptasks.messages.delivery import Delivery, Lease
from amqptasks.runtime.log_queue import get_logger
from amqptasks.streams.liveness import Liveness, Unwatched
from amqptasks.streams.position import Position, position_of
from amqptasks.streams.refusals import NOT_THERE, REFUSED
from amqptasks.streams.tail import Tail
from amqptasks.transport import Link, StreamOffset, Subscription as LinkSubscription

logger = get_logger(__name__)

#: Messages on their way to a reader: enough that the broker never waits for us. A reader that waits for single records
#: takes 10: a record at a known offset comes after 6.5 ms then, and after 120 ms with 2,000.
PREFETCH = 500

#: Seconds without a message after which a reader that came near the end has reached it: a chunk's messages may arrive
#: in more than one read of the socket.
CHUNK_PAUSE = 0.03

#: Seconds without a message after which a stream is taken to hold nothing (more) for this reader. The broker answers in
#: some milliseconds; on a busy machine in some dozens.
SILENCE = 0.3

#: The same for a stream that is never empty, where neither reader hears anything: somebody emptied it all the same.
EMPTY = 10.0

#: Seconds before a stream is tried again that this user may not read: rights come back by hand.
REFUSED_PAUSE = 10.0


@dataclass(frozen=True, slots=True)
class Gap:
    """Retention has cut records that the reader had not read: it knows `after`, and goes on with `offset`."""

    after: int
    offset: int


@dataclass(frozen=True, slots=True)
class Replaced:
    """The stream is another one than that of `position`: what was built from the old one is void, and the new one is
    read from its beginning."""

    position: Position


class Reader:
    """Reads a stream on a link, and knows when it has come to where the end was when it began.

    `message(delivery)` is called for each record, with the exchange and routing key that it was published with. A
    record for which it raises is skipped and counted (`skipped`). It must return soon: whoever does more with a record
    puts it into a queue. `ended(trouble)` is called once: None at the end, else why the stream cannot be read (it is
    not there, or this user has no right). Otherwise:

    follow         go on reading after the end, and through every kind of break, absence and refusal; `ended` is called
                   again whenever the reader has caught up, or hears why it cannot read. Else stop at the end.
    never_empty    there is something to read for certain: silence is a busy broker, and not the end
    behind()       is called when the reader falls behind, before `ended` says that it has caught up
    position       the last record that was applied before; `offset` is where to begin without one
    prefetch       messages on their way, see `PREFETCH`
    changed(what)  hears of a `Gap` or that the stream was `Replaced`
    liveness       notices that nothing comes any more although something was written

    All on the link's thread.
    """

    def __init__(
        self,
        link: Link,
        stream: str,
        offset: StreamOffset,
        message: Callable[[Delivery], None],
        ended: Callable[[str | None], None],
        *,
        follow: bool = False,
        never_empty: bool = False,
        behind: Callable[[], None] | None = None,
        position: Position | None = None,
        prefetch: int = PREFETCH,
        changed: Callable[[Gap | Replaced], None] | None = None,
        liveness: Liveness | None = None,
    ) -> None:
        self.link = link
        self.stream = stream
        self.position = position
        self.skipped = 0
        self._offset: StreamOffset = offset
        self._message = message
        self._ended = ended
        self._follow = follow
        self._never_empty = never_empty
        self._behind = behind
        self._prefetch = prefetch
        self._changed = changed
        self._liveness = liveness or Unwatched()
        self._subscription: LinkSubscription | None = None
        self._consumer: _Consumer | None = None
        self._expected: Position | None = None  # the record that the next one is compared with
        self._tail = Tail(self._advance, self._tail_lost)
        self._tail_subscription: LinkSubscription | None = None
        self._consuming = False
        self._over = False
        self._troubled = False
        self._refused = False
        self._closed = False
        self._heard = 0  # what came so far, ours and the tail's: unchanged means silence

    @property
    def is_consuming(self) -> bool:
        """Whether the broker has confirmed its consumer, on a channel that is open."""
        return self._consuming and not self._closed

    @property
    def is_refused(self) -> bool:
        """Whether the broker has answered that this user may not read it, or that there is none."""
        return self._refused

    @property
    def begins_at(self) -> StreamOffset:
        """Where another consumer of it begins."""
        return self._offset if self.position is None else self.position.offset

    def is_waiting_at(self, position: Position) -> bool:
        """Whether its consumer has begun at this position, and has not got that record yet."""
        return self._consuming and self._expected == position

    def start(self) -> None:
        """Begin to read."""
        try:
            self._look_at_the_tail()
            self.reopen()
        except BrokerError as error:  # the transport has no streams
            self._end(str(error))
            return
        self._liveness.begin(self)

    def catch_up(self) -> None:
        """Something may have been written that it has not read: `ended` is called again once it has, or cannot."""
        if self._over and not self._closed:
            self._over = False
            self._look_at_the_tail()

    def reopen(self) -> None:
        """Another channel and consumer, at the position."""
        if self._closed:
            return
        if self._subscription is not None:
            self._subscription.close()
        self._consuming = False
        self._expected = self.position
        self._consumer = _Consumer(self)
        self._subscription = self.link.read_stream(self.stream, self.begins_at, self._prefetch, self._consumer)

    def replaced(self) -> None:
        """The stream is another one: begin anew with its first record."""
        position, self.position = self.position, None
        self._offset = "first"
        if position is not None:
            logger.warning(
                "stream %s is another one than before: it is read from its beginning",
                self.stream,
                extra={"action": "stream_replaced", "stream": self.stream},
            )
            if self._changed is not None:
                self._changed(Replaced(position))
        self.reopen()

    def close(self) -> None:
        """Read no more."""
        self._closed = True
        self._liveness.end()
        for subscription in (self._subscription, self._tail_subscription):
            if subscription is not None:
                subscription.close()

    # Its consumer; one that another has taken the place of is not heard any more

    def take(self, consumer: _Consumer, batch: list[Delivery]) -> None:
        for delivery in batch:
            delivery.lease.ack(delivery.tag)
            if consumer is self._consumer and not self._closed:
                self._take(delivery)
        if consumer is self._consumer and not self._closed:
            self._liveness.heard()
            self._advance()

    def begun(self, consumer: _Consumer) -> None:
        if consumer is not self._consumer:
            return
        self._consuming = True
        self._refused = False
        if self._troubled:  # it could not be read for a while
            self._troubled = False
            self._fall_behind()
        self._advance()

    def broken(self, consumer: _Consumer) -> None:
        if consumer is not self._consumer or self._closed:
            return
        was_consuming, self._consuming = self._consuming, False
        if was_consuming:
            self._fall_behind()
        self.reopen()

    def unavailable(self, consumer: _Consumer, reason: str) -> None:
        """A broker that starts has its streams a moment after all else (404 and 406, in other words)."""
        if consumer is not self._consumer or self._closed:
            return
        refused, gone = reason.startswith(REFUSED), NOT_THERE in reason
        self._refused = refused or gone
        if gone and self.position is not None:
            self.replaced()
        if not self._follow or refused or gone:
            self._end(f"{self.stream}: {reason}")
        if refused and self._follow and self._subscription is not None:
            self._subscription.close()
            self.link.call_later(REFUSED_PAUSE, self.reopen)

    def _take(self, delivery: Delivery) -> None:
        here = position_of(delivery)
        if here is None:
            return
        expected = self._expected
        if expected is not None and here.offset >= expected.offset:
            self._expected = None
            if here.offset == expected.offset and here.identity != expected.identity:
                self.replaced()
                return
            if here.offset > expected.offset:
                self._note_gap(Gap(expected.offset, here.offset))
        if self.position is not None and here.offset <= self.position.offset:
            return
        self.position = here
        if self._liveness.is_own(delivery):
            return
        try:
            self._message(delivery)
        except Exception:  # whatever it was, whoever reads the rest must go on
            self.skipped += 1
            if self.skipped & (self.skipped - 1) == 0:  # 1, 2, 4, 8 ...: a stream full of them must not fill the log
                logger.exception(
                    "a record of stream %s is skipped, the %d. so far (offset %d)",
                    self.stream,
                    self.skipped,
                    here.offset,
                    extra={"action": "record_skipped", "stream": self.stream},
                )

    def _note_gap(self, gap: Gap) -> None:
        logger.warning(
            "stream %s: records after offset %d were removed before they were read; the next is %d",
            self.stream,
            gap.after,
            gap.offset,
            extra={"action": "stream_gap", "stream": self.stream},
        )
        if self._changed is not None:
            self._changed(gap)

    def _fall_behind(self) -> None:
        self._over = False
        self._look_at_the_tail()
        if self._behind is not None:
            self._behind()

    def _look_at_the_tail(self) -> None:
        """Where the end is now. By a new consumer each time: one that goes on after a break goes on behind the end that
        it knew, and would tell nothing of another."""
        if self._tail_subscription is not None:
            self._tail_subscription.close()
        self._heard += 1  # what was silence before is none
        self._tail = Tail(self._advance, self._tail_lost)
        self._tail_subscription = self.link.read_stream(self.stream, "last", PREFETCH, self._tail)

    def _tail_lost(self, tail: Tail) -> None:
        if tail is self._tail and not (self._over or self._closed):
            self._look_at_the_tail()

    def _advance(self) -> None:
        if self._over or not (self._consuming and self._tail.is_consuming):
            return
        self._heard += 1
        heard, last = self._heard, self._tail.last
        position = -1 if self.position is None else self.position.offset
        near = last is not None and position >= last
        if near and self._expected is not None and position != last:
            return  # the stream ends before our position: it may be another one, which our liveness finds out
        if not near and last is not None and (self._never_empty or self._offset == "first"):
            return  # the rest is still to come, however long the broker takes
        silence = EMPTY if self._never_empty else SILENCE
        pause = CHUNK_PAUSE if near else silence
        self.link.call_later(pause, lambda: self._end_if_silent_since(heard))

    def _end_if_silent_since(self, heard: int) -> None:
        if heard == self._heard:
            self._end(None)

    def _end(self, trouble: str | None) -> None:
        if self._over:
            return
        self._over = True
        self._troubled = trouble is not None
        if self._tail_subscription is not None:
            self._tail_subscription.close()
        if not self._follow:
            self.close()
        self._ended(trouble)


class _Consumer:
    """One consumer of a reader. A reader has several in its life, and an old one may still have something to say."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def deliveries(self, batch: list[Delivery]) -> None:
        self._reader.take(self, batch)

    def consuming(self, lease: Lease) -> None:  # noqa: ARG002 - a listener's signature
        self._reader.begun(self)

    def lost(self, lease: Lease, reason: str) -> None:  # noqa: ARG002 - a listener's signature
        self._reader.broken(self)

    def unavailable(self, queue: str, reason: str) -> None:  # noqa: ARG002 - a listener's signature
        self._reader.unavailable(self, reason)


def close_all(readers: Iterable[Reader | LinkSubscription]) -> None:
    """Read no more with any of them. Link thread only."""
    for reader in readers:
        reader.close()
