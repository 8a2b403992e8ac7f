"""`sqlite://`: the schema and its steps, several processes, and a file that is not as it should be."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from amqptasks.errors import ConfigurationError, StoreUnavailable
from amqptasks.results.stores import sqlite
from amqptasks.results.stores.sqlite import MIGRATIONS, SqliteStore
from tests.stores.conftest import NOW, record
from tests.stores.processes import check_a_fork


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "results.db"


def store_of(file: Path) -> SqliteStore:
    return SqliteStore(f"sqlite:///{file}")


def version_of(file: Path) -> int:
    connection = sqlite3.connect(file)
    version: int = connection.execute("pragma user_version").fetchone()[0]
    connection.close()
    return version


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite://results.db", "sqlite:///:memory:"])
def test_an_address_without_a_file_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"sqlite:///results\.db"):
        SqliteStore(url)


def test_a_relative_and_a_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    relative = SqliteStore("sqlite:///here.db")
    relative.write([record()])
    whole = store_of(tmp_path / "here.db")
    assert list(whole.read(["1"], NOW)) == ["1"]
    relative.close()
    whole.close()


@pytest.mark.parametrize("version", range(len(MIGRATIONS)))
def test_a_file_of_an_earlier_schema_is_brought_to_that_of_today(
    file: Path, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(sqlite, "MIGRATIONS", MIGRATIONS[:version])
        first = store_of(file)
        if version:
            first.write([record("old")])
        first.close()
    store = store_of(file)
    store.write([record("new")])
    assert version_of(file) == len(MIGRATIONS)
    assert sorted(store.read(["old", "new"], NOW)) == (["new", "old"] if version else ["new"])
    store.close()


def test_a_file_of_a_newer_schema_is_left_alone(file: Path) -> None:
    store = store_of(file)
    store.write([record()])
    store.close()
    connection = sqlite3.connect(file)
    connection.execute(f"pragma user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(StoreUnavailable, match="newer release of amqptasks"):
        store.write([record("2")])
    assert version_of(file) == len(MIGRATIONS) + 1


def test_two_that_begin_at_once_make_one_schema(file: Path) -> None:
    code = (
        "import sys; from amqptasks.results.stores.sqlite import SqliteStore;"
        "store = SqliteStore(sys.argv[1]); print('ready', flush=True); input(); store.read(['1'], 0.0)"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, f"sqlite:///{file}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    assert [(child.communicate("\n", timeout=30), child.returncode)[1] for child in children] == [0, 0, 0]
    assert version_of(file) == len(MIGRATIONS)


def test_a_writer_that_is_killed_leaves_what_it_had_written(file: Path) -> None:
    code = (
        "import sys; from tests.stores.test_sqlite import *\n"
        "store = store_of(Path(sys.argv[1]))\n"
        "for number in range(10**6):\n"
        "    store.write([record(str(number))]); print(number, flush=True)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(file)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    while child.stdout.readline() != "50\n":
        pass
    child.send_signal(signal.SIGKILL)
    told = 51 + len(child.communicate()[0].split())
    store = store_of(file)
    assert len(store.read([str(number) for number in range(told)], NOW)) == told
    store.write([record("after")])
    assert list(store.read(["after"], NOW)) == ["after"]
    store.close()


def test_a_file_in_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="unable to open database file"):
        store_of(tmp_path / "nowhere" / "results.db").write([record()])


def test_a_file_that_is_no_database_is_told(file: Path) -> None:
    file.write_bytes(b"something else" * 1000)
    with pytest.raises(StoreUnavailable, match="not a database"):
        store_of(file).read(["1"], NOW)


def test_a_file_that_is_removed_is_made_again(file: Path) -> None:
    store = store_of(file)
    store.write([record("1")])
    for each in file.parent.iterdir():
        each.unlink()
    store.write([record("2")])
    other = store_of(file)
    assert list(other.read(["1", "2"], NOW)) == ["2"]
    store.close()
    other.close()


def test_a_record_that_cannot_be_read_is_passed_over(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = store_of(file)
    store.write([record("1"), record("2")])
    connection = sqlite3.connect(file)
    connection.execute("update results set record = x'00' where id = '1'")
    connection.commit()
    connection.close()
    assert list(store.read(["1", "2"], NOW)) == ["2"]
    assert "the record of task 1" in caplog.text
    store.close()


def test_one_that_waits_too_long_for_another_writer_says_so(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_WITHIN", 0.05)
    store = store_of(file)
    store.write([record("1")])
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("begin immediate")
    with pytest.raises(StoreUnavailable, match="locked"):
        store.write([record("2")])
    other.execute("rollback")
    other.close()
    store.write([record("2")])
    assert len(store.read(["1", "2"], NOW)) == 2
    store.close()


def test_a_forked_child_has_a_connection_of_its_own(file: Path) -> None:
    store = store_of(file)
    check_a_fork(store)
    store.close()


def test_many_that_open_a_new_file_at_once_wait_for_each_other(tmp_path: Path) -> None:
    """SQLite itself does not wait for another one that changes the file's journal."""
    errors: list[Exception] = []

    def read(file: Path) -> None:
        store = store_of(file)
        try:
            store.read(["1"], NOW)
        except StoreUnavailable as error:
            errors.append(error)
        store.close()

    for number in range(20):
        threads = [threading.Thread(target=read, args=(tmp_path / f"{number}.db",)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
