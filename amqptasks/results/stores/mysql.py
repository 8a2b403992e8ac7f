"""`mysql://USER:PASSWORD@HOST/DATABASE`: results in MariaDB 10.6 or MySQL 8, or later ones, through PyMySQL."""

from __future__ import annotations

from typing import Any

from amqptasks.errors import ConfigurationError, StoreRefused
from amqptasks.results.stores.server_address import ServerAddress
from amqptasks.results.stores.sql import CONNECT_WITHIN, STATEMENT_WITHIN, TABLE, SqlStore

#: Who changes the schema holds the lock of this name.
SCHEMA_LOCK = "amqptasks_schema"

#: PyMySQL writes each byte of a record as two, in hexadecimal; and bytes of a statement besides the record.
BYTES_OF_ONE, AROUND = 2, 4096

#: Columns that a record brings which takes another's place.
_TAKEN = ("state", "final", "attempt", "expires_at", "at", "record")


class MysqlStore(SqlStore):
    """With `?ssl_ca=FILE` it is a connection over TLS to a server whose certificate that file's authority signed."""

    #: Ids are bytes: MySQL's texts are equal where one has more spaces at its end. `at`, when a record was made, and
    #: `taken` are there for the statement below.
    migrations = (
        f"""
        create table if not exists {TABLE} (
            id varbinary(255) primary key,
            state varchar(255) not null,
            final tinyint not null,
            attempt integer not null,
            expires_at double,
            at double not null,
            taken tinyint not null,
            record longblob not null,
            index {TABLE}_expire (expires_at)
        ) engine = InnoDB, character set = utf8mb4
        """,
    )

    #: Assignments are made from left to right, and see those before them: so the first says whether the row is taken.
    #: https://dev.mysql.com/doc/refman/8.4/en/insert-on-duplicate.html
    upsert = (
        f"insert into {TABLE} (id, state, final, attempt, expires_at, at, taken, record)"  # noqa: S608 - a constant
        " values (%(id)s, %(state)s, %(final)s, %(attempt)s, %(expires_at)s, %(at)s, %(taken)s, %(record)s)"
        " on duplicate key update"
        " taken = if(coalesce(expires_at <= values(at), 0) or (final = 0 and values(state) <> 'SENT'"
        " and (values(final) = 1 or values(attempt) >= attempt)), 1, 0),"
        + ",".join(f" {name} = if(taken, values({name}), {name})" for name in _TAKEN)
    )

    here = "database()"

    def _driver(self) -> Any:
        try:
            import pymysql
        except ImportError as error:
            raise ConfigurationError("backend mysql:// needs PyMySQL: pip install 'amqptasks[sql]'") from error
        self._pymysql = pymysql
        self._address = ServerAddress.read(self._url, 3306, ("ssl_ca", "unix_socket"))
        if not self._address.path:
            raise ConfigurationError(
                "backend: the address names no database: write mysql://USER:PASSWORD@HOST/DATABASE"
            )
        self._largest = 0
        return pymysql

    def _connect(self) -> Any:
        address = self._address
        connection = self._pymysql.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            database=address.path,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=CONNECT_WITHIN,
            read_timeout=STATEMENT_WITHIN,
            write_timeout=STATEMENT_WITHIN,
            ssl_ca=address.options.get("ssl_ca"),
            unix_socket=address.options.get("unix_socket"),
        )
        with connection.cursor() as cursor:
            # Locks on rows alone, and none on what lies between them: writers of other tasks do not wait.
            cursor.execute("set session transaction isolation level read committed")
            cursor.execute("set session innodb_lock_wait_timeout = %s", (STATEMENT_WITHIN // 2,))
            cursor.execute("select @@max_allowed_packet")
            self._largest = cursor.fetchone()[0]
        return connection

    def _keep(self, cursor: Any, rows: list[dict[str, object]]) -> None:
        for row in rows:
            data = row["record"]
            assert isinstance(data, bytes)
            size = BYTES_OF_ONE * len(data) + AROUND
            if size > self._largest:
                raise StoreRefused(
                    f"{self.where} takes statements of {self._largest:,} bytes at most (max_allowed_packet), and that"
                    f" of this record has {size:,}"
                )
        # PyMySQL joins rows only where each value is a parameter.
        cursor.executemany(self.upsert, [{**row, "taken": 0} for row in rows])

    def _lock_schema(self, cursor: Any) -> None:
        cursor.execute("select get_lock(%s, %s)", (SCHEMA_LOCK, STATEMENT_WITHIN // 2))
        if not cursor.fetchone()[0]:
            raise self._pymysql.OperationalError("another process changes the schema, and does not end")

    def _unlock_schema(self, cursor: Any) -> None:
        cursor.execute("select release_lock(%s)", (SCHEMA_LOCK,))
