"""How a reader notices that nothing comes any more, where somebody writes a record every few seconds anyway."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from amqptasks.messages.delivery import Delivery
from amqptasks.runtime.clock import monotonic

if TYPE_CHECKING:
    from amqptasks.streams.reader import Reader

#: Ticks that may be missed.
MISSED_TICKS = 2


class Ticking:
    """Somebody writes a record every `every` seconds: where none comes for longer than `MISSED_TICKS` of them, another
    channel and consumer. Again none: `stuck(times)` is told."""

    def __init__(self, every: float, stuck: Callable[[int], None] | None = None) -> None:
        self.deaf = 0
        self._patience = every * MISSED_TICKS
        self._stuck = stuck
        self._reader: Reader | None = None
        self._missed = 0
        self._last = monotonic()

    def begin(self, reader: Reader) -> None:
        self._reader = reader
        self.heard()
        self._watch()

    def heard(self) -> None:
        self._last = monotonic()
        self._missed = 0

    def is_own(self, delivery: Delivery) -> bool:  # noqa: ARG002 - as of every one
        return False

    def end(self) -> None:
        self._reader = None

    def _watch(self) -> None:
        reader = self._reader
        if reader is None:
            return
        left = self._last + self._patience - monotonic()
        if left <= 0:
            left, self._last = self._patience, monotonic()
            if reader.is_consuming:
                self._missed += 1
                self.deaf += 1
                if self._missed > 1 and self._stuck is not None:
                    self._stuck(self._missed)
                reader.reopen()
        reader.link.call_later(left, self._watch)
