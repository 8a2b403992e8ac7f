"""The end of a stream as it is at a moment."""

from __future__ import annotations

from collections.abc import Callable

from amqptasks.messages.delivery import Delivery, Lease
from amqptasks.streams.position import position_of


class Tail:
    """Listens to the end of the stream as it was: `last` is the highest number seen."""

    def __init__(self, advance: Callable[[], None], lost: Callable[[Tail], None]) -> None:
        self.last: int | None = None
        self.is_consuming = False
        self._advance = advance
        self._lost = lost

    def deliveries(self, batch: list[Delivery]) -> None:
        for delivery in batch:
            delivery.lease.ack(delivery.tag)
            position = position_of(delivery)
            if position is not None:
                self.last = position.offset
        self._advance()

    def consuming(self, lease: Lease) -> None:  # noqa: ARG002 - a listener's signature
        self.is_consuming = True
        self._advance()

    def lost(self, lease: Lease, reason: str) -> None:  # noqa: ARG002 - a listener's signature
        self._lost(self)

    def unavailable(self, queue: str, reason: str) -> None: ...
