"""The loop of a link's thread: descriptors, timers, and what other threads ask for. pika's connections run on it, too
(`AbstractSelectorIOLoop` is pika's public interface for loops that it did not make).

It is ours, and not pika's, because of its guard: in pika's a callback that raises loses all others of its turn.
"""

from __future__ import annotations

import heapq
import itertools
import os
import selectors
from collections import deque
from collections.abc import Callable
from typing import Any

from pika.adapters.utils.selector_ioloop_adapter import AbstractSelectorIOLoop

from amqptasks.amqp.wakeup import Wakeup
from amqptasks.runtime.clock import monotonic
from amqptasks.transport import is_taken
from amqptasks.transport.guard import Guard, LinkBroken

#: Seconds between two looks whether the descriptors are still what they were; also the longest sleep.
LOOK_EVERY = 2.0

#: Times in a row that the callback of a descriptor may fail: it is called again at once, as the descriptor stays ready.
MOST_IN_A_ROW = 10

#: Cancelled timers that may lie in the heap: when they are more, and more than half of it, it is made anew. A limit of
#: an hour leaves one for an hour after a task of a millisecond.
MOST_CANCELLED = 1024

#: Calls of other threads that are run in one turn: the broker is to be heard in between.
MOST_CALLS = 1000

RING = Wakeup.RING


class Timer:
    """A pending `call_later`."""

    __slots__ = ("_loop", "callback", "due", "number")

    def __init__(self, loop: Loop, due: float, number: int, callback: Callable[[], object]) -> None:
        self._loop = loop
        self.due = due
        self.number = number
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self._loop.remove_timeout(self)

    def __lt__(self, other: Timer) -> bool:
        return (self.due, self.number) < (other.due, other.number)


class Loop(AbstractSelectorIOLoop):
    """All but `call_soon` and `stop` on the thread that calls `start`, or before it."""

    #: Events of a descriptor. An error is told as readiness to read and to write, whichever is waited for.
    READ, WRITE, ERROR = selectors.EVENT_READ, selectors.EVENT_WRITE, 4

    def __init__(self) -> None:
        self.guard = Guard()
        self._selector = selectors.DefaultSelector()
        self._wakeup = Wakeup()
        self._ring = self._wakeup.ring
        self._calls: deque[Callable[[], object]] = deque()
        self._awake = False
        self._over = False
        self._stopping = False
        self._soon: deque[Timer] = deque()  # those without a delay
        self._later: list[Timer] = []
        self._cancelled = 0
        self._numbers = itertools.count()
        self._handlers: dict[int, Callable[[int, int], object]] = {}
        self._failing: dict[int, int] = {}
        self._files: dict[int, tuple[int, int]] = {}
        self._watched(self._selector_descriptor())
        self._selector.register(self._wakeup.descriptor, self.READ)
        self._watched(self._wakeup.descriptor)

    @property
    def descriptors(self) -> list[int]:
        """All that it has: its own, and those that it watches."""
        return list(self._files)

    # From any thread

    def call_soon(self, callback: Callable[[], object]) -> bool:
        """See `transport.Link`."""
        self._calls.append(callback)
        if not self._awake:
            # Two steps of which the second follows for certain: between them no Python function begins, where the
            # handler of a signal could run, and raise.
            try:
                self._awake = True
                self._ring(RING)
            except OSError:  # it rings already, or the loop has ended; a descriptor that was closed is noticed there
                pass
        return not self._over or is_taken(self._calls, callback)

    def add_callback(self, callback: Callable[..., Any]) -> None:
        """pika's name for it."""
        self.call_soon(callback)

    def stop(self) -> None:
        """End with this turn."""
        self._stopping = True
        self.call_soon(_nothing)

    # The loop's thread

    def start(self) -> None:
        """Run until `stop`. Raises what keeps the loop itself from going on: `OSError` for a descriptor that somebody
        closed, `LinkBroken`; never what a callback raised."""
        call, select, handlers = self.guard.call, self._selector.select, self._handlers
        bell, calls = self._wakeup.descriptor, self._calls
        next_look = 0.0
        while not self._stopping:
            for key, events in select(self._pause()):
                descriptor = key.fd
                if descriptor == bell:
                    self._wakeup.hear()
                    continue
                handler = handlers.get(descriptor)
                if handler is None:  # removed by one before it
                    continue
                if call(handler, descriptor, events):
                    if self._failing:
                        self._failing.pop(descriptor, None)
                else:
                    self._count_failure(descriptor)
            if calls:
                self._run_calls()
            self.run_due()
            now = monotonic()
            if now >= next_look:
                next_look = now + LOOK_EVERY
                self._look_at_files()
                self.guard.check()

    def run_due(self) -> None:
        """The timers whose time has come; not those that these set."""
        call, soon, later = self.guard.call, self._soon, self._later
        count = len(soon)
        if later:
            now = monotonic()
            due = []
            while later and later[0].due <= now:
                due.append(heapq.heappop(later))
            for timer in due:
                self._run(timer, call)
        for _ in range(count):
            self._run(soon.popleft(), call)

    def finish(self) -> None:
        """The loop has ended, whatever ended it: run what was handed over before. What comes from now on is told that
        it does not run."""
        self._over = True  # and only then what was handed over before
        while self._calls:
            self._run_calls()

    def close(self) -> None:
        """Once it has ended. What somebody else closed is closed already."""
        for close in (self._selector.close, self._wakeup.close):
            try:
                close()
            except OSError:
                continue
        self._files.clear()  # their numbers are other people's from here on

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Run `callback` in `delay` seconds; with 0 in the next turn."""
        if delay <= 0:
            timer = Timer(self, 0.0, 0, callback)
            self._soon.append(timer)
        else:
            timer = Timer(self, monotonic() + delay, next(self._numbers), callback)
            heapq.heappush(self._later, timer)
        return timer

    def remove_timeout(self, timer: Timer) -> None:
        """Cancel it; nothing where it has run."""
        if timer.callback is None:
            return
        timer.callback = None
        if timer.due:
            self._cancelled += 1
            if self._cancelled > MOST_CANCELLED and self._cancelled > len(self._later) // 2:
                # In place: `run_due` may be under way.
                self._later[:] = [one for one in self._later if one.callback is not None]
                heapq.heapify(self._later)
                self._cancelled = 0

    def add_handler(self, descriptor: int, handler: Callable[[int, int], object], events: int) -> None:
        """Call `handler(descriptor, events)` whenever one of these is there."""
        self._selector.register(descriptor, events & 3)
        self._handlers[descriptor] = handler
        self._watched(descriptor)

    def update_handler(self, descriptor: int, events: int) -> None:
        self._selector.modify(descriptor, events & 3)

    def remove_handler(self, descriptor: int) -> None:
        """Undo `add_handler`, before the file is closed."""
        self._handlers.pop(descriptor, None)
        self._failing.pop(descriptor, None)
        self._files.pop(descriptor, None)
        self._selector.unregister(descriptor)

    def _run(self, timer: Timer, call: Callable[..., bool]) -> None:
        callback, timer.callback = timer.callback, None
        if callback is not None:
            call(callback)
        elif timer.due:
            self._cancelled -= 1

    def _run_calls(self) -> None:
        self._awake = False
        call, calls = self.guard.call, self._calls
        for _ in range(min(len(calls), MOST_CALLS)):
            try:
                callback = calls.popleft()
            except IndexError:  # one was just taken back by who handed it over
                return
            call(callback)

    def _pause(self) -> float:
        if self._soon or self._calls or self._stopping:
            return 0.0
        later = self._later
        if not later:
            return LOOK_EVERY
        return min(LOOK_EVERY, max(0.0, later[0].due - monotonic()))

    def _count_failure(self, descriptor: int) -> None:
        count = self._failing[descriptor] = self._failing.get(descriptor, 0) + 1
        if count >= MOST_IN_A_ROW:
            raise LinkBroken(f"the callback of descriptor {descriptor} failed {MOST_IN_A_ROW} times in a row")

    def _watched(self, descriptor: int | None) -> None:
        if descriptor is not None:
            found = os.fstat(descriptor)
            self._files[descriptor] = (found.st_dev, found.st_ino)

    def _selector_descriptor(self) -> int | None:
        selector: Any = self._selector
        return selector.fileno() if hasattr(selector, "fileno") else None

    def _look_at_files(self) -> None:
        """A descriptor that somebody else closed is never ready again, and its number may be another file by now."""
        for descriptor, known in self._files.items():
            found = os.fstat(descriptor)
            if (found.st_dev, found.st_ino) != known:
                raise LinkBroken(f"descriptor {descriptor} is another file: something in this process closed it")


def _nothing() -> None:
    """Wakes the loop."""
