"""What leaves a queue without being acked, on its way to the dead-letter exchange."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from amqptasks.memory.messages import Message, Reason

if TYPE_CHECKING:
    from amqptasks.memory.arguments import Settings
    from amqptasks.memory.clock import Alarm, Clock
    from amqptasks.memory.ready import Entry

#: Seconds until a dead letter that its target refused is tried again. RabbitMQ takes 180 (its
#: `dead_letter_worker_publisher_confirm_timeout`); a unit test cannot wait for that.
RETRY = 0.5

#: Dead letters of one queue that may wait for their targets; all behind them wait too, as on RabbitMQ
#: (`dead_letter_worker_consumer_prefetch`).
SLOTS = 32


@dataclass(slots=True)
class DeadLettered:
    """`taken`: the queues that have it already; they do not get it again."""

    message: Message
    at_least_once: bool
    taken: set[str] = field(default_factory=set)


#: Publish a dead letter; False: some queue refused it, or there is none.
Bury = Callable[[DeadLettered], bool]


class DeadLetters:
    """Of one queue. At most once: published and forgotten. At least once: kept until every target has taken it."""

    def __init__(self, queue: str, settings: Settings, clock: Clock, bury: Bury) -> None:
        self._queue = queue
        self._settings = settings
        self._clock = clock
        self._bury = bury
        self._waiting: deque[DeadLettered] = deque()
        self._refused: deque[DeadLettered] = deque()
        self._retry: Alarm | None = None

    def __len__(self) -> int:
        return len(self._waiting) + len(self._refused)

    def bury(self, entry: Entry, reason: Reason) -> None:
        """Send it to the dead-letter exchange; without one it is gone."""
        settings = self._settings
        if settings.dead_letter_exchange is None:
            return
        message = entry.message.dead(
            self._queue, reason, entry.failures, settings.dead_letter_exchange, settings.dead_letter_routing_key
        )
        letter = DeadLettered(message, settings.at_least_once)
        if settings.at_least_once:
            self._waiting.append(letter)
            self._send()
        else:
            self._bury(letter)

    def clear(self) -> None:
        self._waiting.clear()
        self._refused.clear()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _send(self) -> None:
        while self._waiting and len(self._refused) < SLOTS:
            letter = self._waiting.popleft()
            if not self._bury(letter):
                self._refused.append(letter)
        if self._refused and self._retry is None:
            self._retry = self._clock.at(self._clock.now() + RETRY, self._send_again)

    def _send_again(self) -> None:
        self._retry = None
        self._waiting.extendleft(reversed(self._refused))
        self._refused.clear()
        self._send()
