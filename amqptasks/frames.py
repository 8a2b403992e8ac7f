"""Where the threads of this process are.

`sys._current_frames` holds a lock of the interpreter while it makes objects. Making one may start the garbage
collector, and what that clears may want the same lock (a `threading.local` does): then the whole process stands still
for ever. Python 3.11.7 does so, later releases do not: https://github.com/python/cpython/issues/106883.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from types import FrameType


class _Frames:
    def __init__(self) -> None:
        self._lock = threading.RLock()  # the handler of a signal asks, too
        self._paused = False

    def current(self) -> dict[int, FrameType]:
        with self._lock:
            if self._paused or not gc.isenabled():
                return sys._current_frames()
            self._paused = True
            gc.disable()
            try:
                return sys._current_frames()
            finally:
                gc.enable()
                self._paused = False

    def renew(self) -> None:
        """In a forked child: another thread may have been at it."""
        self._lock = threading.RLock()
        if self._paused:
            self._paused = False
            gc.enable()


_here = _Frames()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_here.renew)


def current_frames() -> dict[int, FrameType]:
    """The innermost frame of each thread, by the thread's identity."""
    return _here.current()
