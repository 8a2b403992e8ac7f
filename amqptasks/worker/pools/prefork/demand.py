"""How many children the demand asks for (autoscale). Link thread only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqptasks.runtime.clock import monotonic
from amqptasks.transport import Link

if TYPE_CHECKING:
    from amqptasks.worker.pools.prefork.pool import PreforkPool

#: Seconds between two looks at the demand, and without any of it, before a child leaves.
GROW_EVERY, IDLE_FOR = 0.5, 30.0


class Demand:
    """Makes `pool` larger and smaller between `least` and `most` children; not at all while `most` is None."""

    def __init__(self, pool: PreforkPool, link: Link, most: int | None, least: int) -> None:
        self._pool = pool
        self._link = link
        self._most, self._least = most, least
        self._looking = False
        self._idle_since = monotonic()

    def bound(self, most: int, least: int) -> None:
        """Follow the demand between these from now on."""
        self._most, self._least = most, least
        self._pool.resize(min(max(self._pool.size, least), most))
        if not self._looking:  # or those that are too many stay until there is more to do
            self._look_later()

    def look(self) -> None:
        """Something was handed out: look soon whether that is too much for the children there are."""
        if self._most is not None and not self._looking and self._pool.has_backlog:
            self._look_later()

    def _look_later(self) -> None:
        self._looking = True
        self._link.call_later(GROW_EVERY, self._follow)

    def _follow(self) -> None:
        """One more child for each look that finds work waiting; one less after a while without."""
        self._looking = False
        pool = self._pool
        if pool.is_stopping or self._most is None:
            return
        now = monotonic()
        if pool.has_backlog or pool.is_busy:
            self._idle_since = now
            if pool.has_backlog and pool.size < self._most:
                pool.resize(pool.size + 1)
        elif now - self._idle_since > IDLE_FOR and pool.size > self._least:
            self._idle_since = now
            pool.resize(pool.size - 1)
        if (pool.size > self._least or pool.has_backlog) and not self._looking:
            self._look_later()
