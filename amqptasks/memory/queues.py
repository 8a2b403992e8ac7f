"""A queue: takes messages, gives them to its consumers, limits, expires and buries them.

Quorum and classic queues as RabbitMQ 4.3 has them, with two differences: a quorum queue is exact about `x-max-length`
(RabbitMQ lets it overshoot by what is under way), and a dead letter whose target refuses it is tried again every
`dead_letters.RETRY` seconds, not every 180.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from amqptasks.memory import arguments
from amqptasks.memory.dead_letters import Bury, DeadLetters
from amqptasks.memory.messages import Message
from amqptasks.memory.ready import ClassicReady, Entry, QuorumReady, Ready
from amqptasks.transport.entities import Queue, QueueState

if TYPE_CHECKING:
    from amqptasks.memory.clock import Alarm, Clock
    from amqptasks.memory.consumers import Consumer

#: The priority of a message without one: quorum queues from 4.3 on (their range is 0 to 31), and classic ones.
QUORUM_PRIORITY, CLASSIC_PRIORITY = 4, 0


class MemoryQueue:
    """Every method and property needs the broker's lock."""

    def __init__(self, declared: Queue, clock: Clock, bury: Bury, unused: Callable[[], None]) -> None:
        """`bury` publishes a dead letter; `unused` is called once the queue must go (`x-expires`, auto-delete)."""
        self.declared = declared
        self.name = declared.name
        self.settings = arguments.read(declared)
        self._clock = clock
        self._unused = unused
        self._ready: Ready = QuorumReady() if self.settings.quorum else ClassicReady()
        self._bytes = 0
        self._numbers = 0
        self._consumers: deque[Consumer] = deque()  # the next in turn is the first
        self._dead_letters = DeadLetters(self.name, self.settings, clock, bury)
        self._expiry: Alarm | None = None
        self._disuse: Alarm | None = None
        self.is_closed = False
        self.touch()

    @property
    def state(self) -> QueueState:
        return QueueState(len(self._ready), len(self._consumers))

    @property
    def holds(self) -> int:
        """Its ready messages, and the dead letters that it has yet to hand over."""
        return len(self._ready) + len(self._dead_letters)

    def touch(self) -> None:
        """Used or declared again: `x-expires` counts from now."""
        if self._disuse is not None:
            self._disuse.cancel()
        if self.settings.expires is not None and not self._consumers:
            self._disuse = self._clock.at(self._clock.now() + self.settings.expires, self._unused)

    def offer(self, message: Message, *, limited: bool = True) -> bool:
        """Take a message. False: the queue is full and refuses (`reject-publish`), unless not `limited`."""
        if limited and self.settings.reject_publish and self._is_over(1, len(message.body)):
            return False
        now = self._clock.now()
        self._numbers += 1
        self._ready.push(Entry(message, self._numbers, self._priority(message), self._expires_at(message, now)))
        self._bytes += len(message.body)
        self._advance(now)
        return True

    def advance(self) -> None:
        """Something changed: expire, deliver, drop what is too much, and wake up in time for the next expiry."""
        self._advance(self._clock.now())

    def take_back(self, entries: Iterable[Entry], *, failed: bool) -> None:
        """Return delivered messages; `failed` counts towards the delivery limit."""
        if self.is_closed:
            return
        limit = self.settings.delivery_limit
        for entry in entries:
            entry.acquired += 1
            entry.failures += failed
            if limit is not None and entry.failures > limit:
                self._dead_letters.bury(entry, "delivery_limit")
            else:
                self._ready.put_back(entry)
                self._bytes += len(entry.message.body)
        self.advance()

    def discard(self, entry: Entry) -> None:
        """A consumer rejected it for good."""
        if not self.is_closed:
            entry.failures += 1
            self._dead_letters.bury(entry, "rejected")
            self.advance()

    def add_consumer(self, consumer: Consumer) -> None:
        self._consumers.append(consumer)
        self.touch()
        self.advance()

    def remove_consumer(self, consumer: Consumer, returned: Iterable[Entry] = ()) -> None:
        """`returned`: what it held and gives back, before anybody else gets anything."""
        was_there = consumer in self._consumers
        if was_there:
            self._consumers.remove(consumer)
            self.touch()
        self.take_back(returned, failed=True)
        if was_there and self.declared.auto_delete and not self._consumers:
            self._unused()

    def purge(self) -> int:
        self._bytes = 0
        purged = self._ready.clear()
        if self.settings.quorum:
            self._dead_letters.clear()
        return purged

    def close(self) -> None:
        """The queue is deleted: nothing of it may happen any more. Its consumers are told."""
        self.is_closed = True
        self.purge()
        self._dead_letters.clear()
        for alarm in (self._expiry, self._disuse):
            if alarm is not None:
                alarm.cancel()
        for consumer in list(self._consumers):
            consumer.cancel(f"queue '{self.name}' was deleted")

    def _advance(self, now: float) -> None:
        if self.is_closed:
            return
        self._expire(now)
        while len(self._ready) and (consumer := self._next_consumer()) is not None:
            consumer.deliver(self._pop())
            self._expire(now)
        if not self.settings.reject_publish:
            while len(self._ready) and self._is_over(0, 0):
                self._dead_letters.bury(self._pop(), "maxlen")
        self._set_expiry()

    def _expire(self, now: float) -> None:
        for entry in self._ready.pop_expired(now):
            self._bytes -= len(entry.message.body)
            self._dead_letters.bury(entry, "expired")

    def _next_consumer(self) -> Consumer | None:
        """The next in turn with room; it goes to the back. A single active consumer stays at the front."""
        if self.settings.single_active_consumer:
            return self._consumers[0] if self._consumers and self._consumers[0].has_room else None
        for _ in range(len(self._consumers)):
            consumer = self._consumers[0]
            self._consumers.rotate(-1)
            if consumer.has_room:
                return consumer
        return None

    def _pop(self) -> Entry:
        entry = self._ready.pop()
        self._bytes -= len(entry.message.body)
        return entry

    def _is_over(self, more: int, more_bytes: int) -> bool:
        length, size = self.settings.max_length, self.settings.max_length_bytes
        if length is None and size is None:
            return False
        count = len(self._ready) + len(self._dead_letters) + more
        return (length is not None and count > length) or (size is not None and self._bytes + more_bytes > size)

    def _priority(self, message: Message) -> int:
        priority = message.properties.priority
        if priority is None:
            priority = QUORUM_PRIORITY if self.settings.quorum else CLASSIC_PRIORITY
        return min(priority, self.settings.max_priority)

    def _expires_at(self, message: Message, now: float) -> float | None:
        expiration = message.properties.expiration
        own = None if expiration is None else int(expiration) / 1000
        limits = [seconds for seconds in (self.settings.message_ttl, own) if seconds is not None]
        return now + min(limits) if limits else None

    def _set_expiry(self) -> None:
        due = self._ready.next_expiry
        if self._expiry is not None:
            if self._expiry.due == due:
                return
            self._expiry.cancel()
            self._expiry = None
        if due is not None:
            self._expiry = self._clock.at(due, self.advance)
