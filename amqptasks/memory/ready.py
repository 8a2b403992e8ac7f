"""The ready messages of a queue, in the order in which they leave it: one class for each queue type.

Both were compared with RabbitMQ 4.3. They differ in where a returned message goes and in which messages can expire.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from amqptasks.memory.messages import Message

#: A lane above all priorities (0 to 31): what was returned to a quorum queue leaves it first.
RETURNED = 32


@dataclass(slots=True)
class Entry:
    """A message in one queue. `acquired` and `failures`: how often it was delivered here and came back, and failed.
    `expires_at` on the broker's clock."""

    message: Message
    number: int
    priority: int
    expires_at: float | None
    acquired: int = 0
    failures: int = 0


class Ready(Protocol):
    def __len__(self) -> int: ...

    def push(self, entry: Entry) -> None:
        """A new message."""

    def put_back(self, entry: Entry) -> None:
        """A message that was delivered and comes back."""

    def pop(self) -> Entry:
        """The next to be delivered. There must be one."""

    def pop_expired(self, now: float) -> list[Entry]:
        """Take out what expired before `now`, as far as the queue type looks."""

    @property
    def next_expiry(self) -> float | None:
        """When `pop_expired` will find more."""

    def clear(self) -> int:
        """How many they were."""


class QuorumReady:
    """Strict priorities; what comes back goes before everything, in the order of its return; the head of each
    priority expires, whatever is before it."""

    def __init__(self) -> None:
        self._lanes: dict[int, deque[Entry]] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def push(self, entry: Entry) -> None:
        self._append(entry.priority, entry)

    def put_back(self, entry: Entry) -> None:
        self._append(RETURNED, entry)

    def pop(self) -> Entry:
        return self._pop(max(self._lanes))

    def pop_expired(self, now: float) -> list[Entry]:
        expired: list[Entry] = []
        for priority in list(self._lanes):
            while (lane := self._lanes.get(priority)) and (due := lane[0].expires_at) is not None and due < now:
                expired.append(self._pop(priority))
        return expired

    @property
    def next_expiry(self) -> float | None:
        heads = (lane[0].expires_at for lane in self._lanes.values())
        return min((due for due in heads if due is not None), default=None)

    def clear(self) -> int:
        length, self._length = self._length, 0
        self._lanes.clear()
        return length

    def _append(self, priority: int, entry: Entry) -> None:
        lane = self._lanes.get(priority)
        if lane is None:
            lane = self._lanes[priority] = deque()
        lane.append(entry)
        self._length += 1

    def _pop(self, priority: int) -> Entry:
        lane = self._lanes[priority]
        entry = lane.popleft()
        if not lane:
            del self._lanes[priority]
        self._length -= 1
        return entry


class ClassicReady:
    """Strict priorities; what comes back goes to its old place; only the very next message expires."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Entry]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, entry: Entry) -> None:
        heapq.heappush(self._heap, (-entry.priority, entry.number, entry))

    put_back = push

    def pop(self) -> Entry:
        return heapq.heappop(self._heap)[2]

    def pop_expired(self, now: float) -> list[Entry]:
        expired: list[Entry] = []
        while (due := self.next_expiry) is not None and due < now:
            expired.append(self.pop())
        return expired

    @property
    def next_expiry(self) -> float | None:
        return self._heap[0][2].expires_at if self._heap else None

    def clear(self) -> int:
        length = len(self._heap)
        self._heap.clear()
        return length
