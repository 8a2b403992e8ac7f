"""A link on which nothing happens but what the test says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amqptasks.messages.delivery import SETTLED, Delivery
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.transport import STREAM_OFFSET, Done, StreamOffset


def record(number: int, identity: str | None = None, body: bytes = b"", exchange: str = "") -> Delivery:
    """A record of a stream, with the message id `identity`, or one that belongs to its number."""
    properties = Properties(headers={STREAM_OFFSET: number}, message_id=identity or f"id-{number}")
    return Delivery("log", 1, exchange, "key", False, properties, body, SETTLED)


class Consumer:
    """One subscription of the reader, played by the test."""

    def __init__(self, offset: StreamOffset, prefetch: int, listener: Any) -> None:
        self.offset = offset
        self.prefetch = prefetch
        self.listener = listener
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True

    def begin(self) -> None:
        self.listener.consuming(SETTLED)

    def get(self, *numbers: int) -> None:
        self.listener.deliveries([record(number) for number in numbers])

    def deliver(self, *records: Delivery) -> None:
        self.listener.deliveries(list(records))

    def break_off(self) -> None:
        self.listener.lost(SETTLED, "cut")


class Timer:
    def __init__(self, delay: float, callback: Callable[[], None]) -> None:
        self.delay = delay
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class StillLink:
    """`pass_time` lets timers ring."""

    def __init__(self) -> None:
        self.consumers: list[Consumer] = []
        self.timers: list[Timer] = []
        self.moves = 0
        self.published: list[tuple[Outgoing, Done]] = []

    def read_stream(self, _queue: str, offset: StreamOffset, prefetch: int, listener: Any) -> Consumer:
        self.consumers.append(Consumer(offset, prefetch, listener))
        return self.consumers[-1]

    def read_elsewhere(self) -> bool:
        self.moves += 1
        return True

    def publish(self, outgoing: Outgoing, done: Done, _timeout: float) -> None:
        self.published.append((outgoing, done))

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(delay, callback))
        return self.timers[-1]

    def pass_time(self, seconds: float = 1.0) -> None:
        """Let every timer ring that is due within so many seconds."""
        timers, self.timers = self.timers, []
        for timer in timers:
            if timer.is_cancelled:
                continue
            if timer.delay <= seconds:
                timer.callback()
            else:
                self.timers.append(timer)
