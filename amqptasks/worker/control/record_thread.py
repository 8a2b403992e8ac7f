"""Reads records of a stream off the link's thread: whoever wrote a record decides what reading it costs."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

from amqptasks.transport import Link

Value = TypeVar("Value")

#: Reads on the thread; then hears, on the link's thread, what it returned, or what it raised.
_Job = tuple[Callable[[], Value], Callable[[Value | None, Exception | None], None]]


#: Records that are obeyed in one turn of the link: each may have a thousand ids, a millisecond.
MOST_AT_ONCE = 20


class RecordThread(Generic[Value]):
    """One thread, in order: what is asked first is told first. It begins with `start`, and ends with `close`."""

    def __init__(self, link: Link, name: str) -> None:
        self._link = link
        self._jobs: SimpleQueue[_Job[Value] | None] = SimpleQueue()
        self._done: deque[Callable[[], None]] = deque()
        self._telling = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Raises `RuntimeError` where no thread can be had."""
        self._thread.start()

    def ask(self, read: Callable[[], Value], then: Callable[[Value | None, Exception | None], None]) -> None:
        """Call `read` on the thread, and `then` with what it returned or raised on the link's."""
        self._jobs.put((read, then))

    def close(self) -> None:
        """The thread ends after what was asked."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            read, then = job
            value: Value | None = None
            error: Exception | None = None
            try:
                value = read()
            except Exception as raised:
                error = raised
            self._done.append(lambda then=then, value=value, error=error: then(value, error))  # type: ignore[misc]
            if not self._telling:
                self._telling = True
                self._link.call_soon(self._tell)

    def _tell(self) -> None:
        """On the link's thread. Some at a time: the start of a worker may read a stream of thousands."""
        self._telling = False
        for _ in range(min(len(self._done), MOST_AT_ONCE)):
            self._done.popleft()()
        if self._done and not self._telling:
            self._telling = True
            self._link.call_soon(self._tell)
