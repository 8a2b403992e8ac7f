"""Raising an exception in another thread: how a task that runs in a thread is interrupted.

The interpreter raises it at the thread's next line of Python; a thread that waits in C code (a lock, a socket, a long
query) gets it when that returns, and not before. In Python 3.11 one that is just starting another thread may have it
raised there (the new thread's state has its parent's identity until it runs). https://docs.python.org/3/c-api/init.html#c.PyThreadState_SetAsyncExc
"""

from __future__ import annotations

import ctypes
import threading


def raise_in_thread(identity: int, kind: type[BaseException]) -> None:
    """`identity` as of `threading.get_ident`. Only a class can be raised so, without its details."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(identity), ctypes.py_object(kind))


def clear(identity: int) -> None:
    """Forget what was to be raised there and was not yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(identity), None)


class LeavingLock:
    """Held by who interrupts, and by who leaves: so nobody is interrupted who has left.

    Who leaves may be interrupted in these very lines. In Python 3.14, an exception from outside may come between the
    acquisition by a `with` and its block, and then nothing releases the lock. So who leaves acquires it anew for each
    try, as a reentrant lock allows, and releases it wholly once nothing can come any more.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.acquire, self.release = self._lock.acquire, self._lock.release

    def __enter__(self) -> None:
        """For those whom nobody interrupts."""
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def release_wholly(self) -> None:
        """As often as this thread has acquired it."""
        try:
            while True:
                self._lock.release()
        except RuntimeError:  # it is not ours
            return
