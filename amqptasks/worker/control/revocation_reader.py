"""Keeps a worker up with the revocations: it reads their stream before the first task, again after a break, and follows
it in between. What does not fit in with them is dropped (`sweep.py`), or waits meanwhile (`worker/gate.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from amqptasks.control import places, revocation
from amqptasks.incoming import Delivery
from amqptasks.log_queue import get_logger
from amqptasks.messages.bounds import OutOfBounds
from amqptasks.streams import Reader
from amqptasks.worker.awaiting import awaited
from amqptasks.worker.control.revocations import Revocations
from amqptasks.worker.control.sweep import Sweep
from amqptasks.worker.outcomes import Outcome, Revoked

if TYPE_CHECKING:
    from amqptasks.worker.node import Node

logger = get_logger(__name__)

#: Seconds that a start, and what comes after a break, waits for the revocations: without them what was revoked would
#: run. A stream that is full takes some seconds; a broker that cannot give it must not keep the worker from working.
WITHIN = 15.0


class RevocationReader:
    """`known` is what it has read. `refused` hears why this user may not read it, where that is so."""

    def __init__(self, node: Node, refused: Callable[[str], None]) -> None:
        self.known = Revocations()
        self.sweep = Sweep(node, self.known)
        self._node = node
        self._refused = refused
        self._read = threading.Event()
        self._reader: Reader | None = None

    def start(self) -> None:
        """Read them all, for a while at most. The link is running; not on its thread."""
        self._node.link.call_soon(self._begin)
        if not awaited(self._read, WITHIN, lambda: self._node.told_to_stop) and not self._node.told_to_stop:
            logger.warning(
                "the revocations are not all read yet: starting without the rest", extra={"action": "revocations_late"}
            )

    # The link's thread

    def catch_up(self) -> None:
        """The worker has lost a channel, and may have missed one: nothing begins before all are read. Their reader need
        not have lost one: it has none yet where their stream was made after it began."""
        if self._reader is not None:
            self._shut_gate()
            self._reader.catch_up()

    def close(self) -> None:
        """Follow no more."""
        if self._reader is not None:
            self._reader.close()

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

    def _begin(self) -> None:
        self._reader = Reader(
            self._node.link,
            places.REVOKED.name,
            "first",
            self._on_record,
            self._on_end,
            follow=True,
            never_empty=True,
            behind=self._shut_gate,
        )
        self._reader.start()

    def _shut_gate(self) -> None:
        self._node.intake.gate.shut(WITHIN)

    def _on_record(self, delivery: Delivery) -> None:
        """Whatever a record holds, those behind it are read."""
        try:
            found = revocation.in_record(delivery)
            if found is None:
                return
            if self._read.is_set():
                self.sweep.record(found)
            else:  # all of the past comes first: what was revoked may be restored later on
                self.known.take(found)
        except OutOfBounds as refusal:
            self._skip(str(refusal))
        except Exception as error:
            self._skip(f"raised {type(error).__name__}", error)

    def _skip(self, why: str, error: Exception | None = None) -> None:
        """A stream may hold thousands of such records, and each start reads them again: the log tells the first of
        them, and then how many at every tenth power."""
        self.known.skipped += 1
        if str(self.known.skipped).strip("0") == "1":
            logger.warning(
                "a record in %s is skipped, it %s (%d so far)",
                places.REVOKED.name,
                why,
                self.known.skipped,
                exc_info=error,
                extra={"action": "revocation_skipped"},
            )

    def _on_end(self, trouble: str | None) -> None:
        # Its beginning tells: a virtual host may have any digits in its name.
        if trouble is not None and trouble.startswith(f"{places.REVOKED.name}: 403"):
            self._refused(trouble)
            self.close()
            self._reader = None
        if not self._read.is_set():
            self._read.set()
            self.sweep.look()
        self._node.intake.gate.open()
