"""Is a queue empty? Ready messages are not all: workers hold some, others wait to be retried or dead-lettered."""

from __future__ import annotations

import re
from dataclasses import dataclass

from amqptasks.management.client import Management

#: Seconds between two figures of a quorum queue: RabbitMQ's `quorum_tick_interval` where nobody changed it.
EVERY = 5.0

#: Seconds that a figure may take beyond that to reach us.
MARGIN = 0.5

#: Totals without statistics: those of classic queues are asked for now, those of quorum queues are as old as their last
#: tick; with statistics both are up to nine seconds old.
_TOTALS = {"disable_stats": "true", "enable_queue_totals": "true", "page": "1", "page_size": "100", "use_regex": "true"}


@dataclass(frozen=True, slots=True)
class Figures:
    """All messages of a queue, in whatever state (ready, unacked, delayed, on their way to be dead-lettered)."""

    type: str
    messages: int


def figures(management: Management, queue: str) -> Figures | None:
    """As the broker has them; None where there is no such queue. Raises `Unanswered`."""
    page = management.request("GET", "queues", management.vhost, query={**_TOTALS, "name": f"^{re.escape(queue)}$"})
    for row in page["items"]:
        if row["name"] == queue:
            kind = str(row.get("type") or row["arguments"].get("x-queue-type") or "classic")
            return Figures(kind.removeprefix("rabbit_").removesuffix("_queue"), int(row.get("messages") or 0))
    return None


class Emptiness:
    """Knows when a queue to which nothing is sent any more is empty for certain.

    Since `since` (seconds on the monotonic clock) its messages have only become fewer. So one figure of zero proves
    it empty, if it was taken after that moment: at once for a classic queue; for a quorum queue when the figure has
    changed since, or when the oldest that it can be is younger.
    """

    def __init__(self, since: float, every: float = EVERY) -> None:
        self._since = since
        self._seen = False
        #: Seconds in which a queue that is empty all the time is proven so.
        self.longest = every + MARGIN

    def proven(self, found: Figures, now: float) -> bool:
        """`found` was read at `now`."""
        if now < self._since:
            return False
        if found.messages:
            self._seen = True
            return False
        return found.type == "classic" or self._seen or now - self._since > self.longest
