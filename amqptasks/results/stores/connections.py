"""Connections of a process to a store's server: each act has one for itself, and idle ones are kept for later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from amqptasks.runtime import forks

C = TypeVar("C")
T = TypeVar("T")

#: Idle connections that are kept: one for the writer, and some for threads that ask.
MOST_IDLE = 4

#: Connections that a forked child has from its parent. To close one would end the parent's session on the server.
_of_parents: list[Any] = []


class Connections(Generic[C]):
    """`open` makes a connection, within a limit of time. `lost` are the errors after which a new connection may do
    better. Thread-safe."""

    def __init__(
        self, open: Callable[[], C], close: Callable[[C], None], lost: tuple[type[BaseException], ...]
    ) -> None:
        self._open = open
        self._close = close
        self._lost = lost
        self._idle: list[C] = []
        self._lock = threading.Lock()
        forks.in_child(self._let_go)

    def _let_go(self) -> None:
        _of_parents.extend(self._idle)
        self._idle = []
        self._lock = threading.Lock()

    def run(self, act: Callable[[C], T]) -> T:
        """Let `act` use a connection. The server may have closed an idle one meanwhile: then, once, a new one is
        taken. A connection over which something failed is closed: nothing of a transaction is left on it."""
        with self._lock:
            idle = self._idle.pop() if self._idle else None
        if idle is not None:
            try:
                return self._run(idle, act)
            except self._lost:
                self.close()  # the others are as old
        return self._run(self._open(), act)

    def close(self) -> None:
        """Close those that are idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            self._quietly_close(connection)

    def _run(self, connection: C, act: Callable[[C], T]) -> T:
        try:
            done = act(connection)
        except BaseException:
            self._quietly_close(connection)
            raise
        with self._lock:
            if len(self._idle) < MOST_IDLE:
                self._idle.append(connection)
                return done
        self._quietly_close(connection)
        return done

    def _quietly_close(self, connection: C) -> None:
        with suppress(Exception):
            self._close(connection)


def one_line(error: BaseException) -> str:
    """The words of a driver, which may have several lines, or none."""
    return " ".join(str(error).split()) or type(error).__name__
