"""Which results wait for a reply: the registry between the link, which receives replies, and those who wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import KeyedRef

from amqptasks.errors import ReplyLost
from amqptasks.messages.body import JSON_ONLY, Reader
from amqptasks.messages.own_headers import LOST_REPLIES
from amqptasks.messages.signing import Signing
from amqptasks.results.reply import Outcome, is_lost, parse
from amqptasks.results.result import AsyncResult, Revoke
from amqptasks.runtime.log_queue import get_logger

if TYPE_CHECKING:
    from amqptasks.messages.delivery import Delivery


logger = get_logger(__name__)

#: Replies to one task that wait for somebody who asks, before a thread reads them: a task that tells its progress a
#: thousand times keeps no thousand states here.
MOST_UNREAD = 16


class Replies:
    """Results are held weakly: a reply that nobody waits for any more is dropped unread.

    Thread-safe: any thread registers, the link's thread replies. `link_thread` is that thread's identity, once known;
    `get()` refuses to wait there. `reader` knows the content types that a reply may have; with `signing`, a
    reply is read once its signature is verified. `new_result` makes the results, and `revoke` their tasks not run.
    """

    def __init__(
        self,
        reader: Reader = JSON_ONLY,
        signing: Signing | None = None,
        new_result: Callable[[str, str | None, Replies], AsyncResult[Any]] = AsyncResult,
        revoke: Revoke | None = None,
    ) -> None:
        self._new_result = new_result
        self.revoke = revoke
        self._reader = reader
        self._signing = signing
        self._pending: dict[str, KeyedRef[str, AsyncResult[Any]]] = {}
        self._listeners: dict[str, Callable[[Delivery | ReplyLost], None]] = {}
        self._being_read: set[str] = set()
        self.link_thread: int | None = None

    def __len__(self) -> int:
        return len(self._pending)

    def register(self, task_id: str, task_name: str | None = None) -> AsyncResult[Any]:
        """The result of a task that is about to be published. A second call for the same id gives the same result, so
        that publishing a task again wakes whoever waits already."""
        result = self._new_result(task_id, task_name, self)
        reference = KeyedRef(result, self._collected, task_id)
        known = self._pending.setdefault(task_id, reference)
        if known is reference:
            return result
        earlier = known()
        if earlier is None:
            self._pending[task_id] = reference
        return earlier or result

    def known(self, task_id: str) -> AsyncResult[Any] | None:
        """The result of a task that this process called, and that somebody holds and that waits for its reply."""
        reference = self._pending.get(task_id)
        return None if reference is None else reference()

    def listen(self, correlation_id: str, listener: Callable[[Delivery | ReplyLost], None]) -> None:
        """Give `listener` each reply with this id, as it comes, until `forget`; and a `ReplyLost` when none can come
        any more. It is called on the link's thread."""
        self._listeners[correlation_id] = listener

    def forget(self, task_id: str) -> None:
        """Drop the reply to this task when it comes."""
        self._pending.pop(task_id, None)
        self._listeners.pop(task_id, None)

    def reply(self, delivery: Delivery) -> None:
        """Give a reply to who waits for it. Link thread only."""
        self.link_thread = threading.get_ident()
        reference = self._pending.get(delivery.properties.correlation_id or "")
        result = reference() if reference else None
        if result is None:
            listener = self._listeners.get(delivery.properties.correlation_id or "")
            if listener is not None:
                listener(delivery)
            else:
                self._told_lost(delivery)
            return
        self._give(result, delivery)

    def read(self, delivery: Delivery, task_id: str) -> Outcome | ReplyLost | None:
        """What a reply says; None where it is not believed that the reply to this task is lost. Any thread but the
        link's: its sender decides what that costs, and a user's function may know the keys."""
        if delivery.properties.correlation_id or not _named_lost(delivery):
            return parse(delivery.body, delivery.properties, self._reader, self._signing)
        if not is_lost(delivery.properties, self._signing):
            logger.warning(
                "it is not believed that the reply to task %s is lost: nobody with the keys of this app said so",
                task_id,
                extra={"action": "loss_unbelieved", "task_id": task_id},
            )
            return None
        why = "its worker dropped it, because the broker took nothing from publishers"
        return ReplyLost(f"the reply to task {task_id} is lost: {why}. The task has run")

    def _give(self, result: AsyncResult[Any], delivery: Delivery) -> None:
        if result.arrive(delivery) >= MOST_UNREAD and result.id not in self._being_read:
            self._read_elsewhere(result)

    def _read_elsewhere(self, result: AsyncResult[Any]) -> None:
        """Nobody asks for this result, and replies gather."""

        def read() -> None:
            try:
                result.ready()
            finally:
                self._being_read.discard(result.id)

        self._being_read.add(result.id)
        try:
            threading.Thread(target=read, name="amqptasks-replies", daemon=True).start()
        except RuntimeError:  # no thread can be had: with the next reply
            self._being_read.discard(result.id)

    def _told_lost(self, notice: Delivery) -> None:
        """A worker says of which calls it has dropped the replies. Whoever waits for one finds out whether to believe
        it."""
        for identity in _named_lost(notice):
            reference = self._pending.get(identity) if isinstance(identity, str) else None
            result = reference() if reference else None
            if result is not None:
                self._give(result, notice)

    def lost(self, reason: str) -> None:
        """The channel broke that the replies would have come to. Link thread only."""
        self.link_thread = threading.get_ident()
        for listener in list(self._listeners.values()):
            listener(ReplyLost(f"the connection that waited for answers broke: {reason}"))
        for reference in list(self._pending.values()):
            result = reference()
            if result is not None:
                self.forget(result.id)
                result.arrive(ReplyLost(f"the reply to task {result.id} is lost: {reason}. The task is not affected"))

    def _collected(self, reference: KeyedRef[str, AsyncResult[Any]]) -> None:
        """Nobody holds this result any more. Any thread, at any moment: so it takes no lock."""
        current = self._pending.pop(reference.key, None)
        if current is not None and current is not reference:
            self._pending.setdefault(reference.key, current)


def _named_lost(delivery: Delivery) -> list[object]:
    ids = (delivery.properties.headers or {}).get(LOST_REPLIES)
    return ids if isinstance(ids, list) else []
