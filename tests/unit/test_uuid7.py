"""Task ids are unique and increasing: in a burst, over threads, in a forked child, with a clock set back."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from amqptasks.messages.ids import made_at, task_id


def test_ids_of_one_process_are_strictly_increasing() -> None:
    ids = [task_id() for _ in range(20_000)]
    assert ids == sorted(set(ids))


def test_ids_increase_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first = task_id()
    monkeypatch.setattr("amqptasks.messages.ids.time_ns", lambda: 0)
    assert first < task_id() < task_id()


#: The ids that a handler of a signal makes, at each line of `task_id` in turn.
WITHIN = """
import sys
from amqptasks.messages.ids import task_id

def trace(frame, event, argument):
    global count, within
    count += event == "line"
    if event == "line" and count == at:
        sys.settrace(None)
        within = task_id()
    return trace

made = [task_id()]
for at in range(1, 1000):
    count, within = 0, ""
    sys.settrace(trace)
    outer = task_id()
    sys.settrace(None)
    if not within:
        break
    made += [within, outer]
print(at > 5, within == "", len(set(made)) == len(made), made[0] < min(made[1:]))
"""


def test_ids_are_made_in_the_handler_of_a_signal_at_every_line_of_making_another() -> None:
    """Publishing from a handler must not wait for what the handler interrupts. In an interpreter of its own: beside
    other threads, Python 3.11.7 sometimes never comes back from a function whose trace ends in it."""
    done = subprocess.run([sys.executable, "-c", WITHIN], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["True"] * 4


def test_ids_of_threads_never_meet() -> None:
    made: list[list[str]] = []
    threads = [threading.Thread(target=lambda: made.append([task_id() for _ in range(5000)])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one for ids in made for one in ids}) == 20_000
    assert all(ids == sorted(ids) for ids in made)


FORKS = """
import os
from amqptasks.messages.ids import task_id
task_id()
read, write = os.pipe()
child = os.fork()
if child == 0:
    os.write(write, task_id().encode())
    os._exit(0)
os.close(write)
with open(read) as pipe:
    print(pipe.read(), os.waitpid(child, 0)[1], task_id())
"""


def test_a_forked_child_makes_other_ids_than_its_parent() -> None:
    """In an interpreter of its own: this one has threads of other tests."""
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=30, check=True)
    theirs, status, ours = done.stdout.split()
    assert status == "0"
    assert len(theirs) == 36
    assert theirs != ours


def test_an_id_tells_when_it_was_made() -> None:
    assert made_at(task_id()) == pytest.approx(time.time(), abs=5)


@pytest.mark.parametrize("other", ["00f69bb6-6b13-412e-8f99-ede4a9a841ff", "no uuid", "", "x" * 14 + "7" + "x" * 21])
def test_an_id_of_another_kind_tells_no_time(other: str) -> None:
    assert made_at(other) is None
