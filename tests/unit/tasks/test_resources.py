"""Resources of a class of tasks: opened once, closed at the end, and never handed out closed."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from amqptasks import App, Task, resource
from amqptasks.tasks.resources import close_all


class Connection:
    def __init__(self) -> None:
        self.pid = os.getpid()
        self.closed = False


class Stored(Task[..., Any]):
    @resource
    def database(self) -> Generator[Connection]:
        connection = Connection()
        yield connection
        connection.closed = True


@pytest.fixture(autouse=True)
def _closed_after() -> Iterator[None]:
    yield
    close_all()


def a_task(name: str = "shop.save") -> Any:
    return App("shop", "memory://unused").task(name=name, base=Stored)(lambda: None)


def test_it_is_opened_once_and_shared_by_the_runs_of_its_task() -> None:
    task, other = a_task(), a_task("shop.load")
    assert task.database is task.database
    assert task.database is not other.database


def test_after_it_was_closed_a_task_gets_a_new_one() -> None:
    """The second task of a process must not get the first one's closed connection."""
    task = a_task()
    first = task.database
    close_all()
    assert first.closed
    second = task.database
    assert second is not first
    assert not second.closed


def test_closing_one_that_raises_closes_the_others(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Task[..., Any]):
        @resource
        def file(self) -> Generator[int]:
            yield 1
            raise OSError("the disk is full")

    good, broken = a_task(), App("shop", "memory://unused").task(base=Broken)(lambda: None)
    connection = good.database
    assert broken.file == 1  # type: ignore[attr-defined]
    close_all()
    assert connection.closed
    assert "closing Broken.file failed" in caplog.text


def test_a_worker_closes_them_when_it_stops(app: App) -> None:
    seen: list[Connection] = []

    @app.task(name="shop.note", base=Stored, bind=True)
    def note(self: Any) -> bool:
        seen.append(self.database)
        return bool(self.database.closed)

    for _ in range(2):
        with app.worker():
            assert note.delay().get(timeout=5) is False
            assert note.delay().get(timeout=5) is False
    assert seen[0] is seen[1]
    assert seen[1] is not seen[2]
    assert all(connection.closed for connection in seen)


def _in_child(task: Any, parents: Connection, answers: Any) -> None:
    mine = task.database
    close_all()
    answers.put((mine.pid == os.getpid(), mine is not parents, mine.closed, parents.closed))


def test_a_forked_child_opens_its_own_and_leaves_its_parents_alone() -> None:
    task = a_task()
    parents = task.database
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()
    child = fork.Process(target=_in_child, args=(task, parents, answers))
    child.start()
    child.join(10)
    assert answers.get() == (True, True, True, False)
    assert not parents.closed
