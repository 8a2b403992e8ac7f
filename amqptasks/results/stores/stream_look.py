"""One look-up in one stream of results: up to a probe of its own, which comes behind everything that was there before.

First it reads from the time of the oldest id, less a minute: a task's result comes after its call. Where that gives
nothing of a task, or nothing at all (a clock is ahead of the broker's), it reads from the first record: only then there
is none. A node that does not give the probe back is no answer either.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Any, Literal

from amqptasks.errors import StoreUnavailable
from amqptasks.messages.delivery import Delivery, Lease
from amqptasks.messages.ids import made_at
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.results.record import Record, UnreadableRecord, decode
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.streams import result_streams
from amqptasks.transport import Link, StreamOffset, Subscription

logger = get_logger(__name__)

#: Seconds before an id's time from which on its result is looked for: clocks of publishers and broker may differ.
BEFORE = 60.0

#: Seconds without anything, after which a look from a time begins with the first record instead.
SILENT = 2.0

#: Seconds without anything of a stream that is read from its first record, after which another node is asked, and after
#: as many again nobody.
NO_ANSWER = 5.0

#: Seconds for the confirm of a probe.
CONFIRM_WITHIN = 10.0

#: Messages on their way to a look. With filters few come at all, and a small number is faster.
PREFETCH, PREFETCH_OF_ALL = 50, 200

#: Ids that the broker is asked to filter by, and bytes of them. It passes on a chunk that may hold one of them: of
#: results that were stored some at a time, 60 ids let a sixteenth of the chunks through, 200 a third. All of them stand
#: in one frame, of which RabbitMQ takes 128 KiB.
MOST_FILTERS, MOST_FILTER_BYTES = 200, 30_000

#: Bytes of a character of an id, at most.
BYTES_OF_ONE = 4

#: Records of one task that are looked at. One that tells its progress more often is not read further.
MOST_RECORDS = 10_000


@dataclass(slots=True)
class Event:
    """What the link's thread tells a look: `probe` is confirmed or not, a `record` came, the `end` is reached, or the
    stream is `unavailable`. `reading` is who tells; None for the probe."""

    look: Look
    kind: Literal["probe", "record", "end", "unavailable"]
    what: Any = None
    reading: _Reading | None = None


@dataclass(slots=True)
class Hearing:
    """`at` is when something last came to one of the looks that go on together. They share a connection: while others
    are served, the silence of one says nothing."""

    at: float = 0.0


class _Reading:
    """A consumer of the stream. Link thread only, but for `heard`, which any thread may read."""

    def __init__(self, look: Look, wanted: frozenset[str], probe: str) -> None:
        self._look = look
        self._wanted = wanted
        self._probe = probe
        self._records = 0
        self.heard = monotonic()
        self.subscription: Subscription | None = None
        self.closed = False

    def open(self, link: Link, stream: str, offset: StreamOffset, filters: Sequence[str]) -> None:
        if not self.closed:
            prefetch = PREFETCH if filters else PREFETCH_OF_ALL
            self.subscription = link.read_stream(stream, offset, prefetch, self, filters)

    def close(self) -> None:
        self.closed = True
        if self.subscription is not None:
            self.subscription.close()

    def deliveries(self, batch: list[Delivery]) -> None:
        self.heard = self._look.hearing.at = monotonic()
        for delivery in batch:
            delivery.lease.ack(delivery.tag)
            identity = delivery.properties.message_id
            if delivery.exchange == result_streams.RECORDS.name:
                if identity in self._wanted and self._records < MOST_RECORDS:
                    self._records += 1
                    self._look.events.put(Event(self._look, "record", delivery.body, self))
            elif delivery.exchange == result_streams.PROBES.name and identity == self._probe:
                self._look.events.put(Event(self._look, "end", None, self))

    def consuming(self, lease: Lease) -> None: ...

    def lost(self, lease: Lease, reason: str) -> None: ...

    def unavailable(self, queue: str, reason: str) -> None:
        self._look.events.put(Event(self._look, "unavailable", f"{queue}: {reason}", self))


class Look:
    """For these `ids`, all of the stream behind `key`. One thread uses it; the link's tells it things by `events`."""

    def __init__(
        self, link: Link, key: str, ids: Sequence[str], now: float, events: SimpleQueue[Event], hearing: Hearing
    ) -> None:
        self._link = link
        self._key = key
        self._stream = result_streams.name_of(key)
        self._ids = list(ids)
        self._now = now
        self.events = events
        self.hearing = hearing
        self._probe = uuid.uuid4().hex
        self._reading: _Reading | None = None
        self._records: dict[str, Record] = {}
        self._from_first = False
        self._elsewhere = False
        self._open = set(self._ids)  # of these nothing final is known
        self.is_second = False
        self.over = False
        self.error: Exception | None = None

    def again(self) -> Look:
        """The same once more."""
        look = Look(self._link, self._key, self._ids, self._now, self.events, self.hearing)
        look.is_second = True
        return look

    def found(self) -> dict[str, Record]:
        """What there is of the tasks and has not expired."""
        return {identity: record for identity, record in self._records.items() if not record.is_expired(self._now)}

    def begin(self) -> None:
        """Write the probe."""
        properties = Properties(headers={result_streams.FILTER_VALUE: self._ids[0]}, message_id=self._probe)
        outgoing = Outgoing(result_streams.PROBES.name, self._key, b"", properties)

        def confirmed(error: BaseException | None) -> None:
            self.events.put(Event(self, "probe", error))

        if not self._link.call_soon(lambda: self._link.publish(outgoing, confirmed, CONFIRM_WITHIN)):
            self._fail(StoreUnavailable("the link has stopped"))

    def hear(self, event: Event) -> None:
        """Go on with what the link's thread tells."""
        if self.over or (event.reading is not None and event.reading is not self._reading):
            return
        if event.kind == "probe":
            if event.what is not None:
                self._fail(event.what)
            else:
                self._read(self._begins_at())
        elif event.kind == "record":
            self._take(event.what)
        elif event.kind == "unavailable":
            self._another_node(f"{event.what}")
        elif self._missing() and not self._from_first:
            self._read("first")
        else:
            self.close()

    def check(self) -> None:
        """Called now and then: silence is no answer."""
        if self.over or self._reading is None:
            return
        silent = monotonic() - max(self._reading.heard, self.hearing.at)
        if not self._from_first and silent > SILENT:
            self._read("first")
        elif silent > NO_ANSWER:
            self._another_node(f"{self._stream}: it has not given back a record of this process for {silent:.0f} s")

    def close(self) -> None:
        """Read no more."""
        self.over = True
        if self._reading is not None:
            self._link.call_soon(self._reading.close)

    def _missing(self) -> list[str]:
        return [identity for identity in self._ids if identity not in self._records]

    def _begins_at(self) -> StreamOffset:
        times = [made_at(identity) for identity in self._ids]
        known = [moment for moment in times if moment is not None]
        if len(known) < len(times):
            return "first"
        return datetime.fromtimestamp(max(0.0, min(*known, self._now) - BEFORE), UTC)

    def _read(self, offset: StreamOffset) -> None:
        self._from_first = offset == "first"
        wanted = self._missing() if self._records else self._ids
        is_few = len(wanted) < MOST_FILTERS and sum(map(len, wanted)) < MOST_FILTER_BYTES // BYTES_OF_ONE
        filters = (*wanted, self._ids[0]) if is_few else ()
        if self._reading is not None:
            self._link.call_soon(self._reading.close)
        self._reading = reading = _Reading(self, frozenset(wanted), self._probe)
        self._link.call_soon(lambda: reading.open(self._link, self._stream, offset, filters))

    def _take(self, body: bytes) -> None:
        try:
            record = decode(body)
        except UnreadableRecord as error:
            logger.warning("a record of %s is passed over: %s", self._stream, error)
            return
        known = self._records.get(record.id)
        if record.id not in self._open or (known is not None and not record.replaces(known)):
            return
        self._records[record.id] = record
        if record.final and not record.is_expired(self._now):
            self._open.discard(record.id)
            if not self._open:
                self.close()

    def _another_node(self, why: str) -> None:
        """The stream is not served here, or nothing comes: over the next of the broker's addresses, once."""
        if self._elsewhere:
            self._fail(StoreUnavailable(f"{why}. Whether there is a result is not known"))
            return
        self._elsewhere = True
        self._link.call_soon(self._link.read_elsewhere)
        self._read("first")

    def _fail(self, error: Exception) -> None:
        self.error = error
        self.close()
