"""How a reader notices that nothing comes any more although something was written.

A consumer of a stream on a node that was cut off from its cluster stays deaf after the cut is healed: the broker
cancels nothing, the connection is open, and records that are published over it are confirmed. Another consumer gets all
of them at once. So a reader that hears nothing asks, in one of three ways, and begins anew where the answer says so:

    Comparing   for streams that are kept for long: a second consumer looks whether something follows on the position
    Probing     for those that may write: a record of its own must come back
    Ticking     where somebody writes a record every few seconds anyway, see `ticking`
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol

from amqptasks.errors import BrokerError
from amqptasks.messages.delivery import Delivery, Lease
from amqptasks.messages.outgoing import Outgoing
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.streams.position import Position, position_of
from amqptasks.streams.refusals import is_refusal
from amqptasks.transport import Subscription, Timer

if TYPE_CHECKING:
    from amqptasks.streams.reader import Reader

logger = get_logger(__name__)

#: Seconds between two comparisons, at most; a look costs the broker a channel and mostly one record.
COMPARE_EVERY = 8.0

#: The parts of that which the shortest and the longest pause have: a hundred workers that came together do not look
#: together. A look that the broker has not answered is followed by the next one soon: its node may be cut off, and back
#: in a moment.
SHORTEST_PART, LONGEST_PART, SOON_PART = 0.5, 0.85, 0.15

#: Seconds before the next look where the node answers that it has no replica: it has one within 10 s of its return to
#: the cluster (RabbitMQ 4.3 tries every 10 s to make one). After so many such looks in turn, some 25 s, they become
#: rare again: each is an error in the broker's log.
SERVED_AGAIN, UNSERVED = 0.25, 12

#: Looks without an answer in turn, some 6 s, after which the reader goes to the next of the broker's addresses; and
#: again after twice as many each time, so that nobody wanders for ever through a cluster of which no node answers.
STAYS = 2

#: Seconds that the reader's own consumer gets for a record that a look has found, and seconds in which a look gets what
#: follows on the reader's position. Both come sooner by far, unless the consumer is deaf.
GRACE = 0.5

#: Seconds that a look lasts at most. The broker answers in some milliseconds.
LOOK_WITHIN = 2.0

#: Messages on their way to a look: it mostly needs one.
LOOK_PREFETCH = 10

#: Times that it is looked whether the broker has confirmed the reader's own consumer, before it is asked on another
#: channel: a node that was cut off may leave a question from that time unanswered for half a minute.
UNANSWERED = 3

#: Looks in turn that find no record at the position, after which the stream is taken to be another one. A replica that
#: is behind finds none for a while, too.
EMPTY_LOOKS = 3

#: Seconds of silence after which a probe is written, and seconds in which it must come back.
PROBE_AFTER, PROBE_WITHIN = 10.0, 4.0

#: Seconds in which something must come at all of a stream that holds the probe.
REPLACED_WITHIN = 2.0

Found = Literal["more", "same", "another", "nothing", "refused", "unserved", "unknown"]


class Liveness(Protocol):
    """What watches over a reader. Link thread only."""

    def begin(self, reader: Reader) -> None:
        """The reader begins to read."""

    def heard(self) -> None:
        """Something came."""

    def is_own(self, delivery: Delivery) -> bool:
        """Whether this record was written by the watch: the reader's user need not see it."""

    def end(self) -> None:
        """The reader is closed."""


class Unwatched:
    """For a reader that stops at the end."""

    def begin(self, reader: Reader) -> None: ...

    def heard(self) -> None: ...

    def is_own(self, delivery: Delivery) -> bool:  # noqa: ARG002 - as of every one
        return False

    def end(self) -> None: ...


class Comparing:
    """Looks every `every` seconds at most, with jitter, by a second consumer at the position: it gets the record that
    the reader has applied last, and what follows. `looks` counts, `deaf` too: how often the reader had to begin anew.
    Writes nothing."""

    def __init__(self, every: float = COMPARE_EVERY) -> None:
        self.looks = 0
        self.deaf = 0
        self._every = every
        self._reader: Reader | None = None
        self._look: _Look | None = None
        self._timer: Timer | None = None
        self._empty = 0
        self._unanswered = 0  # looks in turn
        self._unserved = 0

    def begin(self, reader: Reader) -> None:
        self._reader = reader
        self._later()

    def heard(self) -> None: ...

    def is_own(self, delivery: Delivery) -> bool:  # noqa: ARG002 - as of every one
        return False

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._look is not None:
            self._look.close()
        self._reader = None

    def _later(self, pause: float | None = None) -> None:
        if self._reader is not None:
            if pause is None:
                pause = self._every * random.uniform(SHORTEST_PART, LONGEST_PART)
            self._timer = self._reader.link.call_later(pause, self._begin_look)

    def _begin_look(self) -> None:
        reader = self._reader
        if reader is None:
            return
        if not reader.is_consuming:  # it knows by itself that it hears nothing, unless nobody answers it
            self._no_answer(reader)
            if self._unanswered and self._unanswered % UNANSWERED == 0:
                reader.reopen()
            self._later(self._every * SOON_PART)
            return
        if reader.begins_at == "next":  # what it is to hear has no beginning that a look could take
            self._later()
            return
        self.looks += 1
        try:
            self._look = _Look(reader, self._concluded)
        except BrokerError:
            self._later()

    def _concluded(self, found: Found) -> None:
        reader, self._look = self._reader, None
        if reader is None:
            return
        self._empty = self._empty + 1 if found == "nothing" else 0
        self._unserved = self._unserved + 1 if found == "unserved" else 0
        if found in ("unknown", "unserved"):
            self._no_answer(reader)
        else:
            self._unanswered = 0
        if found == "more":
            self.deaf += 1
            reader.reopen()
        elif found == "another" or self._empty >= EMPTY_LOOKS:
            self._empty = 0
            reader.replaced()
        if found == "unserved":
            self._later(SERVED_AGAIN if self._unserved < UNSERVED else None)
        else:
            self._later(self._every * SOON_PART if found == "unknown" else None)

    def _no_answer(self, reader: Reader) -> None:
        """One more. What the broker refuses to this user, or does not have, is an answer: no other node says more."""
        if reader.is_refused:
            self._unanswered = 0
            return
        self._unanswered += 1
        if (
            self._unanswered >= STAYS
            and self._unanswered & (self._unanswered - 1) == 0
            and reader.link.read_elsewhere()
        ):
            logger.warning(
                "stream %s cannot be read over this node: it is read over the next of the broker's addresses",
                reader.stream,
                extra={"action": "stream_read_elsewhere", "stream": reader.stream},
            )


class _Look:
    """One look. `concluded` hears what it found: "more" than the reader has, the "same", "another" record at its
    position, "nothing" although it consumed, "refused" where this user may not read it or nobody has it, "unserved"
    where the node has no replica of it now, or "unknown" without an answer."""

    def __init__(self, reader: Reader, concluded: Callable[[Found], None]) -> None:
        self._reader = reader
        self._concluded = concluded
        self._at: Position | None = reader.position
        self._found: Found = "unknown"
        self._over = False
        self._follows = False
        self._subscription: Subscription = reader.link.read_stream(reader.stream, reader.begins_at, LOOK_PREFETCH, self)
        self._timer = reader.link.call_later(LOOK_WITHIN, self._conclude)

    def close(self) -> None:
        self._over = True
        self._timer.cancel()
        self._subscription.close()

    def deliveries(self, batch: list[Delivery]) -> None:
        for delivery in batch:
            delivery.lease.ack(delivery.tag)
            here = position_of(delivery)
            if here is not None and not self._over:
                self._look_at(here)

    def consuming(self, lease: Lease) -> None:  # noqa: ARG002 - a listener's signature
        self._found = "same" if self._at is None else "nothing"

    def lost(self, lease: Lease, reason: str) -> None:  # noqa: ARG002 - a listener's signature
        self._found = "unknown"

    def unavailable(self, queue: str, reason: str) -> None:  # noqa: ARG002 - a listener's signature
        self._found = "refused" if is_refusal(reason) else "unserved"

    def _look_at(self, here: Position) -> None:
        at = self._at
        if at is not None and here.offset == at.offset:
            self._found = "same" if here.identity == at.identity else "another"
            if self._found == "another":
                self._conclude()
            else:
                self._reader.link.call_later(GRACE, self._conclude_same)
        elif not self._reader_has(here):
            self._follows = True
            self._reader.link.call_later(GRACE, lambda: self._look_again(here))

    def _look_again(self, here: Position) -> None:
        if not self._over:
            self._found = "same" if self._reader_has(here) else "more"
            self._conclude()

    def _conclude_same(self) -> None:
        if not self._follows:  # what follows has a moment of its own
            self._conclude()

    def _reader_has(self, here: Position) -> bool:
        position = self._reader.position
        return position is not None and position.offset >= here.offset

    def _conclude(self) -> None:
        if not self._over:
            self.close()
            self._concluded(self._found)


class Probing:
    """After `after` seconds of silence, writes what `probe(id)` makes, a record whose message id is `id`, and expects
    it back within `within` seconds. Not back: another channel and consumer. Again not: `stuck(times)` is told, so that
    who owns the link may lead it to another node."""

    def __init__(
        self,
        probe: Callable[[str], Outgoing],
        stuck: Callable[[int], None] | None = None,
        after: float = PROBE_AFTER,
        within: float = PROBE_WITHIN,
    ) -> None:
        self.deaf = 0
        self._probe = probe
        self._stuck = stuck
        self._after = after
        self._within = within
        self._reader: Reader | None = None
        self._prefix = f"probe-{random.getrandbits(64):016x}-"
        self._number = 0
        self._awaited: str | None = None
        self._missed = 0
        self._last = monotonic()

    def begin(self, reader: Reader) -> None:
        self._reader = reader
        self._watch()

    def heard(self) -> None:
        self._last = monotonic()

    def is_own(self, delivery: Delivery) -> bool:
        identity = delivery.properties.message_id
        if identity is None or not identity.startswith(self._prefix):
            return False
        if identity == self._awaited:
            self._awaited, self._missed = None, 0
        return True

    def end(self) -> None:
        self._reader = None

    def _watch(self) -> None:
        reader = self._reader
        if reader is None:
            return
        silent = monotonic() - self._last
        if silent < self._after or not reader.is_consuming:
            reader.link.call_later(max(0.05, self._after - silent), self._watch)
            return
        self._number += 1
        identity = self._awaited = f"{self._prefix}{self._number}"
        reader.link.publish(self._probe(identity), lambda error: self._published(identity, error), self._within)

    def _published(self, identity: str, error: BaseException | None) -> None:
        reader = self._reader
        if reader is None:
            return
        if error is not None:  # it says nothing of the reader
            self._awaited = None
            self._begin_again()
        else:
            reader.link.call_later(self._within, lambda: self._judge(identity))

    def _judge(self, identity: str) -> None:
        reader = self._reader
        if reader is None:
            return
        if self._awaited != identity:
            self._watch()
            return
        self._awaited = None
        self._missed += 1
        self.deaf += 1
        if self._missed > 1 and self._stuck is not None:
            self._stuck(self._missed)
        reader.reopen()
        before = reader.position
        reader.link.call_later(REPLACED_WITHIN, lambda: self._judge_silence(before))
        self._begin_again()

    def _judge_silence(self, before: Position | None) -> None:
        """The probe is in the stream for certain. Nothing at all came of a new consumer at the position: the stream
        ends before it."""
        reader = self._reader
        if reader is not None and before is not None and reader.is_waiting_at(before):
            reader.replaced()

    def _begin_again(self) -> None:
        self._last = monotonic()
        self._watch()
