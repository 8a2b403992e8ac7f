"""Things to do at a time: one daemon thread a broker, started with the first alarm, asleep until the next; or, for a
simulation, no thread and a time that jumps from one alarm to the next."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable

from amqptasks.runtime.clock import monotonic


class Alarm:
    """One thing to do at `due` on its clock, unless cancelled before."""

    __slots__ = ("action", "due", "number")

    def __init__(self, due: float, number: int, action: Callable[[], object]) -> None:
        self.due = due
        self.number = number
        self.action: Callable[[], object] | None = action

    def cancel(self) -> None:
        self.action = None

    def __lt__(self, other: Alarm) -> bool:
        return (self.due, self.number) < (other.due, other.number)


class Alarms:
    """A heap of alarms, those of one time in the order they were set. Not thread-safe."""

    def __init__(self) -> None:
        self._heap: list[Alarm] = []
        self._numbers = itertools.count()

    def set(self, due: float, action: Callable[[], object]) -> Alarm:
        alarm = Alarm(due, next(self._numbers), action)
        heapq.heappush(self._heap, alarm)
        return alarm

    @property
    def next_due(self) -> float | None:
        while self._heap and self._heap[0].action is None:
            heapq.heappop(self._heap)
        return self._heap[0].due if self._heap else None

    def take_due(self, now: float) -> list[Alarm]:
        due: list[Alarm] = []
        while self._heap and self._heap[0].due <= now:
            due.append(heapq.heappop(self._heap))
        return due


class Clock:
    """Calls actions on its own thread while holding `lock`, so that they may change what the lock guards."""

    def __init__(self, lock: threading.RLock) -> None:
        self._changed = threading.Condition(lock)
        self._alarms = Alarms()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def now(self) -> float:
        """Seconds, from a beginning that means nothing."""
        return monotonic()

    def at(self, due: float, action: Callable[[], object]) -> Alarm:
        """Run `action` at `due`, seconds on this clock. The lock must be held."""
        earliest = self._alarms.next_due
        alarm = self._alarms.set(due, action)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="amqptasks-memory-clock", daemon=True)
            self._thread.start()
        elif earliest is None or due < earliest:
            self._changed.notify()
        return alarm

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while not self._stopped:
                due = self._alarms.next_due
                self._changed.wait(None if due is None else max(0.0, due - self.now()))
                for alarm in self._alarms.take_due(self.now()):
                    if alarm.action is not None:
                        alarm.action()


class VirtualClock(Clock):
    """Stands still until `advance` lets it jump: five minutes take no time, and everything comes in its order."""

    #: Seconds by which a jump goes past an alarm: what expires at a moment has expired after it, as on a real clock.
    PAST = 1e-6

    def __init__(self, lock: threading.RLock) -> None:
        super().__init__(lock)
        self._lock = lock
        self._now = 0.0

    def now(self) -> float:
        return self._now

    def at(self, due: float, action: Callable[[], object]) -> Alarm:
        return self._alarms.set(due, action)

    def advance(self) -> bool:
        """Jump to the next alarm and do what is due; False where there is none."""
        with self._lock:
            due = self._alarms.next_due
            if due is None:
                return False
            self._now = max(self._now, due + self.PAST)
            for alarm in self._alarms.take_due(self._now):
                if alarm.action is not None:
                    alarm.action()
            return True
