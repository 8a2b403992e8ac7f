"""The thread on which calls end that nobody waits for (`Task.submit`), and the count of those under way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger

logger = get_logger(__name__)

#: Seconds that a call may need longer than its confirm: the link looks for what is overdue now and then.
SLACK = 1.0


class Ending:
    """What ends runs on a thread of its own, one after the other, in the order of the confirms. Never on the link's:
    receivers of signals and the callbacks of futures are the user's, and to declare again, or to give back a claim, is
    to wait for the broker.

    No executor: that takes nothing more once the main thread has ended, and Python waits for its thread as it exits,
    whatever a callback does. The thread begins here, before anything is published: where none can, this raises
    `RuntimeError`. It ends once `stop` was called and all that began has ended.
    """

    def __init__(self) -> None:
        self._ends: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._changed = threading.Condition()
        self._under_way = 0
        self._latest = 0.0
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="amqptasks-ending", daemon=True)
        self._thread.start()

    def begin(self, timeout: float) -> None:
        """A call will `end` here, or be forgotten, whose confirm takes `timeout` seconds at most."""
        with self._changed:
            self._under_way += 1
            self._latest = max(self._latest, monotonic() + timeout + SLACK)

    def end(self, end: Callable[[], None]) -> None:
        """Run it soon. From any thread; waits for nothing."""
        self._ends.put(end)

    def forget(self) -> None:
        """A call that began was not published."""
        self._ended()
        self._ends.put(None)

    @property
    def under_way(self) -> int:
        """Calls that began and have not ended, with what their ends run."""
        return self._under_way

    @property
    def latest(self) -> float:
        """When the last confirm must have come, on the monotonic clock."""
        return self._latest

    def wait(self, deadline: float) -> bool:
        """Wait until nothing is under way, until `deadline` on the monotonic clock at most; False where something is.
        On the thread itself, at once: it cannot wait for what it runs."""
        if threading.current_thread() is self._thread:
            return False
        with self._changed:
            return self._changed.wait_for(lambda: not self._under_way, max(0.0, deadline - monotonic()))

    def stop(self) -> None:
        """Nothing begins here any more; what began still ends."""
        self._is_stopped = True
        self._ends.put(None)

    def _run(self) -> None:
        while self._under_way or not self._is_stopped:
            end = self._ends.get()
            if end is None:
                continue
            try:
                end()
            except BaseException:  # a callback that exits: the calls after it are others'
                logger.exception("what followed on a submitted call failed; going on")
            self._ended()

    def _ended(self) -> None:
        with self._changed:
            self._under_way -= 1
            if not self._under_way:
                self._changed.notify_all()
