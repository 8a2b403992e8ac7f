"""Brings records to a result store, on a thread of its own: many at once, in order, and again until it has them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from amqptasks.errors import StoreRefused, StoreUnavailable
from amqptasks.results.record import Record
from amqptasks.results.stores.base import Store
from amqptasks.runtime import forks
from amqptasks.runtime.clock import broker_time, monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.untrusted.numbers import counted

logger = get_logger(__name__)

#: Records, and bytes of them, that are written at once: a transaction of some ten milliseconds.
MOST_AT_ONCE, MOST_BYTES_AT_ONCE = 500, 4 * 2**20

#: Seconds between two tries with a store that is down; doubled up to the second figure.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0

#: Seconds between two rounds that remove what has expired.
CLEAN_EVERY = 60.0

#: Records of states on the way that wait for a store that is down: more, and the oldest is dropped. No task waits for
#: them, and what comes later says more.
MOST_OFFERED = 10_000

#: Called on the writer's thread: None once the record is safe, or why the store will never take it.
Stored = Callable[[StoreRefused | None], None]


class Waiting:
    """A record on its way. `done` is None for one that nobody waits for."""

    __slots__ = ("done", "record", "since", "withdrawn")

    def __init__(self, record: Record, done: Stored | None) -> None:
        self.record = record
        self.done = done
        self.since = monotonic()
        self.withdrawn = False

    def withdraw(self) -> None:
        """Do not write it, where it is not being written. Nobody is told."""
        self.withdrawn = True


class Writer:
    """Of one store in one process. Any thread may call."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changed = threading.Condition(threading.Lock())
        self._waiting: deque[Waiting] = deque()
        self._writing: list[Waiting] = []
        self._offered = 0
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._cleaned = monotonic()
        #: Why the store takes nothing now, since it last took something; None: it takes what comes.
        self.trouble: str | None = None
        forks.in_child(self._forget_all)

    def _forget_all(self) -> None:
        """What waits is the parent's."""
        self.__init__(self._store)  # type: ignore[misc]

    def put(self, record: Record, done: Stored | None = None) -> Waiting:
        """Write it, after those that were put before. With `done` it waits for as long as the store is down."""
        waiting = Waiting(record, done)
        with self._changed:
            self._waiting.append(waiting)
            if done is None:
                self._offered += 1
                if self._offered > MOST_OFFERED:
                    self._drop_oldest()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="amqptasks-store", daemon=True)
                self._thread.start()
            self._changed.notify()
        return waiting

    @property
    def oldest(self) -> float | None:
        """How many seconds the longest wait of a record has lasted; None where none waits."""
        with self._changed:
            first = next(iter(self._writing or self._waiting), None)
        return None if first is None else monotonic() - first.since

    def close(self, timeout: float) -> None:
        """Write what waits, for `timeout` seconds at most, and end the thread."""
        self._closing.set()
        with self._changed:
            thread = self._thread
            self._changed.notify()
        if thread is not None:
            thread.join(timeout)
        left = sum(not waiting.withdrawn for waiting in (*self._waiting, *self._writing))
        if left:
            logger.warning(
                "%s not written to the result store: %s",
                counted(left, "state of a task is", "states of tasks are"),
                self.trouble or "there was no time left",
                extra={"action": "results_dropped"},
            )

    def _drop_oldest(self) -> None:
        for waiting in self._waiting:
            if waiting.done is None and not waiting.withdrawn:
                waiting.withdrawn = True
                self._offered -= 1
                return

    # Its thread

    def _work(self) -> None:
        pause = FIRST_PAUSE
        while True:
            batch = self._next()
            if batch is None:
                return
            if not batch:
                self._clean()
                continue
            try:
                self._write(batch)
            except StoreUnavailable as error:
                self.trouble = str(error)
            except Exception as error:
                logger.exception("the result store fails", extra={"action": "store_failed"})
                self.trouble = f"{type(error).__name__}: {error}"
            if self._writing:
                if self._closing.wait(pause):
                    return
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                pause = FIRST_PAUSE
                if monotonic() - self._cleaned >= CLEAN_EVERY:
                    self._clean()

    def _next(self) -> list[Waiting] | None:
        """What is to be written now; nothing when it is time to clean; None at the end."""
        with self._changed:
            self._writing = [waiting for waiting in self._writing if not waiting.withdrawn]
            size = 0
            while not self._writing:
                while self._waiting and len(self._writing) < MOST_AT_ONCE and size < MOST_BYTES_AT_ONCE:
                    waiting = self._waiting.popleft()
                    if not waiting.withdrawn:
                        self._offered -= waiting.done is None
                        size += waiting.record.size
                        self._writing.append(waiting)
                if self._writing:
                    break
                if self._closing.is_set():
                    return None
                if not self._changed.wait(CLEAN_EVERY):
                    return []
            return list(self._writing)

    def _write(self, batch: list[Waiting]) -> None:
        try:
            self._store.write([waiting.record for waiting in batch])
        except StoreRefused as refused:
            if len(batch) > 1:  # one of them is at fault
                for waiting in batch:
                    self._write([waiting])
                return
            self._told(batch, refused)
        else:
            self._told(batch, None)

    def _told(self, batch: list[Waiting], refused: StoreRefused | None) -> None:
        self.trouble = None
        for waiting in batch:
            with self._changed:
                self._writing.remove(waiting)
            if waiting.done is not None:
                if not waiting.withdrawn:
                    waiting.done(refused)
            elif refused is not None:
                record = waiting.record
                logger.warning("state %s of task %s cannot be stored: %s", record.state, record.id, refused)

    def _clean(self) -> None:
        self._cleaned = monotonic()
        try:
            while self._store.clean(broker_time.now()) and not (self._waiting or self._closing.is_set()):
                pass
        except StoreUnavailable as error:
            logger.warning("what has expired is not removed: %s", error, extra={"action": "store_not_cleaned"})
