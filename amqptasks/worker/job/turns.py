"""What waits for a pool or for a decision, in a line for each queue.

The lines take turns. So whoever may publish to one queue can fill its line, and the tasks of other queues wait for one
item of that line, and not for all of it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Turns(Generic[Item]):
    """Items by the name of their queue. Each line keeps its order. For any thread."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[Item]] = {}  # those with something in them
        self._turns: deque[str] = deque()  # their queues, the next one first
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return sum(map(len, list(self._lines.values())))

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(self, items: Iterable[tuple[str, Item]]) -> None:
        """Each with its queue, and behind what waits of that queue."""
        with self._lock:
            for queue, item in items:
                self._line(queue).append(item)

    def put_back(self, queue: str, item: Item, *, its_turn: bool = False) -> None:
        """Before what waits of this queue. `its_turn`: the queue keeps the turn in which the item was taken."""
        with self._lock:
            self._line(queue).appendleft(item)
            if its_turn:
                self._turns.remove(queue)
                self._turns.appendleft(queue)

    def take(self) -> tuple[str, Item]:
        """The first of the line whose turn it is, with its queue. Raises `IndexError` where nothing waits."""
        lines, turns = self._lines, self._turns
        with self._lock:
            queue = turns[0]
            line = lines[queue]
            item = line.popleft()
            if not line:
                turns.popleft()
                del lines[queue]
            elif len(turns) > 1:
                turns.rotate(-1)
        return queue, item

    def items(self) -> list[Item]:
        """What waits, one queue after the other."""
        with self._lock:
            return [item for line in self._lines.values() for item in line]

    def take_all(self) -> list[Item]:
        """All of it, one queue after the other."""
        with self._lock:
            taken = [item for line in self._lines.values() for item in line]
            self._lines.clear()
            self._turns.clear()
        return taken

    def remove(self, queue: str, wanted: Callable[[Item], bool]) -> bool:
        """Take out the first of this queue that is wanted. True when it was here."""
        with self._lock:
            line = self._lines.get(queue, deque[Item]())
            found = next((at for at, item in enumerate(line) if wanted(item)), None)
            if found is None:
                return False
            del line[found]
            if not line:
                del self._lines[queue]
                self._turns.remove(queue)
            return True

    def _line(self, queue: str) -> deque[Item]:
        line = self._lines.get(queue)
        if line is None:
            line = self._lines[queue] = deque()
            self._turns.append(queue)
        return line
