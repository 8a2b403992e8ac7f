"""A bounded queue and the thread that empties it."""

from __future__ import annotations

import _thread
import contextlib
import itertools
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from amqptasks.runtime.clock import monotonic, pause

#: Items that may wait: some seconds of a worker's fastest tasks, about 15 MB.
MOST_ITEMS = 50_000

#: Bytes of long texts that may wait besides.
MOST_BYTES = 32 * 1024 * 1024

#: Items that are consumed together: enough to make a write worthwhile, few enough to see that the sink goes on.
BATCH = 1000

#: Seconds without progress after which the sink counts as blocked: a full queue then drops at once.
BLOCKED_AFTER = 0.1

#: Where the sink goes on, a full queue makes its caller wait so many times so many seconds for room.
WAITS, WAIT = 5, 0.002

#: Seconds between two looks at whether everything is consumed.
POLL = 0.002


class _Large:
    """An item whose size counts."""

    __slots__ = ("item", "size")

    def __init__(self, item: Any, size: int) -> None:
        self.item = item
        self.size = size


_all: weakref.WeakSet[LogThread] = weakref.WeakSet()


class LogThread:
    """`consume` gets the items in batches, on a thread of its own that starts with the first item. `gather` is how many
    seconds that thread waits after it was woken, so that one batch has many items.

    `put` takes no lock and may be called from the handler of a signal."""

    def __init__(self, name: str, consume: Callable[[list[Any]], None], gather: float = 0.0) -> None:
        self.name = name
        self._consume = consume
        self._gather = gather
        self._most = MOST_ITEMS
        self._reset()
        _all.add(self)

    def _reset(self) -> None:
        self._items: deque[Any] = deque()
        self._bytes = 0
        self._idle = False
        self._busy = False
        self._identity = 0
        self._started = False
        self._progress = 0.0
        self._drops = itertools.count(1)
        self.dropped = 0
        self._bell = _thread.allocate_lock()
        self._bell.acquire()

    def put(self, item: Any, size: int = 0) -> bool:
        """Have `item` consumed; False where there is no room for it. `size` is its bytes, where they are many."""
        is_full = len(self._items) >= self._most or (size and self._bytes + size > MOST_BYTES)
        if is_full and not self._has_room(size):
            self.dropped = next(self._drops)
            return False
        if size:
            self._bytes += size
            item = _Large(item, size)
        self._items.append(item)
        if self._idle:
            self._idle = False
            with contextlib.suppress(RuntimeError):  # another thread has just rung
                self._bell.release()
        elif not self._started:
            self._start()
        return True

    def flush(self, timeout: float) -> bool:
        """Wait until everything is consumed; False where that takes longer than `timeout` seconds."""
        deadline = monotonic() + timeout
        while self._items or self._busy:
            if not self._started:
                self._start()
            if monotonic() >= deadline or threading.get_ident() == self._identity:
                return False
            pause(POLL)
        return True

    def _has_room(self, size: int) -> bool:
        """Wait a little, where the sink goes on."""
        for _ in range(WAITS):
            if self._started and monotonic() - self._progress > BLOCKED_AFTER:
                return False
            pause(WAIT)
            if len(self._items) < self._most and self._bytes + size <= MOST_BYTES:
                return True
        return False

    def _start(self) -> None:
        self._started = True
        self._progress = monotonic()
        try:
            threading.Thread(target=self._run, name=self.name, daemon=True).start()
        except RuntimeError:  # no thread can be started now: the next item tries again
            self._started = False

    def _run(self) -> None:
        self._identity = threading.get_ident()
        items = self._items
        while items is self._items:
            if not items:
                self._bytes = 0
                self._busy = False
                self._idle = True
                if not items:  # else one came before it could see that we sleep
                    self._bell.acquire()
                self._idle = False
                if self._gather:
                    pause(self._gather)
                continue
            self._busy = True
            self._progress = monotonic()
            batch = [items.popleft() for _ in range(min(len(items), BATCH))]
            for at, item in enumerate(batch):
                if type(item) is _Large:
                    self._bytes -= item.size
                    batch[at] = item.item
            with contextlib.suppress(Exception):  # `consume` tells of its own faults; this thread must go on
                self._consume(batch)


def _after_fork() -> None:
    """A copy of a process has the items of the other one, and not its thread."""
    for one in list(_all):
        one._reset()


os.register_at_fork(after_in_child=_after_fork)
