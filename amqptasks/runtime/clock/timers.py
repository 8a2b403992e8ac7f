"""Things to do after a time, in order, by our own clock. Not thread-safe."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from amqptasks.runtime.clock import monotonic

#: Cancelled timers that may stay in the heap before they are cleared out, if they are more than half of it.
CANCELLED = 1024


class Timer:
    """One thing to do at `due`, seconds on the monotonic clock. `callback` is None once it was done or cancelled."""

    __slots__ = ("callback", "due", "number")

    def __init__(self, due: float, number: int, callback: Callable[[], None]) -> None:
        self.due = due
        self.number = number
        self.callback: Callable[[], None] | None = callback

    def __lt__(self, other: Timer) -> bool:
        return (self.due, self.number) < (other.due, other.number)


class Timers:
    """The methods have the names that pika's loop calls; see `amqp/wire/pika_internals.py`. Timers that are due at the
    same time are called in the order in which they were set."""

    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._numbers = itertools.count()
        self._cancelled = 0

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` after `delay` seconds. Raises `ValueError` for a negative delay, or none (NaN)."""
        if not delay >= 0:
            raise ValueError(f"a timer cannot be set {delay!r} seconds ahead")
        timer = Timer(monotonic() + delay, next(self._numbers), callback)
        heapq.heappush(self._heap, timer)
        return timer

    def remove_timeout(self, timer: Timer) -> None:
        """Cancel a timer. Does nothing once it was called or cancelled."""
        if timer.callback is not None:
            timer.callback = None
            self._cancelled += 1

    def get_remaining_interval(self) -> float | None:
        """Seconds until the next timer is due; None without any."""
        return max(0.0, self._heap[0].due - monotonic()) if self._heap else None

    def process_timeouts(self) -> None:
        """Call what is due. Timers that are set meanwhile wait for the next call, also those without a delay. An
        exception of a callback leaves the others for the next call."""
        heap = self._heap
        if not heap:
            return
        now, last = monotonic(), next(self._numbers)
        while heap and heap[0].due <= now and heap[0].number < last:
            timer = heapq.heappop(heap)
            callback, timer.callback = timer.callback, None
            if callback is None:
                self._cancelled -= 1
            else:
                callback()
        if self._cancelled > CANCELLED and self._cancelled > len(heap) // 2:
            heap[:] = [timer for timer in heap if timer.callback is not None]
            heapq.heapify(heap)
            self._cancelled = 0

    def close(self) -> None:
        """Forget all timers."""
        self._heap.clear()
