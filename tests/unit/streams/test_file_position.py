"""`FilePosition`: the position of a stream's reader in a SQLite file, in the transaction that applies its records."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from amqptasks.streams.position import FilePosition, Position
from tests.unit.streams.still_link import record


def opened(path: Path) -> tuple[sqlite3.Connection, FilePosition]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("create table if not exists seen (number integer)")
    return connection, FilePosition(connection, "log")


def apply(connection: sqlite3.Connection, position: FilePosition, *numbers: int) -> list[int]:
    fresh = position.begin([record(number) for number in numbers])
    found = [int(str((one.properties.headers or {})["x-stream-offset"])) for one in fresh]
    connection.executemany("insert into seen values (?)", [(number,) for number in found])
    position.commit()
    return found


def test_each_record_is_applied_once_to_a_file_that_several_readers_share(tmp_path: Path) -> None:
    one, two = opened(tmp_path / "file"), opened(tmp_path / "file")
    assert one[1].read() is None, "a new file is read from the beginning"
    assert apply(*one, 0, 1, 2) == [0, 1, 2]
    assert apply(*two, 1, 2, 3) == [3]
    assert apply(*one, 3) == []
    assert one[1].read() == two[1].read() == Position(3, "id-3")
    assert one[0].execute("select number from seen order by number").fetchall() == [(0,), (1,), (2,), (3,)]


def test_what_was_not_committed_is_applied_once_more(tmp_path: Path) -> None:
    connection, position = opened(tmp_path / "file")
    apply(connection, position, 0)
    position.begin([record(1)])
    connection.execute("insert into seen values (1)")
    connection.close()  # killed
    connection, position = opened(tmp_path / "file")
    assert position.read() == Position(0, "id-0")
    position.begin([record(1)])
    position.rollback()
    assert apply(connection, position, 1) == [1]
    assert connection.execute("select number from seen").fetchall() == [(0,), (1,)]


def test_another_stream_begins_anew_in_the_file(tmp_path: Path) -> None:
    connection, position = opened(tmp_path / "file")
    apply(connection, position, 5)
    position.begin([])
    connection.execute("delete from seen")
    position.forget()
    position.commit()
    assert position.read() is None
    assert apply(connection, position, 0) == [0]
