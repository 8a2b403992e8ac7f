"""Resources of a task: what is costly to open, opened once for each process and closed when it ends.

class DatabaseTask(Task):
    @resource
    def database(self):
        connection = connect()
        yield connection
        connection.close()
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar, overload

from amqptasks.runtime.log_queue import get_logger

V = TypeVar("V")

logger = get_logger(__name__)


class resource(Generic[V]):
    """Turns a generator method of a `Task` class into an attribute: what it yields.

    It is opened when first used, once for each task and process, and shared by all runs there: in a `threads` pool by
    all threads at the same time, so yield something that bears it (a connection pool). What follows the `yield` runs
    when the worker stops, or its child ends. Used again after that, or in a child process, it is opened anew: nobody
    gets one that is closed, or that belongs to another process.
    """

    def __init__(self, opening: Callable[[Any], Generator[V]]) -> None:
        self._opening = opening
        self._lock = threading.Lock()
        self.__doc__ = opening.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, task: None, owner: type) -> resource[V]: ...

    @overload
    def __get__(self, task: object, owner: type) -> V: ...

    def __get__(self, task: object | None, owner: type) -> V | resource[V]:
        if task is None:
            return self
        key = (id(task), self._name)
        opened = _open.get(key)
        if opened is None or opened.pid != os.getpid():
            with self._lock:
                opened = _open.get(key)
                if opened is None or opened.pid != os.getpid():
                    opened = _open[key] = _Opened(f"{type(task).__name__}.{self._name}", self._opening(task))
        value: V = opened.value
        return value


class _Opened:
    def __init__(self, name: str, steps: Generator[Any]) -> None:
        self.name = name
        self.pid = os.getpid()
        self._steps = steps
        self.value = next(steps)

    def close(self) -> None:
        for _ in self._steps:
            raise RuntimeError(f"the resource {self.name} yields more than once")


#: Those open in this process, by task and name.
_open: dict[tuple[int, str], _Opened] = {}


def close_all() -> None:
    """Close this process's resources, the last opened first; one that raises is logged, and the others follow."""
    while _open:
        _, opened = _open.popitem()
        try:
            opened.close()
        except Exception:
            logger.exception("closing %s failed", opened.name, extra={"action": "resource_close_failed"})


def _after_fork() -> None:
    """The parent's resources are not ours to close, not even by being collected: they are kept, and never used."""
    _inherited.append(dict(_open))
    _open.clear()


_inherited: list[dict[tuple[int, str], _Opened]] = []
os.register_at_fork(after_in_child=_after_fork)
