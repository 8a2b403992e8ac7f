"""Streams of our own: logs on the broker that everybody can read again, each bounded by age and size.

Written and bound as every queue is, through `amqptasks.queues`. https://www.rabbitmq.com/docs/streams
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from amqptasks.entities import Binding, Exchange, Queue
from amqptasks.errors import AccessRefused, BrokerError, DeclarationConflict
from amqptasks.incoming import Delivery, Lease
from amqptasks.outgoing import QUEUES_EXCHANGE, Outgoing
from amqptasks.properties import Properties
from amqptasks.transport import STREAM_OFFSET, Link, Session, StreamOffset
from amqptasks.transport import Subscription as LinkSubscription

#: Messages on their way to a reader: enough that the broker never waits for us.
PREFETCH = 500

#: Seconds without a message after which a reader that came near the end has reached it: a chunk's messages may arrive
#: in more than one read of the socket.
CHUNK_PAUSE = 0.03

#: What RabbitMQ says of a queue that does not exist, in 404; of one that is only down it says that.
NOT_THERE = "no queue"

#: Seconds without a message after which a stream is taken to hold nothing (more) for this reader. The broker answers in
#: some milliseconds; on a busy machine in some dozens.
SILENCE = 0.3


@dataclass(frozen=True, slots=True)
class Stream:
    """`max_age` is in RabbitMQ's words (`12h`, `30D`), `max_bytes` bounds the whole, `segment_bytes` one of its files:
    retention drops whole files only. `kind` is what its records are; they come through an exchange of that name."""

    name: str
    max_age: str
    max_bytes: int
    segment_bytes: int
    kind: str

    @property
    def queue(self) -> Queue:
        arguments: dict[str, object] = {
            "x-queue-type": "stream",
            "x-max-age": self.max_age,
            "x-max-length-bytes": self.max_bytes,
            "x-stream-max-segment-size-bytes": self.segment_bytes,
        }
        return Queue(self.name, arguments=arguments)

    @property
    def exchange(self) -> Exchange:
        """The exchange that records of this kind come through. Only workers and operators may write to it:
        `amqptasks.queues`, which publishers write to, leads to no stream of ours."""
        return Exchange(f"{self.name}.{self.kind}", "fanout")

    def message(self, body: bytes) -> Outgoing:
        """What to publish for `body` to be at the end of the stream."""
        return Outgoing(self.exchange.name, "", body, Properties(content_type="application/json"))

    def is_own(self, delivery: Delivery) -> bool:
        """Whether a record came through the exchange of its kind. The broker names that exchange, so nobody without
        the right to write there can forge it."""
        return delivery.exchange == self.exchange.name

    @property
    def retired(self) -> Binding:
        """How records came before the stream had an exchange: anybody who may publish tasks could write them."""
        return Binding(QUEUES_EXCHANGE, self.name, self.name)

    def prepare(self, session: Session, exchange: Exchange | None = None) -> None:
        """Make sure that the stream is there, bound to its exchange (or `exchange`, a topic), and out of reach of
        `amqptasks.queues`. A stream that somebody declared with other bounds is taken as it is. Raises `AccessRefused`
        where it is missing and this user may not make it."""
        source = exchange or self.exchange
        try:
            if not session.exchange_exists(source.name):  # a client may have no right to make it
                session.declare_exchange(source)
            with suppress(DeclarationConflict):
                session.declare_queue(self.queue)
            session.bind(Binding(source.name, self.name, "#" if source.type == "topic" else ""))
        except AccessRefused:
            if session.queue_state(self.name) is None:
                raise
            return
        with suppress(AccessRefused):  # `amqptasks declare` does it with more rights
            if session.exchange_exists(QUEUES_EXCHANGE):
                session.unbind(self.retired)


class Reader:
    """Reads a stream on a link, and knows when it has come to where the end was when it began.

    `message(delivery)` is called for each message, `ended(trouble)` once: None at the end, else why the stream cannot
    be read (it is not there, or this user has no right). With `follow` it goes on reading after the end, and through
    every kind of break and absence; else it stops there. `never_empty` says that there is something to read for
    certain: silence is then a busy broker, and not the end. `behind()` is called when a break lets it fall behind;
    `ended` is called once more when it has caught up. All on the link's thread.
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
    ) -> None:
        self._link = link
        self._stream = stream
        self._offset: StreamOffset = offset
        self._message = message
        self._ended = ended
        self._follow = follow
        self._never_empty = never_empty
        self._behind = behind
        self._subscription: LinkSubscription | None = None
        self._tail = _Tail(self._advance, self._tail_lost)
        self._tail_subscription: LinkSubscription | None = None
        self._position = -1
        self._consuming = False
        self._over = False
        self._closed = False
        self._heard = 0  # what came so far, ours and the tail's: unchanged means silence

    def start(self) -> None:
        """Begin to read."""
        try:
            self._look_at_the_tail()
            self._subscription = self._link.read_stream(self._stream, self._offset, PREFETCH, self)
        except BrokerError as error:  # the transport has no streams
            self._end(str(error))

    def catch_up(self) -> None:
        """Something may have been written that it has not read: `ended` is called again once it has, or cannot."""
        if self._over and not self._closed:
            self._over = False
            self._look_at_the_tail()

    def close(self) -> None:
        """Read no more."""
        self._closed = True
        for subscription in (self._subscription, self._tail_subscription):
            if subscription is not None:
                subscription.close()

    def deliveries(self, batch: list[Delivery]) -> None:
        for delivery in batch:
            delivery.lease.ack(delivery.tag)
            number = (delivery.properties.headers or {}).get(STREAM_OFFSET)
            if isinstance(number, int):
                self._position = number
            if not self._closed:
                self._message(delivery)
        self._advance()

    def consuming(self, lease: Lease) -> None:  # noqa: ARG002 - a listener's signature
        self._consuming = True
        self._advance()

    def lost(self, lease: Lease, reason: str) -> None:  # noqa: ARG002 - a listener's signature
        """The subscription goes on by itself, behind what was written meanwhile."""
        was_consuming, self._consuming = self._consuming, False
        if was_consuming and self._behind is not None and not self._closed:
            self._over = False
            self._look_at_the_tail()
            self._behind()

    def unavailable(self, queue: str, reason: str) -> None:
        # A broker that starts has its streams a moment after all else (404 and 406, in other words).
        if not self._follow or reason.startswith("403") or NOT_THERE in reason:
            self._end(f"{queue}: {reason}")

    def _look_at_the_tail(self) -> None:
        """Where the end is now. By a new consumer each time: one that goes on after a break goes on behind the end that
        it knew, and would tell nothing of another."""
        if self._tail_subscription is not None:
            self._tail_subscription.close()
        self._heard += 1  # what was silence before is none
        self._tail = _Tail(self._advance, self._tail_lost)
        self._tail_subscription = self._link.read_stream(self._stream, "last", PREFETCH, self._tail)

    def _tail_lost(self, tail: _Tail) -> None:
        if tail is self._tail and not (self._over or self._closed):
            self._look_at_the_tail()

    def _advance(self) -> None:
        if self._over or not (self._consuming and self._tail.is_consuming):
            return
        self._heard += 1
        heard, last = self._heard, self._tail.last
        near = last is not None and self._position >= last
        if not near and (self._never_empty or (last is not None and self._offset == "first")):
            return  # the rest is still to come, however long the broker takes
        self._link.call_later(CHUNK_PAUSE if near else SILENCE, lambda: self._end_if_silent_since(heard))

    def _end_if_silent_since(self, heard: int) -> None:
        if heard == self._heard:
            self._end(None)

    def _end(self, trouble: str | None) -> None:
        if self._over:
            return
        self._over = True
        if self._tail_subscription is not None:
            self._tail_subscription.close()
        if not self._follow:
            self.close()
        self._ended(trouble)


class _Tail:
    """Listens to the end of the stream as it was: `last` is the highest number seen."""

    def __init__(self, advance: Callable[[], None], lost: Callable[[_Tail], None]) -> None:
        self.last: int | None = None
        self.is_consuming = False
        self._advance = advance
        self._lost = lost

    def deliveries(self, batch: list[Delivery]) -> None:
        for delivery in batch:
            delivery.lease.ack(delivery.tag)
            number = (delivery.properties.headers or {}).get(STREAM_OFFSET)
            if isinstance(number, int):
                self.last = number
        self._advance()

    def consuming(self, lease: Lease) -> None:  # noqa: ARG002 - a listener's signature
        self.is_consuming = True
        self._advance()

    def lost(self, lease: Lease, reason: str) -> None:  # noqa: ARG002 - a listener's signature
        self._lost(self)

    def unavailable(self, queue: str, reason: str) -> None: ...


def close_all(readers: Iterable[Reader | LinkSubscription]) -> None:
    """Read no more with any of them. Link thread only."""
    for reader in readers:
        reader.close()
