"""The result store of an app in one process: opened when first used, with its writer, and asked by id."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from amqptasks.errors import ConfigurationError, ResultError
from amqptasks.messages.codec import Codec
from amqptasks.messages.properties import Properties
from amqptasks.messages.request import Request
from amqptasks.results.address import BackendAddress
from amqptasks.results.checks import checked_id
from amqptasks.results.recording import Recording
from amqptasks.results.reply import Outcome, parse
from amqptasks.results.result import Revoke
from amqptasks.results.stored_result import StoredResult
from amqptasks.results.stores import open_store
from amqptasks.results.writer import Writer
from amqptasks.runtime import forks
from amqptasks.runtime.clock import broker_time

if TYPE_CHECKING:
    from amqptasks.results.record import Record
    from amqptasks.results.replies import Replies
    from amqptasks.results.stores.base import Around, Store


#: The state of the record that holds the ids of a group, and what stands before its id: no task has such a one.
SAVED, GROUP = "SAVED", "group:"

#: Tasks of one group that is saved: a record of 4 MB.
MOST_IN_A_GROUP = 100_000


def _nobody(*_given: Any, **_options: Any) -> None:
    raise ConfigurationError("this result belongs to no app: app.control.revoke(id) revokes the task")


class Backend:
    """`expires` is the app's own: seconds that results are kept, None: for ever. `around` is for a store on the
    app's own broker, `revoke` lets tasks not run. `knows_all` says that every call is recorded before it is published.
    Thread-safe; reading blocks."""

    def __init__(
        self,
        address: BackendAddress,
        codec: Codec,
        expires: float | None,
        around: Around | None = None,
        revoke: Revoke = _nobody,
        *,
        knows_all: bool = False,
    ) -> None:
        self.address = address
        self.revoke = revoke
        self.knows_all = knows_all
        self._around = around
        self.recording = Recording(address, codec, expires)
        self._codec = codec
        self._store: Store | None = None
        self._writer: Writer | None = None
        self._lock = threading.Lock()
        forks.in_child(self._renew)

    @property
    def store(self) -> Store:
        """Raises `ConfigurationError` for an address that names none."""
        with self._lock:
            if self._store is None:
                self._store = open_store(self.address.url, self._around)
            return self._store

    @property
    def writer(self) -> Writer:
        """Of this process."""
        store = self.store
        with self._lock:
            if self._writer is None:
                self._writer = Writer(store)
            return self._writer

    def find(self, ids: Sequence[str]) -> dict[str, Outcome]:
        """What is known of these tasks, by id. Raises `StoreUnavailable`."""
        found = self.store.read(ids, broker_time.now())
        return {identity: self._outcome(record) for identity, record in found.items()}

    def forget(self, ids: Sequence[str]) -> None:
        """Keep nothing of these tasks. Raises `StoreUnavailable`."""
        self.store.forget(ids)

    def save_group(self, group_id: str, ids: Sequence[str]) -> None:
        """Keep which tasks a group has. Raises `StoreUnavailable`, and `ConfigurationError` for too many."""
        if len(ids) > MOST_IN_A_GROUP:
            raise ConfigurationError(f"a group that is saved has {MOST_IN_A_GROUP:,} tasks at most, not {len(ids):,}")
        request = Request("amqptasks.group", GROUP + group_id, (), {})
        self.store.write([self.recording.on_the_way(request, Properties(), SAVED, list(ids))])

    def group(self, group_id: str) -> list[str] | None:
        """The ids of the tasks of a group that was saved. Raises `StoreUnavailable`."""
        outcome = self.find([GROUP + group_id]).get(GROUP + group_id)
        if outcome is None or outcome.status != SAVED:
            return None
        ids = outcome.value
        if not isinstance(ids, list) or len(ids) > MOST_IN_A_GROUP:
            return None
        return [checked_id(identity) for identity in ids]

    def forget_group(self, group_id: str) -> None:
        """Raises as `forget`."""
        self.forget([GROUP + group_id])

    def result(self, task_id: str, task_name: str | None = None, replies: Replies | None = None) -> StoredResult[Any]:
        """Of this task. With `replies`, it is pushed there, too."""
        return StoredResult(task_id, task_name, replies, backend=self)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def close(self, timeout: float) -> None:
        """Write what waits, within `timeout` seconds, and let go of the store; what is used later is opened anew."""
        with self._lock:
            writer, self._writer = self._writer, None
            store, self._store = self._store, None
        if writer is not None:
            writer.close(timeout)
        if store is not None:
            store.close()

    def _outcome(self, record: Record) -> Outcome:
        outcome = parse(record.body, record.properties, self._codec.reader, self._codec.signing)
        if outcome.fields and outcome.fields.get("task_id") != record.id:
            problem = f"the result store has the result of another task under the id {record.id}"
            return Outcome("FAILURE", _exception=ResultError(problem))
        return outcome
