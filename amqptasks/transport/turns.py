"""How long the callbacks of a link's thread take: an instrument, which is off unless an environment variable says where
to write. The test suite sets it, for every process that a test starts.

A callback is told of when it takes more CPU time of its thread than `MOST_CPU`, or when it stands for longer than
`MOST_WALL` seconds. What says nothing of the callback is left out, so that a busy machine tells no lies:

- Python's garbage collector runs in whichever thread makes the object that is one too many: its time is taken off.
- Standing still is counted by a thread of its own, which looks every `TICK` seconds and counts one tick for a callback
  that it met before. It needs the interpreter's lock and a processor as the callback does: while others hold these,
  there are no looks. So a tick is a time in which a callback that was able to run would have run.
- The time for which the kernel had the link's thread waiting for a processor (`schedstat`) is taken off, too.
"""

from __future__ import annotations

import functools
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping

from amqptasks.runtime.thread_stacks import formatted, thread_stacks

#: Names the file to which a paragraph is appended for each callback that took too long.
FILE = "AMQPTASKS_LINK_TURNS"

#: Seconds of CPU time of the link's thread, and seconds of standing still. A heartbeat or an ack that comes that late
#: harms nothing yet; ten of them together do.
MOST_CPU, MOST_WALL = 0.05, 0.5

#: Seconds between two looks.
TICK = 0.05


class Turn:
    """A callback that runs. `ticks` are the looks that met it; `delay` is the thread's at the first of them."""

    __slots__ = ("collecting", "cpu", "delay", "stack", "ticks")

    def __init__(self, cpu: float, collecting: float) -> None:
        self.cpu = cpu
        self.collecting = collecting
        self.ticks = 0
        self.delay = 0.0
        self.stack = ""


class Turns:
    """Of all links of this process."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._running: dict[tuple[int, int], Turn] = {}  # by the thread's identity, and its number for the kernel
        self._collecting: dict[int, tuple[float, float]] = {}  # of each thread: in all, and since when it does now
        self._pid = 0
        gc.callbacks.append(self._collected)

    def begin(self, callback: Callable[..., object]) -> Turn:  # noqa: ARG002 - for the sake of `end`
        """On the link's thread, just before it."""
        if self._pid != os.getpid():  # a child has no thread of its parent's
            self._pid = os.getpid()
            self._running = {}
            threading.Thread(target=self._watch, name="amqptasks-turns", daemon=True).start()
        thread = threading.get_ident()
        turn = Turn(time.thread_time(), self._collecting.get(thread, (0.0, 0.0))[0])
        self._running[thread, threading.get_native_id()] = turn
        return turn

    def end(self, callback: Callable[..., object], turn: Turn) -> None:
        """On the link's thread, just after it."""
        thread = threading.get_ident()
        self._running.pop((thread, threading.get_native_id()), None)
        cpu = time.thread_time() - turn.cpu - (self._collecting.get(thread, (0.0, 0.0))[0] - turn.collecting)
        if cpu > MOST_CPU:
            self._tell(f"{cpu * 1000:.0f} ms of CPU time: {_named(callback)}\n{turn.stack}")

    def _collected(self, phase: str, _info: Mapping[str, int]) -> None:
        thread, now = threading.get_ident(), time.thread_time()
        total, since = self._collecting.get(thread, (0.0, 0.0))
        self._collecting[thread] = (total, now) if phase == "start" else (total + now - since, 0.0)

    def _watch(self) -> None:
        pid = self._pid
        while pid == self._pid:
            time.sleep(TICK)
            for (thread, native), turn in list(self._running.items()):
                delay = _run_delay(native)
                if not turn.ticks:
                    turn.delay = delay
                turn.ticks += 1
                stood = (turn.ticks - 1) * TICK - (delay - turn.delay)
                if turn.ticks > 1 and turn is self._running.get((thread, native)):
                    turn.stack = formatted(thread_stacks().get(thread, []), 8)
                if stood > MOST_WALL:
                    self._running.pop((thread, native), None)  # once is enough
                    self._tell(f"it has stood for {stood * 1000:.0f} ms:\n{turn.stack}")

    def _tell(self, text: str) -> None:
        who = f"process {os.getpid()}, {' '.join(sys.argv[:6])}"
        line = f"{who}: a callback of the link's thread took {text.rstrip()}\n\n"
        descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


@functools.cache
def shared_turns() -> Turns:
    """The one of this process; the variable must be set."""
    return Turns(os.environ[FILE])


def _run_delay(native: int) -> float:
    """Seconds for which that thread of ours waited for a processor; 0 where the system does not tell.
    https://docs.kernel.org/scheduler/sched-stats.html#proc-pid-schedstat"""
    try:
        with open(f"/proc/self/task/{native}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def _named(callback: Callable[..., object]) -> str:
    code = getattr(callback, "__code__", None)
    name = getattr(callback, "__qualname__", None) or repr(getattr(callback, "func", type(callback)))
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if code is not None else str(name)
