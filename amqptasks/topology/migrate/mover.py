"""Moving all that comes to one queue through an exchange to another, confirmed before it is acked."""

from __future__ import annotations

import threading
from collections.abc import Callable

from amqptasks.amqp.link import Link
from amqptasks.errors import (
    AccessRefused,
    BrokerError,
    BrokerUnreachable,
    ConnectionBlocked,
    Nacked,
    PublishTimeout,
)
from amqptasks.messages.delivery import Delivery, Lease
from amqptasks.messages.outgoing import Outgoing
from amqptasks.topology.migrate.message import Fit
from amqptasks.transport import Subscription

#: Messages on their way at once: a quorum queue confirms fastest with about 500.
PREFETCH = 500

#: Bytes of messages on their way at once, for our memory's sake; a broker takes bodies of up to 128 MiB.
BYTES_UNDER_WAY = 64 * 1024 * 1024

#: Seconds for one try to publish.
PUBLISH_TIMEOUT = 30.0

#: Seconds between two tries of a message that is refused; doubled up to the second figure.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0

#: Seconds for the broker to answer a cancel, and for what is held to be settled.
CLOSE_WITHIN = 40.0

#: What passes by itself: a full queue gets room, a leader is elected, a connection comes back.
_PASSING = (Nacked, PublishTimeout, ConnectionBlocked, BrokerUnreachable)


class Mover:
    """From `start` to `close`. Counts may be read from any thread.

    `moved` were confirmed in their new place; `twice` of these will be delivered again in the old one, because the
    connection broke before the ack; `held` are taken and not settled. `refused` is why the latest one had to wait,
    `failure` why one cannot be moved at all: it stays where it was.
    """

    def __init__(self, link: Link, queue: str, fit: Fit, prefetch: int = PREFETCH) -> None:
        self.queue = queue
        self.moved = 0
        self.twice = 0
        self.held = 0
        self.refused: BrokerError | None = None
        self.failure: BrokerError | None = None
        self._link = link
        self._fit = fit
        self._prefetch = prefetch
        self._subscription: Subscription | None = None

    def start(self) -> None:
        self._on_link(self._subscribe)

    def pause(self) -> None:
        """Take nothing more; what is held is still moved."""
        self._on_link(self._pause)

    def resume(self) -> None:
        self._on_link(self._resume)

    def close(self) -> None:
        """Take nothing more, and wait until what is held has been moved. Raises `BrokerUnreachable` where that takes
        too long; the rest goes back to its queue when the connection ends."""
        self._on_link(self._close)
        closed = threading.Event()

        def look() -> None:
            if self._subscription is None or self._subscription.is_closed:
                closed.set()
            else:
                self._link.call_later(0.02, look)

        self._link.call_soon(look)
        if not closed.wait(CLOSE_WITHIN):
            raise BrokerUnreachable(f"queue {self.queue!r}: what was taken could not be settled in {CLOSE_WITHIN:g} s")

    def check(self) -> None:
        """Raises what stands in the way for good."""
        if self.failure is not None:
            raise self.failure

    def _on_link(self, call: Callable[[], None]) -> None:
        done = threading.Event()

        def run() -> None:
            try:
                call()
            finally:
                done.set()

        self._link.call_soon(run)
        done.wait(CLOSE_WITHIN)

    # The link's thread

    def _subscribe(self) -> None:
        # Before the workers: one would take what is to be moved, and hold it as long as its task runs.
        self._subscription = self._link.subscribe_first(self.queue, self._prefetch, self)

    def _pause(self) -> None:
        if self._subscription is not None:
            self._subscription.pause()

    def _resume(self) -> None:
        if self._subscription is not None:
            self._subscription.resume()

    def _close(self) -> None:
        if self._subscription is not None:
            self._subscription.close()

    def deliveries(self, batch: list[Delivery]) -> None:
        for delivery in batch:
            self.held += 1
            self._publish(delivery, self._fit(delivery), FIRST_PAUSE)

    def _publish(self, delivery: Delivery, outgoing: Outgoing, pause: float) -> None:
        self._link.publish(
            outgoing, lambda error: self._published(delivery, outgoing, pause, error), timeout=PUBLISH_TIMEOUT
        )

    def _published(self, delivery: Delivery, outgoing: Outgoing, pause: float, error: BaseException | None) -> None:
        if error is None:
            self.moved += 1
            self.twice += not delivery.lease.alive
            delivery.lease.ack(delivery.tag)
            self.held -= 1
        elif not delivery.lease.alive:  # it is back in its queue, and will come again
            self.held -= 1
        elif isinstance(error, _PASSING):
            self.refused = error
            self._link.call_later(pause, lambda: self._publish(delivery, outgoing, min(2 * pause, LONGEST_PAUSE)))
        else:
            self.failure = error if isinstance(error, BrokerError) else BrokerError(str(error))

    def lost(self, lease: Lease, reason: str) -> None:
        """What was held comes again; a confirm that is still to come is seen in `_published`."""

    def consuming(self, lease: Lease) -> None:
        """Nothing to do: deliveries come by themselves."""

    def unavailable(self, queue: str, reason: str) -> None:
        if reason.startswith("403"):
            self.failure = AccessRefused(f"queue {queue!r} cannot be consumed: {reason}")
