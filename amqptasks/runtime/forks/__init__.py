"""A process that was forked from this one: by a task, by a web server, by `multiprocessing`.

It has a copy of everything, and most of it is not its own: connections that its parent goes on using, deliveries that
its parent holds, handlers of signals that were meant for its parent. Each part of ours that must be let go of in such a
child says so here.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterable
from typing import NoReturn


class Here:
    """This process. `depth` differs between it and each of its forked children: it counts the forks in between."""

    def __init__(self) -> None:
        self.depth = 0
        self._methods: dict[int, weakref.WeakMethod[Callable[[], None]]] = {}

    def in_child(self, method: Callable[[], None]) -> None:
        key = id(method.__self__)  # type: ignore[attr-defined]
        self._methods[key] = weakref.WeakMethod(method, lambda _reference: self._methods.pop(key, None))

    def happened(self) -> None:
        self.depth += 1
        for reference in list(self._methods.values()):
            method = reference()
            if method is not None:
                with contextlib.suppress(Exception):  # a child that cannot let go of one thing lets go of the others
                    method()
        self._methods.clear()


#: Held while a part of ours is imported, or made for the first time, in the middle of a call. A fork waits for it:
#: locks of Python that another thread holds at the fork are never given free in the child.
loading = threading.RLock()
os.register_at_fork(before=loading.acquire, after_in_parent=loading.release, after_in_child=loading.release)

#: The only one. An attribute and no function, because it is asked twice for each task.
here = Here()
os.register_at_fork(after_in_child=here.happened)


def in_child(method: Callable[[], None]) -> None:
    """Call this bound method in a child that is forked from now on, once, while its object lives; one method for each
    object. It must not take a lock: another thread may have held it at the fork."""
    here.in_child(method)


def load(module: str) -> None:
    """Import it now. A process that another thread forks in the middle of an import waits for its end for ever."""
    if module not in sys.modules:
        with loading:
            importlib.import_module(module)


def let_go(descriptors: Iterable[int]) -> None:
    """Close the child's copies of its parent's descriptors. Nothing is said on the wire, and the parent keeps its own.
    Each number stays taken (by /dev/null), because an object that still knows it may close it later."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in descriptors:
        if descriptor >= 0:
            os.dup2(null, descriptor, inheritable=False)
    os.close(null)


def leave(error: BaseException | None = None) -> NoReturn:
    """End a child that comes back from the code that forked it, as Python would end a program: with the status of a
    `SystemExit`, or with the traceback of any other `error` and status 1. No `atexit`: that is the parent's."""
    status = 0
    if isinstance(error, SystemExit):
        code = error.code
        status = code if isinstance(code, int) else int(code is not None)
        if code is not None and not isinstance(code, int):
            print(code, file=sys.stderr)
    elif error is not None:
        traceback.print_exception(error)
        status = 1
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status & 0xFF)
