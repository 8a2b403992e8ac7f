"""Keeps a worker up with the revocations: it reads their stream before the first task, again after a break, and follows
it in between. What does not fit in with them is dropped (`sweep.py`), or waits meanwhile
(`worker/consume/revocation_barrier.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from amqptasks.control import places, revocation
from amqptasks.control.revocation import Revocation
from amqptasks.messages.delivery import Delivery
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.streams import Reader
from amqptasks.streams.liveness import Comparing
from amqptasks.streams.refusals import NOT_THERE
from amqptasks.tasks.outcomes import Outcome, Revoked
from amqptasks.untrusted.bounds import OutOfBounds
from amqptasks.worker.control.record_thread import RecordThread
from amqptasks.worker.control.revocations import Revocations
from amqptasks.worker.control.sweep import Sweep
from amqptasks.worker.process.awaiting import awaited

if TYPE_CHECKING:
    from amqptasks.worker.node import Node

logger = get_logger(__name__)

#: Seconds that a start waits for the revocations, so that they are mostly read before the first delivery. A stream that
#: is full takes some seconds.
WITHIN = 15.0

#: Seconds of catching up after a break that are nobody's concern while no delivery waits for it: it takes some dozens
#: of milliseconds.
CATCHES_UP = 2.0


class RevocationReader:
    """`known` is what it has read. `troubled(reason)` hears why the stream cannot be read, whenever that changes;
    `is_refused()` says whether this user may not use remote control at all."""

    def __init__(self, node: Node, troubled: Callable[[str], None], is_refused: Callable[[], bool]) -> None:
        self.known = Revocations()
        self.sweep = Sweep(node, self.known)
        self.liveness = Comparing()
        self._node = node
        self._troubled = troubled
        self._is_refused = is_refused
        self._read = threading.Event()  # once, as far as that can be
        self._reader: Reader | None = None
        self._is_current = False
        self._since = monotonic()  # when it began to read, or fell behind
        self._trouble: str | None = None
        self._was_readable = False
        self._falls = 0  # how often it fell behind
        self._thread: RecordThread[Revocation | None] = RecordThread(node.link, "amqptasks-revocations")

    def start(self) -> None:
        """Before `begin`. Raises `RuntimeError` where no thread can be had."""
        self._thread.start()

    @property
    def wait(self) -> str | None:
        """Why the worker is not ready, or begins nothing, on account of revocations; None where it knows them all. A
        user without any right to remote control works without them."""
        if self._is_current or self._reader is None:
            return None
        if self._trouble is None:
            at_once = not self._node.dispatcher.barrier.holds and monotonic() - self._since < CATCHES_UP
            return None if at_once else "the revocations are not all read yet, and nothing begins before"
        if not self._was_readable and self._is_refused():
            return None
        return f"the revocations cannot be read ({self._trouble}): see the rights in docs/control.md"

    def wait_until_read(self) -> None:
        """After `begin`, for a while at most: what is not read by then holds up the deliveries. Any thread but the
        link's."""
        if not awaited(self._read, WITHIN, lambda: self._node.told_to_stop) and not self._node.told_to_stop:
            logger.warning(
                "the revocations are not all read yet: no task begins before", extra={"action": "revocations_late"}
            )

    # The link's thread

    def begin(self) -> None:
        """Read them all, and those to come. Does nothing when it is called again."""
        if self._reader is not None:
            return
        self._since = monotonic()
        self._node.dispatcher.barrier.shut()
        self._reader = Reader(
            self._node.link,
            places.REVOKED.name,
            "first",
            self._on_record,
            self._on_end,
            follow=True,
            never_empty=True,
            behind=self._fall_behind,
            liveness=self.liveness,
        )
        self._reader.start()

    def catch_up(self) -> None:
        """The worker has lost a channel, and may have missed one: nothing begins before all are read. Their reader need
        not have lost one: it has none yet where their stream was made after it began."""
        if self._reader is not None and self._was_readable:
            self._fall_behind()
            self._reader.catch_up()

    def close(self) -> None:
        """Follow no more."""
        if self._reader is not None:
            self._reader.close()
        self._thread.close()

    def refusal(self, delivery: Delivery) -> Outcome | None:
        """`Revoked` for what must not run; None for all else."""
        if self.known.is_empty:
            return None
        headers = delivery.properties.headers or {}
        task, task_id = headers.get("task"), headers.get("id")
        if not isinstance(task, str) or not isinstance(task_id, str):
            return None
        reason = self.known.reason(task, task_id, headers)
        return None if reason is None else Revoked(reason)

    def _fall_behind(self) -> None:
        self._falls += 1
        self._is_current, self._since = False, monotonic()
        self._node.dispatcher.barrier.shut()

    def _on_record(self, delivery: Delivery) -> None:
        signing = self._node.app.codec.signing
        self._thread.ask(lambda: revocation.in_record(delivery, signing), self._take)

    def _take(self, found: Revocation | None, error: Exception | None) -> None:
        """Whatever a record holds, those behind it are read."""
        if error is not None:
            self._skip(str(error) if isinstance(error, OutOfBounds) else f"raised {type(error).__name__}", error)
            return
        if found is None:
            return
        try:
            if self._read.is_set():
                self.sweep.record(found)
            else:  # all of the past comes first: what was revoked may be restored later on
                self.known.take(found)
        except Exception as raised:
            self._skip(f"raised {type(raised).__name__}", raised)

    def _skip(self, why: str, error: Exception) -> None:
        """A stream may hold thousands of such records, and each start reads them again: the log tells the first of
        them, and then how many at every tenth power."""
        self.known.skipped += 1
        if str(self.known.skipped).strip("0") == "1":
            logger.warning(
                "a record in %s is skipped, it %s (%d so far)",
                places.REVOKED.name,
                why,
                self.known.skipped,
                exc_info=None if isinstance(error, OutOfBounds) else error,
                extra={"action": "revocation_skipped"},
            )

    def _on_end(self, trouble: str | None) -> None:
        """Behind the records that came before."""
        falls = self._falls
        self._thread.ask(lambda: None, lambda _value, _error: self._ended(trouble, falls))

    def _ended(self, trouble: str | None, falls: int) -> None:
        """It has read all that there was; or it cannot read, and goes on trying. A stream that is gone holds nothing.
        Where this user has lost the right to read it, nothing begins until the right is back; a user who never had it
        works without, and is not ready unless remote control is closed to it altogether."""
        gone = trouble is not None and NOT_THERE in trouble
        before, self._trouble = self._trouble, None if gone else trouble
        if trouble is not None and trouble != before:
            self._troubled(trouble)
        elif before is not None and trouble is None:
            logger.info("the revocations can be read again", extra={"action": "revocations_read"})
        if falls != self._falls:
            return  # it has fallen behind since, and another end comes
        self._is_current = self._trouble is None
        if trouble is None:
            self._was_readable = True
        if not self._read.is_set():
            self._read.set()
            self.sweep.look()
        if self._is_current or not self._was_readable:
            self._node.dispatcher.barrier.open()
