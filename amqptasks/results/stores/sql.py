"""Results in an SQL database on a server: the schema and its steps, and what postgresql.py and mysql.py share.

Both drivers follow Python's DB-API 2.0 (PEP 249), with `%s` for values.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from amqptasks.errors import StoreRefused, StoreUnavailable
from amqptasks.results.record import Record, records_in
from amqptasks.results.stores.connections import Connections, one_line
from amqptasks.untrusted.masks import masked_address

T = TypeVar("T")

TABLE = "amqptasks_results"

#: One row: how many of the steps to the schema of today were taken.
VERSION_TABLE = "amqptasks_schema"

#: Seconds for a connection, and for one statement. A statement takes some milliseconds, and waits for a lock of another
#: process at most as long as that one's transaction.
CONNECT_WITHIN, STATEMENT_WITHIN = 5, 10

#: Ids in one question.
AT_ONCE = 500

#: Expired records that one step of cleaning removes: a few milliseconds, in which others may wait for a lock.
CLEANED_AT_ONCE = 1000


def row_of(record: Record) -> dict[str, object]:
    """The values of a record, by column; `at` is when it was made."""
    return {
        "id": record.id,
        "state": record.state,
        "final": int(record.final),
        "attempt": record.attempt,
        "expires_at": record.expires_at,
        "at": record.at,
        "record": record.encode(),
    }


class SqlStore(ABC):
    """`migrations` are the steps from an empty database to the schema of today, each a statement. A step that was
    released is never changed: a new one goes behind it. A process may be killed between a step and the note that it was
    taken, and MySQL has no transactions of such statements: so each must do no harm when it is taken again."""

    pauses = (0.02, 0.5)

    migrations: tuple[str, ...]

    #: Keeps a row where there is none, or where `Record.replaces` says so.
    upsert: str

    #: Where tables without a prefix are looked for.
    here: str

    #: Begins a transaction that waits for no lock longer than a statement may take.
    begin = "begin"

    def __init__(self, url: str) -> None:
        self._url = url
        self.where = masked_address(url)
        driver = self._driver()
        self._error = driver.Error
        #: The bytes, or what they stand for, and not the server.
        self._refusals: tuple[type[BaseException], ...] = (driver.DataError,)
        self._connections: Connections[Any] = Connections(
            self._opened, lambda connection: connection.close(), (driver.OperationalError, driver.InterfaceError)
        )

    @abstractmethod
    def _driver(self) -> Any:
        """The module of the driver. Raises `ConfigurationError` where it is not installed, or where the address is
        none."""

    @abstractmethod
    def _connect(self) -> Any:
        """A connection in which each statement is a transaction, unless one was begun."""

    @abstractmethod
    def _lock_schema(self, cursor: Any) -> None:
        """Let one process at a time change the schema, up to the end of the transaction at least."""

    def _unlock_schema(self, cursor: Any) -> None:  # noqa: B027 - none, where the lock goes with the transaction
        """The schema is changed, and the transaction has ended."""

    def write(self, records: Sequence[Record]) -> None:
        # In the order of their ids: two writers that lock the same rows do not wait for each other for ever.
        rows = sorted(map(row_of, records), key=lambda row: str(row["id"]))

        def act(connection: Any) -> None:
            with connection.cursor() as cursor:
                cursor.execute(self.begin)
                self._keep(cursor, rows)
                cursor.execute("commit")

        self._run(act)

    def _keep(self, cursor: Any, rows: list[dict[str, object]]) -> None:
        cursor.executemany(self.upsert, rows)

    def read(self, ids: Sequence[str], now: float) -> dict[str, Record]:
        def act(connection: Any) -> dict[str, Record]:
            found: dict[str, Record] = {}
            with connection.cursor() as cursor:
                for start in range(0, len(ids), AT_ONCE):
                    some = ids[start : start + AT_ONCE]
                    cursor.execute(f"select id, record from {TABLE} where id in ({_marks(some)})", some)  # noqa: S608
                    found.update(records_in(cursor, now, self.where))
            return found

        return self._run(act)

    def forget(self, ids: Sequence[str]) -> None:
        def act(connection: Any) -> None:
            with connection.cursor() as cursor:
                for start in range(0, len(ids), AT_ONCE):
                    self._delete(cursor, ids[start : start + AT_ONCE])

        self._run(act)

    def clean(self, now: float) -> int:
        """What another process removes at this moment is left to it."""

        def act(connection: Any) -> int:
            with connection.cursor() as cursor:
                cursor.execute(self.begin)
                cursor.execute(
                    f"select id from {TABLE} where expires_at <= %s limit %s for update skip locked",  # noqa: S608
                    (now, CLEANED_AT_ONCE),
                )
                ids = [row[0] for row in cursor.fetchall()]
                self._delete(cursor, ids)
                cursor.execute("commit")
            return len(ids)

        return self._run(act)

    def close(self) -> None:
        self._connections.close()

    @staticmethod
    def _delete(cursor: Any, ids: Sequence[Any]) -> None:
        if ids:
            cursor.execute(f"delete from {TABLE} where id in ({_marks(ids)})", tuple(ids))  # noqa: S608 - marks alone

    def _run(self, act: Callable[[Any], T]) -> T:
        try:
            return self._connections.run(act)
        except self._refusals as error:
            raise StoreRefused(f"{self.where} does not take it: {one_line(error)}") from error
        except self._error as error:
            raise StoreUnavailable(f"{self.where}: {one_line(error)}") from error

    def _opened(self) -> Any:
        connection = self._connect()
        try:
            with connection.cursor() as cursor:
                if self._version(cursor) < len(self.migrations):
                    self._migrate(cursor)
        except BaseException:
            connection.close()
            raise
        return connection

    def _version(self, cursor: Any) -> int:
        cursor.execute(
            f"select count(*) from information_schema.tables where table_name = %s and table_schema = {self.here}",  # noqa: S608
            (VERSION_TABLE,),
        )
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute(f"select max(version) from {VERSION_TABLE}")  # noqa: S608 - a constant
        version: int = cursor.fetchone()[0] or 0
        if version > len(self.migrations):
            raise StoreUnavailable(
                f"{self.where} has the schema {version} of a newer release of amqptasks, and this one knows"
                f" {len(self.migrations)}: upgrade this process"
            )
        return version

    def _migrate(self, cursor: Any) -> None:
        cursor.execute(self.begin)
        self._lock_schema(cursor)
        cursor.execute(f"create table if not exists {VERSION_TABLE} (version integer not null)")
        version = self._version(cursor)  # another process may have been faster
        for number, step in enumerate(self.migrations[version:], version + 1):
            cursor.execute(step)
            cursor.execute(f"delete from {VERSION_TABLE}")  # noqa: S608 - a constant
            cursor.execute(f"insert into {VERSION_TABLE} (version) values (%s)", (number,))  # noqa: S608 - a constant
        cursor.execute("commit")
        self._unlock_schema(cursor)


def _marks(values: Sequence[object]) -> str:
    return ",".join(["%s"] * len(values))
