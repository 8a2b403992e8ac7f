"""Sends events, without ever holding anything up: several in a message, few messages under way, and when the broker
does not keep up, events are dropped and counted. A task never waits for an event."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from amqptasks.errors import AccessRefused, BrokerError, ConfigurationError, PublishRejected
from amqptasks.events import event
from amqptasks.events.event import Event
from amqptasks.messages.signing import Signing
from amqptasks.runtime.clock import monotonic, pause
from amqptasks.runtime.log_queue import get_logger
from amqptasks.transport import Done, Link
from amqptasks.untrusted.numbers import counted

logger = get_logger(__name__)

#: Seconds that an event waits for others to travel with.
GATHER = 0.2

#: Events that wait to be sent, at most: some MB. What comes on top is dropped.
MOST_WAITING = 10_000

#: Events in one message; bodies stay below some 100 kB.
BATCH = 200

#: Messages under way: what a broker that is slow to confirm has of ours.
MOST_UNDER_WAY = 4

#: Seconds for the broker to confirm a message of events.
PUBLISH_WITHIN = 10.0

#: Seconds in which nothing is sent after the broker refused, so that neither it nor the log is filled with it.
REFUSED_PAUSE = 30.0

#: Seconds between two looks whether all is sent, at the end.
DRAIN_POLL = 0.01

#: Seconds between two lines in the log about dropped events.
COMPLAIN_EVERY = 60.0


class Emitter:
    """`hostname` is in every event. `prepare` makes sure that the broker has the place for events; it may block and
    raise a `BrokerError`, and runs in a thread of its own, before the first event and again after a refusal.
    With `signing`, every message of events is signed. Any thread emits, all else happens on the link's."""

    def __init__(self, link: Link, hostname: str, prepare: Callable[[], None], signing: Signing | None = None) -> None:
        self._link = link
        self._hostname = hostname
        self._prepare = prepare
        self._signing = signing
        self._waiting: deque[Event] = deque()
        self._under_way = 0
        self._awake = False
        self._prepared = False
        self._preparing = False
        self._complained = False
        self.is_on = True
        self.sent = 0
        self.dropped = 0

    def emit(self, kind: str, **fields: Any) -> None:
        """Send an event of this kind soon; never raises, never waits."""
        if not self.is_on:
            return
        if len(self._waiting) >= MOST_WAITING:
            self.dropped += 1
            return
        self._waiting.append(event.new(kind, self._hostname, fields))
        if not self._awake:
            self._awake = True
            self._link.call_soon(self._wait)

    def drain(self, timeout: float) -> None:
        """Wait until all is sent, `timeout` seconds at most. Any thread but the link's."""
        deadline = monotonic() + timeout
        self._link.call_soon(self.flush)
        while (self._waiting or self._under_way) and self.is_on and monotonic() < deadline:
            pause(DRAIN_POLL)

    def flush(self) -> None:
        """Send what waits now. Link thread only."""
        if not self._prepared:
            self._prepare_soon()
        while self._waiting and self._under_way < MOST_UNDER_WAY and self._prepared:
            batch = self._next_batch()
            try:
                message = event.outgoing(batch, self._signing)
            except (TypeError, ValueError, RecursionError, ConfigurationError) as error:
                logger.warning("an event cannot be sent: %s", error, extra={"action": "event_unsendable"})
                self.dropped += len(batch)
                continue
            self._under_way += 1
            self._link.publish(message, self._done(len(batch)), PUBLISH_WITHIN)

    def _wait(self) -> None:
        self._link.call_later(GATHER, self._gathered)

    def _gathered(self) -> None:
        self._awake = False
        self.flush()
        if self.dropped and not self._complained:
            self._complained = True
            logger.warning(
                "%s dropped so far",
                counted(self.dropped, "event was", "events were"),
                extra={"action": "events_dropped"},
            )
            self._link.call_later(COMPLAIN_EVERY, self._may_complain)

    def _next_batch(self) -> list[Event]:
        """Task events together; a worker's alone, for its routing key."""
        waiting = self._waiting
        batch = [waiting.popleft()]
        if not batch[0]["type"].startswith("task-"):
            return batch
        while waiting and len(batch) < BATCH and waiting[0]["type"].startswith("task-"):
            batch.append(waiting.popleft())
        return batch

    def _done(self, size: int) -> Done:
        return lambda error: self._sent(error, size)

    def _sent(self, error: BaseException | None, size: int) -> None:
        self._under_way -= 1
        if error is None:
            self.sent += size
        else:
            self.dropped += size
            if isinstance(error, PublishRejected) and self._prepared:
                self._prepared, self._preparing = False, True
                logger.warning("the broker refuses events: %s", error, extra={"action": "events_refused"})
                self._link.call_later(REFUSED_PAUSE, self._prepare_again)
                return
        self.flush()

    def _prepare_soon(self) -> None:
        if not self._preparing and self.is_on:
            self._preparing = True
            threading.Thread(target=self._prepare_now, name="amqptasks-events", daemon=True).start()

    def _prepare_again(self) -> None:
        self._preparing = False
        self._prepare_soon()

    def _prepare_now(self) -> None:
        try:
            self._prepare()
        except AccessRefused as refused:
            self.is_on = False
            self._waiting.clear()
            logger.warning("no events: %s. Give this user the rights on `amqptasks.*`", refused)
        except BrokerError as error:
            logger.warning("events wait for the broker: %s", error, extra={"action": "events_wait"})
            self._link.call_soon(self._try_later)
        else:
            self._link.call_soon(self._begin)

    def _try_later(self) -> None:
        self._link.call_later(REFUSED_PAUSE, self._prepare_again)

    def _begin(self) -> None:
        self._prepared, self._preparing = True, False
        self.flush()

    def _may_complain(self) -> None:
        self._complained = False
