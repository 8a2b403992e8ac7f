"""A process of ours that is ended politely, then firmly, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence

from amqptasks.runtime.clock import monotonic

#: Seconds for a worker to give back what runs once it was told QUIT, and to say goodbye to the broker.
FIRM = 6.0

#: Seconds between two looks at whether it has ended.
LOOK_EVERY = 0.05


class Child:
    """Started when made, in a session of its own: Ctrl-C in the terminal reaches it through us, and once."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None, *, piped: bool = False
    ) -> None:
        self._asked = threading.Lock()
        self._deadlines: list[float] = []
        self.process = subprocess.Popen(
            command,
            env=None if environment is None else dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if piped else None,
            stderr=subprocess.STDOUT if piped else None,
            start_new_session=True,
        )

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self.process.poll()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)  # does nothing once it has ended

    def ask(self) -> None:
        """TERM, once however often it is called: a second one would tell a worker that there is no time."""
        if self._asked.acquire(blocking=False):  # in one step: the handler of a signal may ask in the middle of this
            self.signal(signal.SIGTERM)

    def allow(self, patience: float) -> None:
        """It has at least so many seconds from now on, also where an `end` that waits already would give it less."""
        self._deadlines.append(monotonic() + patience)

    def end(self, patience: float) -> int:
        """TERM where it was not asked before, after `patience` seconds (or what it was allowed) QUIT, and in the end
        KILL for it and all in its group; its exit status."""
        self.allow(patience)
        self.ask()
        while self.status is None and monotonic() < max(self._deadlines):
            time.sleep(LOOK_EVERY)
        self.signal(signal.SIGQUIT)
        deadline = monotonic() + FIRM
        while self.status is None and monotonic() < deadline:
            time.sleep(LOOK_EVERY)
        if self.status is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()
