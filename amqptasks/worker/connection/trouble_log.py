"""What a worker's log says of a broker that it cannot reach: a line for the worker, not for each of its connections."""

from __future__ import annotations

import logging

from amqptasks.errors import BrokerError, is_lasting
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger

logger = get_logger(__name__)

#: Seconds between two lines with the same reason, while a worker starts and once it has run: often enough to be seen at
#: the end of a log, seldom enough not to fill it.
WHILE_STARTING, LATER = 30.0, 60.0

#: Reasons that are remembered. A broker with several addresses has a reason for each.
MOST_REASONS = 100


class TroubleLog:
    """Told of each failed try, and of None once the connections stand. From any thread, one at a time."""

    def __init__(self) -> None:
        self._every = WHILE_STARTING
        self._told: dict[str, float] = {}
        self._since: float | None = None

    def started(self) -> None:
        """The worker has been connected; from now on a line a minute is enough."""
        self._every = LATER

    def tell(self, error: BrokerError | None) -> None:
        """A line with the reason, at its first try and then now and then. An error is logged as one where trying again
        does not mend it."""
        now = monotonic()
        if error is None:
            self._recovered(now)
            return
        if self._since is None:
            self._since = now
        reason = str(error)
        told = self._told.get(reason)
        if told is not None and now - told < self._every:
            return
        if len(self._told) >= MOST_REASONS:
            self._told.clear()
        self._told[reason] = now
        logger.log(
            logging.ERROR if is_lasting(error) else logging.WARNING,
            "cannot reach the broker, and tries again%s: %s",
            f" (for {now - self._since:.0f} s by now)" if now - self._since >= 1 else "",
            reason,
            extra={"action": "broker_unreachable", "seconds": round(now - self._since, 1)},
        )

    def _recovered(self, now: float) -> None:
        if self._since is None:
            return
        logger.info(
            "connected to the broker again, after %.1f s",
            now - self._since,
            extra={"action": "broker_reached", "seconds": round(now - self._since, 1)},
        )
        self._since = None
        self._told.clear()
