"""Several results at once. Those of a result store are asked for together: one question, or one pass of each stream."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from amqptasks.errors import ResultTimeout
from amqptasks.results.callbacks import callbacks
from amqptasks.results.checks import refuse_to_wait_in_a_task
from amqptasks.results.result import AsyncResult
from amqptasks.results.stored_result import PAUSE_WHEN_PUSHED, StoredResult
from amqptasks.runtime.clock import monotonic
from amqptasks.untrusted.numbers import counted

if TYPE_CHECKING:
    from amqptasks.results.backend import Backend
    from amqptasks.results.result import Revoke


class ResultSet:
    """`results` in order, each task once: `ResultSet(app.AsyncResult(id) for id in ids)`. Its names are Celery's. One
    thread uses it at a time."""

    def __init__(self, results: Iterable[AsyncResult[Any]] = ()) -> None:
        self._results: dict[str, AsyncResult[Any]] = {}
        self.update(results)

    def __repr__(self) -> str:
        return f"<ResultSet of {len(self)}>"

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[AsyncResult[Any]]:
        return iter(self.results)

    def __getitem__(self, index: int) -> AsyncResult[Any]:
        return self.results[index]

    def __contains__(self, result: object) -> bool:
        return isinstance(result, AsyncResult) and result.id in self._results

    def __await__(self) -> Generator[Any, None, list[Any]]:
        """As `get()`. Bound it with `asyncio.timeout()`."""
        values = yield from asyncio.to_thread(self.get).__await__()
        return values

    @property
    def results(self) -> list[AsyncResult[Any]]:
        """All of them, in order."""
        return list(self._results.values())

    def add(self, result: AsyncResult[Any]) -> None:
        """One more; nothing where the task is there."""
        self._results.setdefault(result.id, result)

    def update(self, results: Iterable[AsyncResult[Any]]) -> None:
        """Several more."""
        for result in results:
            self.add(result)

    def remove(self, result: AsyncResult[Any]) -> None:
        """Without this one. Raises `KeyError` where it is not there."""
        del self._results[result.id]

    def discard(self, result: AsyncResult[Any]) -> None:
        """Without this one, if it is there."""
        self._results.pop(result.id, None)

    def clear(self) -> None:
        """Without any."""
        self._results.clear()

    def ready(self) -> bool:
        """True when all tasks have ended."""
        return not self.not_over()

    def waiting(self) -> bool:
        """True while some task has not ended."""
        return bool(self.not_over())

    def successful(self) -> bool:
        """True when all tasks returned."""
        return self.completed_count() == len(self)

    def failed(self) -> bool:
        """True when some task raised."""
        self.not_over()
        return any(result.known_state == "FAILURE" for result in self)

    def completed_count(self) -> int:
        """How many tasks returned."""
        self.not_over()
        return sum(result.known_state == "SUCCESS" for result in self)

    def get(
        self, timeout: float | None = None, propagate: bool = True, *, disable_sync_subtasks: bool = True
    ) -> list[Any]:
        """The tasks' values, in order, once all have ended. Raises what the first task raised that did; with
        `propagate` False, exceptions stand among the values. `ResultTimeout` after `timeout` seconds, and otherwise as
        `AsyncResult.get`."""
        if disable_sync_subtasks and timeout != 0:
            refuse_to_wait_in_a_task()
        for _ in self.iter(timeout, propagate=propagate):
            pass
        return [result.get(0, propagate=propagate) for result in self]

    #: Celery's other name for it.
    join = get

    def iter(self, timeout: float | None = None, *, propagate: bool = False) -> Iterator[AsyncResult[Any]]:
        """Each result as its task ends. Raises `ResultTimeout` when some have not ended within `timeout` seconds; with
        `propagate`, what a task raised."""
        deadline = None if timeout is None else monotonic() + timeout
        arrived = threading.Event()
        told: set[str] = set()
        pause = 0.0
        while True:
            open_now = {result.id for result in self.not_over()}
            for result in self:
                if result.id not in open_now and result.id not in told:
                    told.add(result.id)
                    if propagate:
                        result.get(0)
                    yield result
            still = [result for result in self if result.id in open_now]
            if not still:
                return
            left = None if deadline is None else deadline - monotonic()
            if left is not None and left <= 0:
                raise ResultTimeout(
                    f"{len(still)} of {counted(len(self), 'task has', 'tasks have')} not ended within {timeout:g} s"
                )
            pause = self.next_pause(still, pause)
            self.wait(still, arrived, pause if left is None else min(pause, left))

    def revoke(self, *, terminate: bool = False, signal: str = "TERM") -> None:
        """Let none of the tasks run any more that has not ended; with `terminate`, end those that run, too. Raises as
        `AsyncResult.revoke`."""
        by_control: dict[int, tuple[Revoke, list[str]]] = {}
        for result in self:
            if not result.is_over(read=True):
                control = result.revoker()
                by_control.setdefault(id(control), (control, []))[1].append(result.id)
        for control, ids in by_control.values():
            control(ids, terminate=terminate, signal=signal)

    def forget(self) -> None:
        """`AsyncResult.forget` of each."""
        for result in self:
            result.forget()

    def not_over(self) -> list[AsyncResult[Any]]:
        """Those whose tasks have not ended, as far as is known now."""
        asked: dict[int, tuple[Backend, list[StoredResult[Any]]]] = {}
        for result in self:
            if isinstance(result, StoredResult) and not result.is_over(read=True) and not result.is_pushed:
                asked.setdefault(id(result.backend), (result.backend, []))[1].append(result)
        for backend, some in asked.values():
            found = backend.find([result.id for result in some])
            for result in some:
                if result.id in found:
                    result.learn(found[result.id])
        return [result for result in self if not result.is_over(read=True)]

    @staticmethod
    def next_pause(still: list[AsyncResult[Any]], pause: float) -> float:
        """Seconds to wait for these until the store is asked again, after a wait of `pause`."""
        pauses = [one.backend.store.pauses for one in still if isinstance(one, StoredResult) and not one.is_pushed]
        if not pauses:
            return PAUSE_WHEN_PUSHED
        return min(max(first for first, _ in pauses) + pause, max(longest for _, longest in pauses))

    @staticmethod
    def wait(still: list[AsyncResult[Any]], arrived: threading.Event, seconds: float) -> None:
        """Until a reply is pushed to one of them, or so many seconds."""
        arrived.clear()
        if all(result.wake_by(arrived.set) for result in still):
            arrived.wait(seconds)
        for result in still:
            result.wake_no_more(arrived.set)


callbacks.together = ResultSet
