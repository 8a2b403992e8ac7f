"""`postgresql://USER:PASSWORD@HOST/DATABASE`: results in PostgreSQL, through psycopg 3."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from amqptasks.errors import ConfigurationError
from amqptasks.results.stores.connections import one_line
from amqptasks.results.stores.sql import CONNECT_WITHIN, STATEMENT_WITHIN, TABLE, SqlStore
from amqptasks.runtime.clock import monotonic

#: A number of ours: who changes the schema holds the advisory lock of it.
SCHEMA_LOCK = 0x616D7170


class PostgresqlStore(SqlStore):
    """The address is one of libpq, with its options: `?sslmode=verify-full`, several hosts.
    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS"""

    migrations = (
        f"""
        create table if not exists {TABLE} (
            id text primary key,
            state text not null,
            final integer not null,
            attempt integer not null,
            expires_at double precision,
            record bytea not null
        )
        """,
        f"create index if not exists {TABLE}_expire on {TABLE} (expires_at) where expires_at is not null",
    )

    upsert = f"""
        insert into {TABLE} as known (id, state, final, attempt, expires_at, record)
        values (%(id)s, %(state)s, %(final)s, %(attempt)s, %(expires_at)s, %(record)s)
        on conflict (id) do update set
            state = excluded.state, final = excluded.final, attempt = excluded.attempt,
            expires_at = excluded.expires_at, record = excluded.record
        where known.expires_at <= %(at)s
           or (known.final = 0 and excluded.state <> 'SENT'
               and (excluded.final = 1 or excluded.attempt >= known.attempt))
    """  # noqa: S608 - a constant

    #: A client that gave up must not leave a statement behind that waits for a lock.
    begin = f"begin; set local statement_timeout = '{STATEMENT_WITHIN}s'"

    here = "current_schema()"

    def _driver(self) -> Any:
        try:
            import psycopg
        except ImportError as error:
            raise ConfigurationError(
                f"backend postgresql:// needs psycopg: pip install 'amqptasks[sql]' ({one_line(error)})"
            ) from error

        class Bounded(psycopg.Connection[Any]):  # type: ignore[misc]
            """Its statements end within a limit of time, also where the server is silent."""

            def wait(self, gen: Any, *given: Any, **named: Any) -> Any:
                return super().wait(bounded(gen, psycopg.OperationalError), *given, **named)

        try:
            self._options = psycopg.conninfo.conninfo_to_dict(self._url)
        except psycopg.Error:  # its words may quote the password
            raise ConfigurationError(
                "backend: the address cannot be read: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with @, :"
                " and / in a password as %40, %3A and %2F"
            ) from None
        self._options.setdefault("connect_timeout", CONNECT_WITHIN)
        self._options.setdefault("application_name", "amqptasks")
        self._bounded = Bounded
        return psycopg

    def _connect(self) -> Any:
        # Without prepared statements, which a pooler in front of the server may not know on its next connection.
        return self._bounded.connect(**self._options, autocommit=True, prepare_threshold=None)

    def _lock_schema(self, cursor: Any) -> None:
        cursor.execute("select pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))


def bounded(waiting: Generator[Any, Any, Any], error: type[Exception]) -> Generator[Any, Any, Any]:
    """What psycopg waits for, for so long and no longer. psycopg asks again every tenth of a second."""
    until = monotonic() + STATEMENT_WITHIN
    try:
        wanted = next(waiting)
        while True:
            ready = yield wanted
            if monotonic() > until:
                waiting.close()
                raise error(f"no answer within {STATEMENT_WITHIN} s")
            wanted = waiting.send(ready)
    except StopIteration as end:
        return end.value
