"""The schema of SQL databases on servers, and its steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from amqptasks.errors import StoreRefused, StoreUnavailable
from amqptasks.results.stores import open_store
from amqptasks.results.stores.mysql import MysqlStore
from amqptasks.results.stores.postgresql import PostgresqlStore
from amqptasks.results.stores.sql import SqlStore
from tests.stores.conftest import NOW, record
from tests.stores.processes import begin_together
from tests.stores.servers import Server

CLASSES: dict[str, type[SqlStore]] = {"postgresql": PostgresqlStore, "mysql": MysqlStore}

pytestmark = pytest.mark.stores


@pytest.fixture(params=sorted(CLASSES))
def server(request: pytest.FixtureRequest, server_of: Callable[[str], Server]) -> Server:
    """Without a schema."""
    found = server_of(request.param)
    run(found, "drop table if exists amqptasks_results", "drop table if exists amqptasks_schema")
    return found


def run(server: Server, *statements: str) -> Any:
    """What the last of these gives, over a connection of the store's own kind."""
    store: Any = open_store(server.url)
    connection = store._connect()
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        rows = cursor.fetchall() if cursor.description else []
    connection.close()
    return rows


def steps(server: Server) -> int:
    return len(CLASSES[server.name].migrations)


def test_a_schema_of_each_earlier_version_is_brought_to_that_of_today(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in range(steps(server)):
        run(server, "drop table if exists amqptasks_results", "drop table if exists amqptasks_schema")
        with monkeypatch.context() as earlier:
            earlier.setattr(CLASSES[server.name], "migrations", CLASSES[server.name].migrations[:version])
            first = open_store(server.url)
            if version:
                first.write([record("old")])
            first.close()
        store = open_store(server.url)
        store.write([record("new")])
        assert run(server, "select version from amqptasks_schema") in ([(steps(server),)], ((steps(server),),))
        assert "new" in store.read(["old", "new"], NOW)
        store.close()


def test_a_step_that_was_not_noted_is_taken_again(server: Server) -> None:
    """A process was killed between the step and its note."""
    store = open_store(server.url)
    store.write([record("1")])
    store.close()
    for left in range(steps(server)):
        run(server, "delete from amqptasks_schema", f"insert into amqptasks_schema (version) values ({left})")
        again = open_store(server.url)
        assert list(again.read(["1"], NOW)) == ["1"]
        again.close()


def test_a_schema_of_a_newer_release_is_left_alone(server: Server) -> None:
    store = open_store(server.url)
    store.write([record("1")])
    store.close()
    run(server, f"update amqptasks_schema set version = {steps(server) + 1}")
    with pytest.raises(StoreUnavailable, match="newer release of amqptasks"):
        store.write([record("2")])
    assert len(run(server, "select id from amqptasks_results")) == 1
    run(server, "drop table amqptasks_schema")


def test_processes_that_begin_at_once_make_one_schema(server: Server) -> None:
    code = (
        "import sys; from tests.stores.test_sql import *\n"
        "store = open_store(sys.argv[1]); print('ready', flush=True); input(); store.write([record(sys.argv[2])])"
    )
    begin_together(code, [(server.url, name) for name in "abc"])
    assert len(run(server, "select version from amqptasks_schema")) == 1
    assert len(run(server, "select id from amqptasks_results")) == 3


def test_a_row_that_cannot_be_read_is_passed_over(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    store = open_store(server.url)
    store.write([record("1"), record("2")])
    run(server, "update amqptasks_results set record = '0' where id = '1'")
    assert list(store.read(["1", "2"], NOW)) == ["2"]
    assert "the record of task 1" in caplog.text
    store.close()


def test_a_lock_of_another_session_is_no_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    store: Any = open_store(server.url)
    monkeypatch.setattr(store, "begin", store.begin.replace("10s", "1s"))
    store.write([record("1", "STARTED")])
    other = store._connect()
    with other.cursor() as cursor:
        cursor.execute("begin")
        cursor.execute("select id from amqptasks_results for update")
        with pytest.raises(StoreUnavailable):
            store.write([record("1")])
        cursor.execute("rollback")
    other.close()
    store.write([record("1")])
    assert store.read(["1"], NOW)["1"].final
    store.close()


def test_a_record_that_mysql_never_takes_is_refused(server_of: Callable[[str], Server]) -> None:
    server = server_of("mysql")
    server.ask("set global max_allowed_packet = 1048576")  # type: ignore[call-arg]
    try:
        store = open_store(server.url)
        store.write([record("1", body=b"x" * 520_000)])
        for body in (b"x" * 525_000, b"\0" * 600_000):
            with pytest.raises(StoreRefused, match="max_allowed_packet"):
                store.write([record("2", body=body)])
        assert list(store.read(["1", "2"], NOW)) == ["1"]
        store.close()
    finally:
        server.ask("set global max_allowed_packet = 16777216")  # type: ignore[call-arg]


def test_an_id_that_postgresql_never_takes_is_refused(server_of: Callable[[str], Server]) -> None:
    store = open_store(server_of("postgresql").url)
    with pytest.raises(StoreRefused, match="NUL"):
        store.write([record("a\0b")])
    store.write([record("ab")])
    assert list(store.read(["ab"], NOW)) == ["ab"]
    store.close()
