"""Reading events: live from the exchange, or from the stream, from any moment on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from queue import Empty, SimpleQueue

from amqptasks.errors import BrokerError
from amqptasks.events.event import Event, events_in
from amqptasks.events.places import EXCHANGE, STREAM
from amqptasks.messages.delivery import Delivery, Lease
from amqptasks.messages.headers import Wrong
from amqptasks.messages.signing import Signing
from amqptasks.streams import Reader, close_all
from amqptasks.streams.liveness import Comparing
from amqptasks.transport import Link, Subscription

#: What a listener's queue is called, before something unique.
LISTENERS = "amqptasks.events"


class _End(Exception):
    """The reading ended; with words where it could not be done."""


class Verifier:
    """Reads messages of events: with `signing`, those whose signature is right, and `skipped` counts the others."""

    def __init__(self, signing: Signing | None = None) -> None:
        self._signing = signing
        self.skipped = 0

    def events_in(self, delivery: Delivery) -> list[Event]:
        """Never raises, whatever was sent."""
        try:
            return events_in(delivery, self._signing)
        except Wrong:
            self.skipped += 1
            return []


def live(link: Link, poll: float | None = None, verifier: Verifier | None = None) -> Iterator[Event | None]:
    """Events as they happen, without end. With `poll`, None every so many seconds in which nothing happens. Raises
    `BrokerError` where the exchange is not there, or may not be listened to."""
    arrived: SimpleQueue[Delivery | _End] = SimpleQueue()
    listener = _Listener(arrived)
    found: list[Subscription] = []
    link.call_soon(lambda: found.append(link.listen(LISTENERS, [(EXCHANGE.name, "#")], listener)))
    try:
        yield from _events(arrived, poll, verifier or Verifier())
    finally:
        link.call_soon(lambda: close_all(found))


def past(
    link: Link,
    since: float,
    *,
    follow: bool = False,
    poll: float | None = None,
    verifier: Verifier | None = None,
) -> Iterator[Event | None]:
    """Events since a moment (seconds since 1970), the oldest first; then with `follow` those that happen. `poll` as of
    `live`. Raises `BrokerError` where the stream cannot be read."""
    arrived: SimpleQueue[Delivery | _End] = SimpleQueue()
    readers: list[Reader] = []

    def ended(trouble: str | None) -> None:
        if trouble is not None or not follow:
            arrived.put(_End(trouble or ""))

    def begin() -> None:
        offset = datetime.fromtimestamp(since, UTC)
        liveness = Comparing() if follow else None
        readers.append(Reader(link, STREAM.name, offset, arrived.put, ended, follow=follow, liveness=liveness))
        readers[0].start()

    link.call_soon(begin)
    try:
        for event in _events(arrived, poll, verifier or Verifier()):
            if event is None or event.get("timestamp", since) >= since:  # a chunk may begin earlier
                yield event
    finally:
        link.call_soon(lambda: close_all(readers))


def _events(arrived: SimpleQueue[Delivery | _End], poll: float | None, verifier: Verifier) -> Iterator[Event | None]:
    while True:
        try:
            said = arrived.get(timeout=poll)
        except Empty:
            yield None
            continue
        if isinstance(said, _End):
            if str(said):
                raise BrokerError(f"the events cannot be read: {said}. Were they ever sent? `worker -E` sends them")
            return
        yield from verifier.events_in(said)


class _Listener:
    def __init__(self, arrived: SimpleQueue[Delivery | _End]) -> None:
        self._arrived = arrived

    def deliveries(self, batch: list[Delivery]) -> None:
        for delivery in batch:
            self._arrived.put(delivery)

    def consuming(self, lease: Lease) -> None: ...

    def lost(self, lease: Lease, reason: str) -> None: ...

    def unavailable(self, queue: str, reason: str) -> None:  # noqa: ARG002 - a listener's signature
        self._arrived.put(_End(reason))
