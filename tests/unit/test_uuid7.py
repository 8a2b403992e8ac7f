"""Task ids are unique and increasing: in a burst, over threads, in a forked child, with a clock set back."""

from __future__ import annotations

import os
import threading
import time

import pytest

from amqptasks import uuid7
from amqptasks.uuid7 import made_at, task_id


def test_ids_of_one_process_are_strictly_increasing() -> None:
    ids = [task_id() for _ in range(20_000)]
    assert ids == sorted(set(ids))


def test_ids_increase_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first = task_id()
    monkeypatch.setattr(uuid7, "time_ns", lambda: 0)
    assert first < task_id() < task_id()


def test_ids_increase_when_a_millisecond_is_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    before = task_id()
    monkeypatch.setattr(uuid7, "time_ns", lambda: 0)
    monkeypatch.setattr(uuid7, "_tail", (1 << 74) - 1)
    after = task_id()
    assert before < after
    assert int(after.replace("-", "")[:12], 16) == int(before.replace("-", "")[:12], 16) + 1


def test_ids_of_threads_never_meet() -> None:
    made: list[list[str]] = []
    threads = [threading.Thread(target=lambda: made.append([task_id() for _ in range(5000)])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one for ids in made for one in ids}) == 20_000
    assert all(ids == sorted(ids) for ids in made)


def test_a_forked_child_makes_other_ids_even_while_the_parent_is_making_one() -> None:
    read, write = os.pipe()
    with uuid7._lock:  # as if another thread held it at the moment of the fork
        child = os.fork()
        if child == 0:
            os.write(write, task_id().encode())
            os._exit(0)
    os.close(write)
    with open(read) as pipe:
        theirs = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    assert len(theirs) == 36
    assert theirs != task_id()


def test_an_id_tells_when_it_was_made() -> None:
    assert made_at(task_id()) == pytest.approx(time.time(), abs=5)


@pytest.mark.parametrize("other", ["00f69bb6-6b13-412e-8f99-ede4a9a841ff", "no uuid", "", "x" * 14 + "7" + "x" * 21])
def test_an_id_of_another_kind_tells_no_time(other: str) -> None:
    assert made_at(other) is None
