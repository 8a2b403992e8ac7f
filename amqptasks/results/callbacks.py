"""`AsyncResult.then`: what is called once a task has ended, on a thread of its own for all of a process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from amqptasks.errors import StoreUnavailable
from amqptasks.runtime.log_queue import get_logger

if TYPE_CHECKING:
    from amqptasks.results.result import AsyncResult

logger = get_logger(__name__)

#: Called with the result of a task that has ended.
Callback = Callable[["AsyncResult[Any]"], object]

#: Seconds before a result store that did not answer is asked again.
STORE_AGAIN = 5.0


class _Then(NamedTuple):
    result: AsyncResult[Any]
    callback: Callback
    on_error: Callback | None


class Together(Protocol):
    """Several results, asked for at once: a `ResultSet`, which comes above this file."""

    def not_over(self) -> list[AsyncResult[Any]]: ...

    @staticmethod
    def next_pause(still: list[AsyncResult[Any]], pause: float) -> float: ...

    @staticmethod
    def wait(still: list[AsyncResult[Any]], arrived: threading.Event, seconds: float) -> None: ...


class Callbacks:
    """Its thread begins with the first one, and ends when none is left: it is a daemon, so a program need not wait."""

    #: Makes a set of results. `result_set` puts its class here.
    together: Callable[[Iterable[AsyncResult[Any]]], Together]

    def __init__(self) -> None:
        self.forget_all()

    def forget_all(self) -> None:
        """In a forked child: those are the parent's."""
        self._waiting: list[_Then] = []
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, result: AsyncResult[Any], callback: Callback, on_error: Callback | None) -> None:
        """Call one of these once the task has ended. Raises `RuntimeError` where no thread can be had."""
        with self._lock:
            self._waiting.append(_Then(result, callback, on_error))
            if self._thread is None:
                self._thread = thread = threading.Thread(target=self._work, name="amqptasks-then", daemon=True)
                try:
                    thread.start()
                except BaseException:
                    self._thread = None
                    self._waiting.pop()
                    raise
        self._changed.set()

    def _work(self) -> None:
        pause = 0.0
        while True:
            self._changed.clear()
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                waiting = list(self._waiting)
            together = self.together(one.result for one in waiting)
            try:
                still = together.not_over()
            except StoreUnavailable as error:
                logger.warning("it is not known whether tasks have ended: %s", error, extra={"action": "then_waits"})
                self._changed.wait(STORE_AGAIN)
                continue
            for one in waiting:
                if one.result.is_over():
                    with self._lock:
                        self._waiting.remove(one)
                    self._call(one)
            if still:
                pause = together.next_pause(still, pause)
                together.wait(still, self._changed, pause)

    @staticmethod
    def _call(then: _Then) -> None:
        result = then.result
        callback = then.callback if result.successful() else then.on_error
        if callback is None:
            return
        try:
            callback(result)
        except Exception:
            logger.exception(
                "a callback of task %s fails", result.id, extra={"action": "then_failed", "task_id": result.id}
            )


#: Of this process.
callbacks = Callbacks()
os.register_at_fork(after_in_child=callbacks.forget_all)
