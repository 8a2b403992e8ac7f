"""The result of a task whose app has a result store: asked for there by its id, and pushed to whoever called."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from amqptasks.errors import ReplyLost, ResultError
from amqptasks.results import result as results
from amqptasks.results.details import children_of
from amqptasks.results.result import AsyncResult
from amqptasks.runtime.clock import monotonic

if TYPE_CHECKING:
    from amqptasks.messages.delivery import Delivery
    from amqptasks.results.backend import Backend
    from amqptasks.results.replies import Replies
    from amqptasks.results.reply import Outcome

R = TypeVar("R")

#: Seconds between two questions about a record that is being written; doubled each time.
FIRST_PAUSE = 0.02

#: Seconds between two questions while a reply is to be pushed: it comes first, but for one that was dropped on its way.
PAUSE_WHEN_PUSHED = 10.0

#: Seconds that whoever has the pushed reply waits for the record: it is written while the reply is on its way.
STORED_WITHIN = 1.0


class StoredResult(AsyncResult[R]):
    """As `AsyncResult`, from any process. While nothing final is known, each question asks the store, which blocks, and
    raises `StoreUnavailable` where it does not answer. Where a reply is pushed to this process, none is asked."""

    __slots__ = ("_asked", "_pause", "_pushed", "backend")

    def __init__(
        self, task_id: str, task_name: str | None = None, replies: Replies | None = None, *, backend: Backend
    ) -> None:
        super().__init__(task_id, task_name, replies)
        self.backend = backend
        #: True while a reply is to come.
        self._pushed = replies is not None
        self._pause = 0.0
        self._asked = False  # the store, for what a pushed reply does not say

    def __repr__(self) -> str:
        known = results.PENDING if self._latest is None else self._latest.status
        return f"<AsyncResult {self.id} of {self.task_name or 'a task'}: {known}>"

    def ready(self) -> bool:
        """True when `get()` would not wait."""
        self._read()
        return self._is_over()

    def forget(self) -> None:
        """Let the store keep it no longer. Whoever waits for it here gets a `ResultError`. Raises `StoreRefused` where
        the store cannot forget."""
        self._fields()  # a reply that was pushed may be ahead of its record
        if self._replies is not None:
            self._replies.forget(self.id)
        self.backend.forget([self.id])
        self._latest = None
        self.arrive(ResultError(f"the result of task {self.id} was forgotten"))

    def _outcome(self, reply: Delivery | ResultError) -> Outcome | ResultError | None:
        """A lost reply is no end: the store has the result, or will have it."""
        said = super()._outcome(reply)
        if not isinstance(said, ReplyLost):
            return said
        self._pushed = False
        return None

    @property
    def children(self) -> list[AsyncResult[Any]]:
        """The calls that this one made while it ran, and those that followed on it, as far as they are known."""
        return [self._other(identity) for identity in children_of(self._fields())]

    @property
    def parent(self) -> AsyncResult[Any] | None:
        """The call that made this one."""
        identity = self._said("parent_id", str)
        return None if identity is None else self._other(identity)

    @property
    def is_pushed(self) -> bool:
        """True while a reply is to come to this process; then the store need not be asked."""
        return self._pushed

    def _without_record(self) -> str:
        return results.UNKNOWN if self.backend.knows_all and not self._pushed else results.PENDING

    def revoker(self) -> results.Revoke:
        return self.backend.revoke

    def _other(self, identity: str) -> AsyncResult[Any]:
        return StoredResult(identity, backend=self.backend)

    def _read(self) -> None:
        super()._read()
        if not self._pushed and not self._is_over():
            self._look_up()

    def _look_up(self) -> None:
        outcome = self.backend.find([self.id]).get(self.id)
        if outcome is not None:
            self.learn(outcome)

    def learn(self, outcome: Outcome) -> None:
        """The store says this of it."""
        with results.lock:
            if not self._is_over():
                self._latest = outcome
            over = self._is_over()
            waiters = self._take_waiters() if over else []
        if over and self._replies is not None:
            self._replies.forget(self.id)
        for wake in waiters:
            wake()

    def _fields(self) -> Any:
        """A reply that was pushed says less than the record in the store."""
        found = super()._fields()
        if self._asked or self._latest is None or not self._latest.final or "date_done" in found:
            return found
        self._asked = True
        until, pause = monotonic() + STORED_WITHIN, FIRST_PAUSE
        while True:
            kept = self.backend.find([self.id]).get(self.id)
            if kept is not None and kept.final:
                self._latest.fields = kept.fields
                return kept.fields
            if monotonic() >= until:
                return found
            time.sleep(pause)
            pause *= 2

    def _wait(self, arrived: threading.Event, left: float | None) -> bool:
        pause = self._next_pause()
        if arrived.wait(pause if left is None else min(left, pause)):
            return True
        if self._pushed:
            self._look_up()
        return left is None or left > pause

    def _next_pause(self) -> float:
        if self._pushed:
            return PAUSE_WHEN_PUSHED
        first, longest = self.backend.store.pauses
        pause = max(first, self._pause)
        self._pause = min(2 * pause, longest)
        return pause

    async def _awaited(self) -> None:
        while True:
            if self._pushed and self._unread_bytes() <= results.MOST_IN_A_LOOP:
                over = self.ready()
            else:
                over = await asyncio.to_thread(self.ready)
            if over:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(self._next_pause()):
                    await self._arrival()
                continue
            if self._pushed:
                await asyncio.to_thread(self._look_up)
