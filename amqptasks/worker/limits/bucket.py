"""A token bucket that gives out the tokens to come, too: each throttled task is told when its own is due.

So a hundred tasks over a rate come back one token apart, in their order, and not all at once. A token that nobody
fetches in time (its task went to another worker) is for whoever comes next. Nothing is kept but four numbers.
"""

from __future__ import annotations

from collections.abc import Callable

from amqptasks.options.rates import Rate
from amqptasks.runtime.clock import monotonic

#: Seconds that a token is kept for the task it was promised to: what the delay ladder may be late on a busy broker.
#: Also how much of a rate can be saved up: a second's worth, one token at least.
KEPT = 1.0

#: Seconds ahead for which tokens are promised. A task that would wait longer comes back then to ask again, so a rate
#: that is changed meanwhile counts for it; the tokens of longer ago are all used by then, so the order stays.
AHEAD = 900.0

#: Seconds: floating point and two clocks are this close.
ALIKE = 0.001


class Bucket:
    """Holds to one rate. It holds one token when it is full, as Celery's does: no bursts."""

    def __init__(self, rate: Rate, ahead: float = AHEAD, clock: Callable[[], float] = monotonic) -> None:
        self.rate = rate
        self._ahead = ahead
        self._interval = rate.interval
        self._clock = clock
        self._next = clock()  # when the first token is due that nobody was promised
        self._promised = 0  # those just before it
        self._spare = 0  # due, promised and not fetched

    def take(self, *, came_back: bool) -> float:
        """0 with a token; else the seconds until the one that is promised now, to whoever comes back for it then
        (`came_back`)."""
        now = self._clock()
        self._spare_those_before(now - KEPT)
        if came_back and self._promised and self._oldest <= now + ALIKE:
            self._promised -= 1
            return 0.0
        if self._spare:
            self._spare -= 1
            return 0.0
        if self._next <= now:
            if self._next < now:  # those promised do not stand just before the next one any more
                self._keep(self._promised)
                self._promised = 0
            self._next = now + self._interval
            return 0.0
        wait = self._next - now
        if wait > self._ahead:
            return self._ahead
        self._next += self._interval
        self._promised += 1
        return wait

    def give_back(self) -> None:
        """A token that was taken and not used."""
        self._keep(1)

    def _spare_those_before(self, moment: float) -> None:
        if self._promised and self._oldest <= moment:
            late = min(self._promised, int((moment - self._oldest) / self._interval) + 1)
            self._promised -= late
            self._keep(late)

    @property
    def _oldest(self) -> float:
        """When the oldest token is due that is promised."""
        return self._next - self._promised * self._interval

    def _keep(self, tokens: int) -> None:
        self._spare = min(self._spare + tokens, max(1, int(KEPT / self._interval)))
