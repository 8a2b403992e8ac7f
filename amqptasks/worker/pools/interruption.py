"""Raising an exception in another thread: how a task that runs in a thread is interrupted.

The interpreter raises it at the thread's next line of Python; a thread that waits in C code (a lock, a socket, a long
query) gets it when that returns, and not before. In Python 3.11 one that is just starting another thread may have it
raised there (the new thread's state has its parent's identity until it runs). https://docs.python.org/3/c-api/init.html#c.PyThreadState_SetAsyncExc
"""

from __future__ import annotations

import ctypes


def raise_in_thread(identity: int, kind: type[BaseException]) -> None:
    """`identity` as of `threading.get_ident`. Only a class can be raised so, without its details."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(identity), ctypes.py_object(kind))


def clear(identity: int) -> None:
    """Forget what was to be raised there and was not yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(identity), None)
