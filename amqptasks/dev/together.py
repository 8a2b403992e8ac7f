"""Several commands in one terminal: each line with the name of who wrote it, and one Ctrl-C for all."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from amqptasks.dev.child import Child
from amqptasks.dev.watch import STOP_PATIENCE
from amqptasks.runtime.clock import monotonic

Say = Callable[[str, str], None]

#: Seconds for all to stop, before they are killed: what a `Watcher` grants its worker, and time to notice.
PATIENCE = STOP_PATIENCE + 10.0

#: Seconds between two looks at who has ended.
LOOK_EVERY = 0.1

#: Seconds for the last lines of a process that has ended.
LAST_WORDS = 2.0


class Together:
    """`commands` are command lines by name; `say(name, line)` shows a line, from any thread."""

    def __init__(self, commands: Mapping[str, Sequence[str]], environment: Mapping[str, str], say: Say) -> None:
        self._commands = commands
        self._environment = environment
        self._say = say
        self._children: dict[str, Child] = {}
        self._asked = 0

    def run(self) -> int:
        """Until a signal comes or one of them ends, which ends them all; the exit status of who ended first."""
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(signum, self._on_signal)
        readers = []
        try:
            for name, command in self._commands.items():
                self._children[name] = child = Child(command, self._environment, piped=True)
                readers.append(threading.Thread(target=self._read, args=(name, child), daemon=True))
                readers[-1].start()
            status = self._wait()
        finally:
            self._end()
        for reader in readers:
            reader.join(LAST_WORDS)
        return status

    def _wait(self) -> int:
        while not self._asked:
            for name, child in self._children.items():
                if child.status is not None:
                    self._say(name, f"ended with exit status {child.status}: stopping all")
                    return max(1, child.status)
            time.sleep(LOOK_EVERY)
        return 0

    def _end(self) -> None:
        for child in self._children.values():
            if self._asked < 2:
                child.ask()
            else:
                child.signal(signal.SIGQUIT)
        deadline = monotonic() + PATIENCE
        while any(child.status is None for child in self._children.values()) and monotonic() < deadline:
            time.sleep(LOOK_EVERY)
        for child in self._children.values():
            child.end(0.0)

    def _read(self, name: str, child: Child) -> None:
        assert child.process.stdout is not None
        with child.process.stdout as lines:
            for line in lines:
                self._say(name, line.decode(errors="replace").rstrip("\r\n"))

    def _on_signal(self, _signum: int, _frame: object) -> None:
        """The first is told to all by `_end`; the second says that there is no time."""
        self._asked += 1
        if self._asked > 1:
            for child in self._children.values():
                child.signal(signal.SIGQUIT)
