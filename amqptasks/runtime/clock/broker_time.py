"""The broker's clock is the clock: moments that go over the wire are written and judged by it.

The clocks of two machines differ, and a moment written by one (`expires`, `eta`, when a call was made) is judged by
another. So each process learns by how much the broker's clock is ahead of its own (`control/broker_clock.py` asks), and
`now` adds that. While it is not known, `now` is this machine's clock.

There is one offset in a process: an app that speaks to several brokers goes by the one that it asked last.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from amqptasks.runtime.clock import monotonic

#: Seconds by which the wall clock may run away from the monotonic one before somebody must have set it. Time servers
#: move both alike.
STEP = 1.0

#: Seconds of uncertainty up to which the middle counts.
VAGUE = 0.3

#: Seconds of difference from which on it is told, and from which on it is an error. Machines that ask a time server
#: differ by milliseconds; most deadlines are minutes.
TOLD_FROM = 2.0
WRONG_FROM = 30.0


@dataclass(frozen=True, slots=True)
class Measured:
    """The broker's clock is from `low` to `high` seconds ahead of this machine's. `base` is how far the wall clock was
    ahead of the monotonic one then."""

    low: float
    high: float
    base: float

    @property
    def ahead(self) -> float:
        """Seconds; 0 where the clocks may as well agree. While much is uncertain it is the least, so that a task with
        an `eta` is rather late than early."""
        if self.low <= 0 <= self.high:
            return 0.0
        return self.low if self.high - self.low > VAGUE else (self.low + self.high) / 2

    @property
    def least(self) -> float:
        """Seconds by which they differ for certain."""
        return max(self.low, -self.high, 0.0)


class _State:
    measured: Measured | None = None
    ahead = 0.0


_lock = threading.Lock()
_listeners: list[Callable[[float], None]] = []

#: This machine's wall clock, in seconds since 1970.
wall: Callable[[], float] = time.time


def now() -> float:
    """Seconds since 1970 by the broker's clock."""
    return wall() + _State.ahead


def utcnow() -> datetime:
    """Now by the broker's clock."""
    return datetime.fromtimestamp(now(), UTC)


def from_own(moment: datetime) -> datetime:
    """The broker's time at a moment that somebody read from this machine's clock."""
    return moment + timedelta(seconds=_State.ahead) if _State.ahead else moment


def ahead() -> float | None:
    """Seconds by which the broker's clock is ahead of this machine's; None where that is not known."""
    return None if _State.measured is None else _State.ahead


def measured() -> Measured | None:
    """What is known, and how exactly; None where nothing is."""
    return _State.measured


def is_current() -> bool:
    """Whether it is known, and nobody has set this machine's clock since."""
    known = _State.measured
    return known is not None and abs(_base() - known.base) < STEP


def measure(low: float, high: float) -> Measured:
    """The broker's clock is found to be from `low` to `high` seconds ahead. What was known before narrows it down."""
    with _lock:
        found = Measured(low, high, _base())
        known = _State.measured
        if known is not None and is_current() and max(low, known.low) <= min(high, known.high):
            found = Measured(max(low, known.low), min(high, known.high), found.base)
        _State.measured = found
        _moved(found.ahead)
    return found


def inherit(seconds: float | None) -> None:
    """Take over what another process of this machine has learnt."""
    if seconds is not None:
        measure(seconds, seconds)


def forget() -> None:
    """Go by this machine's clock again."""
    with _lock:
        _State.measured = None
        _moved(0.0)


def listen(moved: Callable[[float], None]) -> None:
    """Call `moved` with the seconds ahead whenever they change."""
    _listeners.append(moved)


def _moved(seconds: float) -> None:
    if seconds != _State.ahead:
        _State.ahead = seconds
        for moved in _listeners:
            moved(seconds)


def _base() -> float:
    return wall() - monotonic()
