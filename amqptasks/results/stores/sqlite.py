"""`sqlite:///FILE`: results in a file of SQLite, for workers and callers of one machine.

https://www.sqlite.org/wal.html: readers and one writer at a time, of several processes, on a local disk. Not for a file
on a network's disk, where locks do not hold.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from amqptasks.errors import ConfigurationError, StoreRefused, StoreUnavailable
from amqptasks.results.record import Record, records_in
from amqptasks.results.stores.sql import row_of
from amqptasks.runtime import forks
from amqptasks.runtime.clock import monotonic

SCHEME = "sqlite://"

#: Seconds that a write waits for one of another process. Each takes some milliseconds.
BUSY_WITHIN = 5.0

#: Ids in one question. SQLite takes 999 at least.
AT_ONCE = 500

#: Expired records that one step of cleaning removes: a few milliseconds, in which other writers wait.
CLEANED_AT_ONCE = 1000

#: The steps from an empty file to the schema of today; `user_version` in the file counts those that were taken. A step
#: that was released is never changed: a new one goes behind it.
MIGRATIONS = (
    """
    create table results (
        id text primary key,
        state text not null,
        final integer not null,
        attempt integer not null,
        expires_at real,
        record blob not null
    )
    """,
    "create index results_expire on results (expires_at) where expires_at is not null",
)

#: The first final state stays, until it has expired; see `Record.replaces`.
_WRITE = """
    insert into results (id, state, final, attempt, expires_at, record)
    values (:id, :state, :final, :attempt, :expires_at, :record)
    on conflict (id) do update set
        state = excluded.state, final = excluded.final, attempt = excluded.attempt,
        expires_at = excluded.expires_at, record = excluded.record
    where results.expires_at <= :at
       or (not results.final and excluded.state <> 'SENT' and (excluded.final or excluded.attempt >= results.attempt))
"""

_CLEAN = "delete from results where id in (select id from results where expires_at <= ? limit ?)"

#: Connections that a forked child has from its parent. Closing one would let go of the parent's locks.
_of_parents: list[sqlite3.Connection] = []


class SqliteStore:
    """`sqlite:///relative/path` or `sqlite:////absolute/path`."""

    pauses = (0.02, 0.5)

    def __init__(self, url: str) -> None:
        path = url.removeprefix(SCHEME)
        if not path.startswith("/") or not path.strip("/") or path == "/:memory:":
            raise ConfigurationError(
                f"backend {url!r} names no file: write sqlite:///results.db, or sqlite:////var/lib/results.db with the"
                " whole path; or memory://"
            )
        self.where = url
        self._path = path[1:]
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        forks.in_child(self._let_go)

    def _let_go(self) -> None:
        if self._connection is not None:
            _of_parents.append(self._connection)
            self._connection = None
        self._lock = threading.Lock()

    def write(self, records: Sequence[Record]) -> None:
        rows = [row_of(record) for record in records]
        with self._connected() as connection:
            connection.execute("begin immediate")
            try:
                connection.executemany(_WRITE, rows)
                connection.execute("commit")
            except BaseException:
                connection.execute("rollback")
                raise

    def read(self, ids: Sequence[str], now: float) -> dict[str, Record]:
        found: dict[str, Record] = {}
        with self._connected() as connection:
            for start in range(0, len(ids), AT_ONCE):
                some = ids[start : start + AT_ONCE]
                marks = ",".join("?" * len(some))
                rows = connection.execute(f"select id, record from results where id in ({marks})", some)  # noqa: S608
                found.update(records_in(rows, now, self.where))
        return found

    def forget(self, ids: Sequence[str]) -> None:
        with self._connected() as connection:
            connection.executemany("delete from results where id = ?", [(identity,) for identity in ids])

    def clean(self, now: float) -> int:
        with self._connected() as connection:
            return connection.execute(_CLEAN, (now, CLEANED_AT_ONCE)).rowcount

    def close(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                if self._connection is not None and not self._is_same_file():
                    self._connection.close()  # somebody removed the file: what is written to it nobody would find
                    self._connection = None
                if self._connection is None:
                    self._connection = self._opened()
                yield self._connection
            except (sqlite3.DataError, OverflowError) as error:
                raise StoreRefused(f"{self.where} does not take it: {error}") from error
            except sqlite3.Error as error:
                raise StoreUnavailable(f"{self.where}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, BUSY_WITHIN, isolation_level=None, check_same_thread=False)
        try:
            if connection.execute("pragma journal_mode").fetchone()[0] != "wal":  # the file keeps it
                connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = full")  # safe also when the power fails: a task is acked after it
            self._migrate(connection)
            self._inode = os.stat(self._path).st_ino
        except BaseException:
            connection.close()
            raise
        return connection

    def _opened(self) -> sqlite3.Connection:
        """SQLite does not wait for one that changes the journal of a new file, nor for the last one that closes it."""
        until = monotonic() + BUSY_WITHIN
        while True:
            try:
                return self._open()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or monotonic() > until:
                    raise
            time.sleep(0.01)

    def _is_same_file(self) -> bool:
        try:
            return os.stat(self._path).st_ino == self._inode
        except OSError:
            return False

    def _migrate(self, connection: sqlite3.Connection) -> None:
        """Take the steps that this file has not taken; several processes may come at once."""
        if self._version(connection) == len(MIGRATIONS):
            return
        connection.execute("begin immediate")
        try:
            version = self._version(connection)
            for number, step in enumerate(MIGRATIONS[version:], version + 1):
                connection.execute(step)
                connection.execute(f"pragma user_version = {number}")
            connection.execute("commit")
        except BaseException:
            connection.execute("rollback")
            raise

    def _version(self, connection: sqlite3.Connection) -> int:
        version: int = connection.execute("pragma user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise StoreUnavailable(
                f"{self.where} has the schema {version} of a newer release of amqptasks, and this one knows"
                f" {len(MIGRATIONS)}: upgrade this process"
            )
        return version
