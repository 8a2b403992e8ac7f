"""What `delay()` returns: the result of one task, once its reply is here."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from amqptasks.errors import ConfigurationError, ResultError, ResultTimeout
from amqptasks.results.checks import refuse_to_wait_in_a_task
from amqptasks.results.details import Details
from amqptasks.runtime.clock import monotonic

if TYPE_CHECKING:
    from amqptasks.messages.delivery import Delivery
    from amqptasks.results.replies import Replies
    from amqptasks.results.reply import Outcome

R = TypeVar("R")

#: `app.control.revoke`.
Revoke = Callable[..., Any]

#: The state before a reply came, and that of a task whose reply cannot come any more.
PENDING = "PENDING"
LOST = "LOST"

#: The state of an id that is nobody's, where every call is recorded.
UNKNOWN = "UNKNOWN"

#: The state of a task whose reply was not asked for, or goes elsewhere: nothing is kept of how it ends.
NOT_KEPT = "NOT_KEPT"

#: The state of a task whose result nobody wants, and what is said of it.
IGNORED = "IGNORED"
NOBODY_WANTS_IT = "ignore_result is set"

#: Bytes of replies that are read in an event loop's thread: more would hold its other tasks up for milliseconds.
MOST_IN_A_LOOP = 256 * 1024

# One lock for all results: it is held for an instant, and a lock each would cost every call that nobody waits for.
lock = threading.RLock()  # the handler of a signal may publish, and wait, in the middle of this


class AsyncResult(Details, Generic[R]):
    """The result of the task `id`, of type `R`; `task_name` is its name, where known.

    Thread-safe. `await result` waits without blocking the event loop; `get()` blocks the thread. A reply is kept as it
    came until somebody asks: its sender decides what reading it costs, so the thread of who asks reads it.
    """

    __slots__ = ("__weakref__", "_latest", "_loss", "_replies", "_unread", "_waiters", "id", "task_name")

    def __init__(self, task_id: str, task_name: str | None = None, replies: Replies | None = None) -> None:
        self.id = task_id
        self.task_name = task_name
        self._replies = replies
        self._latest: Outcome | None = None
        #: Why no reply can come; as text where none was asked for: an exception for each such call would cost time.
        self._loss: ResultError | str | None = None
        #: What came and was not read yet, in order. A tuple, replaced as a whole: the handler of a signal may read in
        #: the middle of `_read`.
        self._unread: tuple[Delivery | ResultError, ...] = ()
        self._waiters: list[Callable[[], None]] | None = None

    @classmethod
    def without_reply(
        cls, task_id: str, task_name: str | None, why: str, revoke: Revoke | None = None
    ) -> AsyncResult[Any]:
        """A result that will not come: `get()` raises `ResultError` with `why` at once."""
        result = Unanswered(task_id, task_name)
        result.revoke_by = revoke
        result._loss = why
        return result

    def __repr__(self) -> str:
        return f"<AsyncResult {self.id} of {self.task_name or 'a task'}: {self.status}>"

    def __await__(self) -> Generator[Any, None, R]:
        """The task's value; raises as `get()`. Bound it with `asyncio.timeout()`."""
        if self._unread or not self._is_over():
            yield from self._awaited().__await__()
        value: R = self._answer(propagate=True)
        return value

    @overload
    def get(
        self,
        timeout: float | None = None,
        propagate: Literal[True] = True,
        *,
        callback: Callable[[str, Any], None] | None = None,
        disable_sync_subtasks: bool = True,
    ) -> R: ...

    @overload
    def get(
        self,
        timeout: float | None = None,
        *,
        propagate: bool,
        callback: Callable[[str, Any], None] | None = None,
        disable_sync_subtasks: bool = True,
    ) -> R | Exception: ...

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        *,
        callback: Callable[[str, Any], None] | None = None,
        disable_sync_subtasks: bool = True,
    ) -> R | Exception:
        """Wait up to `timeout` seconds (None: for ever) for the task's value. `callback` is called with the id and what
        is returned. In a task it is refused to wait so, with `ConfigurationError`, unless `disable_sync_subtasks` is
        False: the task would keep its place in the pool from what it waits for.

        Raises what the task raised, unless `propagate` is False: then the exception is returned. `ResultTimeout` after
        the time given, `ReplyLost` if the connection that waited for the reply broke, `ResultError` if the task was
        sent without a wish for a reply, `ConfigurationError` in the thread that would have to receive the reply.
        """
        deadline = None if timeout is None else monotonic() + timeout
        while not self.ready():
            self._refuse_to_block_the_link()
            if disable_sync_subtasks and timeout != 0:
                refuse_to_wait_in_a_task()
            arrived = threading.Event()
            left = None if deadline is None else max(0.0, deadline - monotonic())
            if self._add(arrived.set):
                in_time = self._wait(arrived, left)
                if arrived.is_set():
                    continue
                self._remove(arrived.set)
                if not in_time and not self.ready():
                    raise ResultTimeout(f"no result of {self.task_name or 'task'} {self.id} within {timeout:g} s")
        answer: R | Exception = self._answer(propagate)
        if callback is not None:
            callback(self.id, answer)
        return answer

    #: Celery's other name for it.
    wait = get

    def ready(self) -> bool:
        """True when `get()` would not wait: the task ended, or its reply is lost."""
        if self._unread:
            self._read()
        return self._is_over()

    def successful(self) -> bool:
        """True when the task returned."""
        return self.status == "SUCCESS"

    def failed(self) -> bool:
        """True when the task raised."""
        return self.status == "FAILURE"

    @property
    def status(self) -> str:
        """PENDING until something is known, then SUCCESS, FAILURE, REVOKED, RETRY, REJECTED, IGNORED or a state of the
        task's own; LOST when no reply can come any more, NOT_KEPT when it goes elsewhere."""
        self._read()
        if self._loss is not None:
            if isinstance(self._loss, str):
                return IGNORED if self._loss == NOBODY_WANTS_IT else NOT_KEPT
            return LOST
        return self._without_record() if self._latest is None else self._latest.status

    def _without_record(self) -> str:
        """The state while nothing is known."""
        return PENDING

    @property
    def result(self) -> Any:
        """The value, or the exception; None until there is one."""
        self._read()
        if self._loss is not None:
            return self._lost(self._loss)
        if self._latest is None:
            return None
        return self._latest.value if self._latest.exception is None else self._latest.exception

    @property
    def traceback(self) -> str | None:
        """Where the task raised, as text."""
        self._read()
        return self._latest.traceback if self._latest else None

    #: Celery's other names for them.
    state = status
    info = result

    def forget(self) -> None:
        """Wait for it no more: its reply will be dropped, and whoever waits now gets a `ResultError`."""
        if self._replies is not None:
            self._replies.forget(self.id)
        if not self.ready():
            self.arrive(ResultError(f"the result of task {self.id} was forgotten"))

    def revoke(self, *, terminate: bool = False, signal: str = "TERM") -> None:
        """Let the task not run, wherever it waits; its state becomes REVOKED. With `terminate`, end it where it runs:
        `signal` is as of `app.control.revoke`, which also tells what each worker did. Raises `BrokerError`."""
        self.revoker()([self.id], terminate=terminate, signal=signal)

    def then(
        self, callback: Callable[[AsyncResult[R]], object], on_error: Callable[[AsyncResult[R]], object] | None = None
    ) -> AsyncResult[R]:
        """Call `callback` with this result once the task has returned, `on_error` once it has ended otherwise; returns
        this result. They are called on one thread for all, in turn. What they raise is logged. A program that ends
        does not wait for them."""
        from amqptasks.results.callbacks import callbacks

        callbacks.add(self, callback, on_error)
        return self

    def collect(
        self, timeout: float | None = None, propagate: bool = True, *, disable_sync_subtasks: bool = True
    ) -> Iterator[tuple[AsyncResult[Any], Any]]:
        """This result and its value, then those of its `children`, then of theirs: each once its task has ended. All
        together within `timeout` seconds; otherwise as `get`. Without a result store it has no children."""
        deadline = None if timeout is None else monotonic() + timeout
        next_ones: deque[AsyncResult[Any]] = deque([self])
        known = {self.id}
        while next_ones:
            result = next_ones.popleft()
            left = None if deadline is None else max(0.0, deadline - monotonic())
            yield result, result.get(left, propagate=propagate, disable_sync_subtasks=disable_sync_subtasks)
            for child in result.children:
                if child.id not in known:
                    known.add(child.id)
                    next_ones.append(child)

    def arrive(self, reply: Delivery | ResultError) -> int:
        """A reply came, or (`ResultError`) none can come any more. Wakes whoever waits, to read it. Called by
        `Replies`; returns how many wait to be read."""
        with lock:
            if self._is_over():
                return 0
            self._unread = (*self._unread, reply)
            unread, waiters = len(self._unread), self._take_waiters()
        for wake in waiters:
            wake()
        return unread

    def resolve(self, outcome: Outcome) -> None:
        """It has ended so, without a reply."""
        self._latest = outcome

    def _fields(self) -> Mapping[str, Any]:
        self._read()
        return {} if self._latest is None else self._latest.fields

    # For `ResultSet`, which has many

    def revoker(self) -> Revoke:
        """What revokes this task. Raises `ConfigurationError` for a result that belongs to no app."""
        revoke = None if self._replies is None else self._replies.revoke
        if revoke is None:
            raise ConfigurationError(f"the result of task {self.id} belongs to no app: app.control.revoke(id) does it")
        return revoke

    def is_over(self, *, read: bool = False) -> bool:
        """Whether `get()` would not wait, as far as this process knows; with `read`, what came is read first."""
        if read and self._unread:
            AsyncResult._read(self)
        return self._is_over()

    @property
    def known_state(self) -> str | None:
        """The state as far as this process knows; None where nothing is known, or no reply can come."""
        return None if self._latest is None or self._loss is not None else self._latest.status

    def wake_by(self, wake: Callable[[], None]) -> bool:
        """Call `wake` once something comes. False where something is there, or nothing can come any more."""
        return self._add(wake)

    def wake_no_more(self, wake: Callable[[], None]) -> None:
        """Undo `wake_by`."""
        self._remove(wake)

    def _is_over(self) -> bool:
        return self._loss is not None or (self._latest is not None and self._latest.final)

    def _read(self) -> None:
        """Read what came. Several threads may read the same at once: the first one counts, and no lock is held, for
        reading may take long, or run a user's code."""
        while self._unread:
            try:
                reply = self._unread[0]
            except IndexError:  # another thread has just read it
                return
            said = self._outcome(reply)
            with lock:
                unread = self._unread
                if not unread or unread[0] is not reply:
                    continue
                if isinstance(said, ResultError):
                    self._loss = said
                elif said is not None:
                    self._latest = said
                over = self._is_over()
                self._unread = () if over else unread[1:]
                waiters = self._take_waiters() if over else []
            if over and self._replies is not None:
                self._replies.forget(self.id)
            for wake in waiters:
                wake()

    def _outcome(self, reply: Delivery | ResultError) -> Outcome | ResultError | None:
        if isinstance(reply, ResultError):
            return reply
        assert self._replies is not None, "replies come from there"
        return self._replies.read(reply, self.id)

    def _answer(self, propagate: bool) -> Any:
        if self._loss is not None:
            raise self._lost(self._loss)
        if self._latest is None:
            raise ResultError(f"task {self.id} woke its waiter without a result")
        if self._latest.exception is None:
            return self._latest.value
        if propagate:
            # Without the frames of an earlier raise, which would pile up.
            raise self._latest.exception.with_traceback(None)
        return self._latest.exception

    @staticmethod
    def _lost(loss: ResultError | str) -> ResultError:
        return ResultError(loss) if isinstance(loss, str) else loss

    def _add(self, wake: Callable[[], None]) -> bool:
        """False when something is to be read, or there is nothing to wait for any more."""
        with lock:
            if self._unread or self._is_over():
                return False
            self._waiters = [*(self._waiters or ()), wake]
            return True

    def _remove(self, wake: Callable[[], None]) -> None:
        with lock:
            self._waiters = [waiter for waiter in self._waiters or () if waiter != wake] or None

    def _wait(self, arrived: threading.Event, left: float | None) -> bool:
        """Wait `left` seconds at most, or shorter; False when these are over."""
        return arrived.wait(left)

    def _unread_bytes(self) -> int:
        return sum(len(reply.body) for reply in self._unread if not isinstance(reply, ResultError))

    def _take_waiters(self) -> list[Callable[[], None]]:
        waiters, self._waiters = self._waiters or [], None
        return waiters

    async def _awaited(self) -> None:
        while True:
            if self._unread_bytes() > MOST_IN_A_LOOP:
                await asyncio.to_thread(self._read)
            if self.ready():
                return
            await self._arrival()

    async def _arrival(self) -> None:
        loop = asyncio.get_running_loop()
        arrived: asyncio.Future[None] = loop.create_future()

        def settle() -> None:
            if not arrived.done():
                arrived.set_result(None)

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle)

        if self._add(wake):
            try:
                await arrived
            finally:
                self._remove(wake)

    def _refuse_to_block_the_link(self) -> None:
        if self._replies is not None and self._replies.link_thread == threading.get_ident():
            raise ConfigurationError(
                "get() would wait for ever here: this thread receives the replies. Call it from another thread"
            )


class Unanswered(AsyncResult[Any]):
    """Of a call without a reply."""

    __slots__ = ("revoke_by",)

    revoke_by: Revoke | None

    def revoker(self) -> Revoke:
        return super().revoker() if self.revoke_by is None else self.revoke_by
