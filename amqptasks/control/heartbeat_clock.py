"""Takes the broker's time from the next heartbeat of a worker: for a process that cannot ask for it itself."""

from __future__ import annotations

from amqptasks.control.broker_clock import PREFIX, tell
from amqptasks.events.places import EXCHANGE
from amqptasks.events.reader import Verifier
from amqptasks.messages.delivery import Delivery, Lease
from amqptasks.messages.signing import Signing
from amqptasks.runtime.clock import broker_time
from amqptasks.transport import Link, Subscription
from amqptasks.untrusted import bounds
from amqptasks.untrusted.bounds import OutOfBounds

#: Seconds that a heartbeat is on its way at most: it waits for other events to travel with.
ON_ITS_WAY = 1.0

#: Bytes of a heartbeat at most. It has some 500; larger ones are passed over, for they are read on the link's thread.
LARGEST = 16 * 1024

#: The routing key of heartbeats.
KEY = "worker.heartbeat"


class HeartbeatClock:
    """Listens on a link until a heartbeat says what time it is at the broker, and then no more. Where this user may not
    listen, it ends. Link thread only."""

    def __init__(self, link: Link, signing: Signing | None = None) -> None:
        self._link = link
        self._verifier = Verifier(signing)
        self._subscription: Subscription | None = None

    def start(self) -> None:
        """Begin to listen."""
        self._subscription = self._link.listen(PREFIX, [(EXCHANGE.name, KEY)], self)

    def deliveries(self, batch: list[Delivery]) -> None:
        for delivery in batch:
            if len(delivery.body) > LARGEST:
                continue
            for event in self._verifier.events_in(delivery):
                try:
                    moment = bounds.moment(event.get("broker_time"))
                except OutOfBounds:
                    continue
                behind = moment - broker_time.wall()
                tell(broker_time.measure(behind, behind + ON_ITS_WAY))
                self._end()
                return

    def consuming(self, lease: Lease) -> None:
        """From now on heartbeats come."""

    def lost(self, lease: Lease, reason: str) -> None:
        """It listens again by itself."""

    def unavailable(self, queue: str, reason: str) -> None:  # noqa: ARG002 - a listener's signature
        if reason.startswith(("403", "404")):
            self._end()

    def _end(self) -> None:
        if self._subscription is not None:
            self._subscription.close()
