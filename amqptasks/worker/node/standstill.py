"""The watchdog of a worker: it holds messages, nothing runs, nothing is settled, and nothing says why.

No fault that is known does that. This is for the unknown ones: a worker that holds its prefetch and does nothing keeps
these messages from all others. A wait that has a name (`worker/consume/waits.py`) is no standstill, however long it
lasts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from amqptasks.runtime.log_queue import get_logger
from amqptasks.untrusted.numbers import counted

if TYPE_CHECKING:
    from amqptasks.worker.node import Node

logger = get_logger(__name__)

#: Seconds between two looks. Looks are counted, not seconds: a process that is stopped, or a machine that sleeps, does
#: not look.
LOOK_EVERY = 1.0

#: Looks after which the worker is not ready, and after which it is given up. A minute is longer than anything takes
#: that the worker does for itself, and shorter than RabbitMQ takes to give the messages to others.
TELL_AFTER, GIVE_UP_AFTER = 6, 60


class Standstill:
    """Of one node. `fail` hears why it stands still, once, on a thread of our own."""

    def __init__(self, node: Node, fail: Callable[[str], None]) -> None:
        self._node = node
        self._fail = fail
        self._over = threading.Event()
        self._asked = self._answered = 0
        self._settled = -1
        self._still = 0  # looks
        self._deaf = 0
        self._why = ""
        self._thread = threading.Thread(target=self._run, name="amqptasks-watchdog", daemon=True)

    @property
    def trouble(self) -> str | None:
        """Why it stands still, once that is to be told; from any thread."""
        if self._deaf >= TELL_AFTER:
            return f"it stands still: the link's thread has not answered for {self._deaf * LOOK_EVERY:.0f} s"
        if self._still >= TELL_AFTER:
            return f"it stands still: {self._why}, for {self._still * LOOK_EVERY:.0f} s"
        return None

    def start(self) -> None:
        """Once the link runs."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; from any thread."""
        self._over.set()

    def _run(self) -> None:
        said = False
        while not self._over.wait(LOOK_EVERY):
            if self._node.is_stopping:
                return
            self._deaf = self._deaf + 1 if self._answered != self._asked else 0
            if not self._deaf:
                self._asked += 1
                self._node.link.call_soon(self._look)
            trouble = self.trouble
            if trouble is not None and not said:
                logger.error("%s", trouble, extra={"action": "standstill"})
            said = trouble is not None
            if trouble is not None and max(self._still, self._deaf) >= GIVE_UP_AFTER:
                self._fail(trouble)
                return

    def _look(self) -> None:
        """On the link's thread."""
        self._answered = self._asked
        node = self._node
        held = sum(queue.unsettled for queue in node.queues.values())
        settled = node.counts.total()
        if not held or settled != self._settled or node.pools.running or node.waits.current():
            self._settled, self._still = settled, 0
            return
        self._still += 1
        self._why = f"it holds {counted(held, 'message')}, runs none, and has settled none"
