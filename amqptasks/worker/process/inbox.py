"""How a process hears signals: from any thread, also while the main thread runs code that is not Python.

Python calls the handler of a signal in the main thread, between two of its lines. A main thread that waits in a library
written in C calls none. So each signal is heard twice: by the handler, and by a byte that Python's own handler in C
writes to a socket (`signal.set_wakeup_fd`). It counts once.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterable
from types import FrameType

from amqptasks.runtime.clock import pause
from amqptasks.runtime.forks import in_child

#: The byte of a ring that stands for no signal.
RING = b"\0"

#: Bytes that are read at once: more signals than that are read in the next turn.
MOST = 4096

#: Seconds between two looks where the socket that ends a wait is gone.
CLOSED = 0.5


class SignalInbox:
    """`take` says which signals came since it was last asked, from any thread; `wait` waits for one, in one thread.

    `early` is called by the handler, in the main thread, while it is set.
    """

    def __init__(self, early: Callable[[int], None] | None = None) -> None:
        self.early = early
        self._listened, self._rung = socket.socketpair()
        self._rung.setblocking(False)
        self._handled: deque[int] = deque()  # not a count: a handler can interrupt another in the middle of an addition
        self._written: deque[int] = deque()
        self._counts: tuple[Counter[int], Counter[int]] = (Counter(), Counter())
        self._taken: Counter[int] = Counter()
        self._lock = threading.Lock()
        weakref.finalize(self, _close, self._listened, self._rung)
        in_child(self._forget)

    def listen(self, numbers: Iterable[int]) -> None:
        """Hear these signals from now on. Main thread only."""
        for number in numbers:
            signal.signal(number, self._handle)
        self.attach()

    def attach(self) -> None:
        """Have the bytes written here. Again now and then: a task that runs `asyncio.run` in the main thread takes them
        away. Main thread only."""
        with contextlib.suppress(OSError, ValueError):  # a task has closed it: the handlers note signals all the same
            signal.set_wakeup_fd(self._rung.fileno(), warn_on_full_buffer=False)

    def ring(self) -> None:
        """End the `wait` of another thread."""
        with contextlib.suppress(OSError):  # it rings already
            self._rung.send(RING)

    def wait(self, timeout: float | None) -> None:
        """Until a signal or a ring, for `timeout` seconds at most (None: as long as it takes)."""
        try:
            self._listened.settimeout(timeout)
            self._written.extend(self._listened.recv(MOST))
        except TimeoutError:
            return
        except OSError:  # something in this process has closed it: what the handlers noted is looked at now and then
            pause(CLOSED)

    def take(self) -> list[int]:
        """The signals that came since the last call. Empty while another thread asks."""
        if not self._lock.acquire(blocking=False):
            return []
        try:
            for count, source in zip(self._counts, (self._handled, self._written), strict=True):
                while source:
                    count[source.popleft()] += 1
            handled, written = self._counts
            new = (handled | written) - self._taken  # the larger of both
            del new[RING[0]]
            self._taken += new
            return list(new.elements())
        finally:
            self._lock.release()

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._handled.append(number)
        self.ring()
        if self.early is not None:
            self.early(number)

    def _forget(self) -> None:
        """In a child that was forked: its signals are none of ours."""
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        _close(self._listened, self._rung)


def _close(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):  # something in this process has closed it before
            end.close()
