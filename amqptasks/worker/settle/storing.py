"""Records of tasks on their way to the result store of their app. Link thread only; the writing is done elsewhere.

A store that is down holds the tasks that wait for it, unacknowledged, and nothing else: not the link's thread, no place
in a pool, and no other queue. Their queues go on up to their prefetch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from amqptasks.errors import StoreRefused
from amqptasks.results.backend import Backend
from amqptasks.results.record import Record
from amqptasks.results.writer import Waiting
from amqptasks.runtime.log_queue import get_logger
from amqptasks.transport import Link
from amqptasks.untrusted.numbers import counted
from amqptasks.worker.consume.waits import STORE_DOWN, Waits

logger = get_logger(__name__)

#: Seconds that a record waits before the worker says so. A store that is busy takes one.
LATE = 3.0


class Storing:
    """Of one worker. Raises `ConfigurationError` for an address that names no store: no task shall run then."""

    def __init__(self, link: Link, backend: Backend, waits: Waits) -> None:
        self._link = link
        self._waits = waits
        self._writer = backend.writer
        self._stored: deque[tuple[Callable[[StoreRefused | None], None], StoreRefused | None]] = deque()
        self._waking = False
        #: True once it was said that the store is down, until it takes something.
        self.is_down = False

    def store(self, record: Record, done: Callable[[StoreRefused | None], None]) -> Waiting:
        """Have it written. `done` is called once it is safe, or with why it will never be."""
        return self._writer.put(record, lambda refused: self._on_stored(done, refused))

    def offer(self, record: Record) -> None:
        """Have it written, if that goes: nothing waits for it."""
        self._writer.put(record)

    def look(self, waiting: int) -> None:
        """Say that the store is down, and that it is back. Called every second while `waiting` tasks wait for it."""
        writer = self._writer
        oldest = writer.oldest
        if waiting and oldest is not None and oldest >= LATE:
            why = writer.trouble or f"it has not answered for {oldest:.0f} s"
            ended = counted(waiting, "task has ended and waits", "tasks have ended and wait")
            sentence = f"{ended} for the result store: {why}"
            if not self.is_down:
                logger.error("%s", sentence, extra={"action": "store_down"})
            self.is_down = True
            self._waits.begin(STORE_DOWN, sentence)
        elif self.is_down:
            self.is_down = False
            self._waits.end(STORE_DOWN)
            logger.info("the result store takes results again", extra={"action": "store_up"})

    def _on_stored(self, done: Callable[[StoreRefused | None], None], refused: StoreRefused | None) -> None:
        """On the writer's thread: one wake-up of the link for as many as come in the meantime."""
        self._stored.append((done, refused))
        if not self._waking:
            self._waking = True
            self._link.call_soon(self._tell)

    def _tell(self) -> None:
        self._waking = False
        for _ in range(len(self._stored)):
            done, refused = self._stored.popleft()
            done(refused)
