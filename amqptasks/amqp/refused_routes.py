"""Routes on which a queue has refused a message, and newer channels for what goes there next.

RabbitMQ 3.10 notes in each channel that a quorum queue is full. Where a policy was the queue's limit, and somebody
deletes it, the queue tells no channel: one that was refused once is refused until it is closed, though the queue has
room. A worker would hold its retries for ever, and each call of a program would raise `Nacked` until that program ends.

Messages in flight and replies keep the first channel open, so it is not replaced. A message for such a route goes over
another channel, and over a newer one where that has refused, too. All releases are treated alike: a channel costs
little, and somebody deletes a limit seldom. Link thread only.
"""

from __future__ import annotations

from amqptasks.amqp.confirmed_publisher import ConfirmedPublisher
from amqptasks.amqp.connection import Connection
from amqptasks.amqp.loop import Loop
from amqptasks.amqp.pending_publish import PendingPublish
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import REPLY_TO
from amqptasks.runtime.clock import monotonic
from amqptasks.transport import Done

#: Seconds between two new channels. A queue that is full for an hour is asked over 3,600 of them.
RENEW_AFTER = 1.0

#: Channels that are no longer written to and still wait for answers. Where none of them comes, no newer one is opened.
MOST_RETIRING = 4

#: Routes that are known. Keys may be made from anything, so there may be any number; beyond this all are forgotten.
MOST_ROUTES = 1000


class RefusedRoutes:
    """Told of each refusal by the publisher of the first channel. See there for the methods of the same names."""

    def __init__(self, loop: Loop, connection: Connection) -> None:
        self._loop = loop
        self._connection = connection
        self._current: ConfirmedPublisher | None = None
        self._retiring: list[ConfirmedPublisher] = []
        self._renewed = 0.0
        self._has_refused = False
        #: Exchange and routing key.
        self.routes: set[tuple[str, str]] = set()

    def __contains__(self, outgoing: Outgoing) -> bool:
        """Not so a message whose reply comes by direct reply-to: RabbitMQ wants it over the channel that consumes the
        replies, and closes any other channel (406)."""
        known = (outgoing.exchange, outgoing.routing_key) in self.routes
        return known and outgoing.properties.reply_to != REPLY_TO

    def refused(self, outgoing: Outgoing) -> None:
        if len(self.routes) >= MOST_ROUTES:
            self.routes.clear()
        self.routes.add((outgoing.exchange, outgoing.routing_key))

    def publish(self, outgoing: Outgoing, done: Done, timeout: float, blocked: str | None) -> PendingPublish:
        """`blocked` as the first channel knows it."""
        now = monotonic()
        current = self._current
        if current is None or (self._has_refused and now - self._renewed >= RENEW_AFTER and self._may_renew()):
            current = self._renew(now)
        current.set_blocked(blocked)
        return current.publish(outgoing, done, timeout)

    @property
    def is_empty(self) -> bool:
        return all(one.is_empty for one in self._publishers)

    def set_blocked(self, reason: str | None) -> None:
        for one in self._publishers:
            one.set_blocked(reason)

    def connection_opened(self) -> None:
        self._connection.on_blocked(self.set_blocked, lambda: self.set_blocked(None))

    def connection_closed(self) -> list[PendingPublish]:
        """All that is not confirmed: the first channel of the next connection takes it."""
        left = [entry for one in self._publishers for entry in one.leave()]
        self._current = None
        self._retiring.clear()
        self.routes.clear()
        return left

    @property
    def _publishers(self) -> list[ConfirmedPublisher]:
        return [*self._retiring, *([self._current] if self._current is not None else ())]

    def _may_renew(self) -> bool:
        self._retiring = [one for one in self._retiring if not one.close_when_empty()]
        return len(self._retiring) < MOST_RETIRING

    def _renew(self, now: float) -> ConfirmedPublisher:
        if self._current is not None and not self._current.close_when_empty():
            self._retiring.append(self._current)
        self._renewed, self._has_refused = now, False
        self._current = publisher = ConfirmedPublisher(self._loop, self._connection, self._on_refused)
        publisher.open_channel()
        return publisher

    def _on_refused(self, _outgoing: Outgoing) -> None:
        self._has_refused = True
