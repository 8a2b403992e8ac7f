"""What a watched worker hears of signals, with a line of Python in its place. Of two TERMs in a row it may hear one:
each is waited for before the next can come."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from amqptasks.dev.child import Child
from amqptasks.dev.watch import Watcher
from tests.harness.wait import wait_for

#: A worker: notes each signal, and leaves when it is told so by a file after its first TERM, or at QUIT.
WORKER = """
import os, signal, sys, time
heard = set()
def note(word):
    with open(sys.argv[1], "a") as log:
        log.write(word + "\\n")
def hear(number, frame):
    note(signal.Signals(number).name)
    heard.add(number)
for number in (signal.SIGTERM, signal.SIGQUIT):
    signal.signal(number, hear)
note("began")
while signal.SIGQUIT not in heard and not (heard and os.path.exists(sys.argv[2])):
    time.sleep(0.02)
"""


class Watched:
    def __init__(self, log: Path) -> None:
        self._log = log
        self._may_leave = log.with_name("may-leave")
        self.child = Child([sys.executable, "-c", WORKER, str(log), str(self._may_leave)])
        self.watcher = Watcher([], [])
        self.watcher._child = self.child

    @property
    def heard(self) -> list[str]:
        return self._log.read_text().split() if self._log.exists() else []

    def leave(self) -> None:
        """Its tasks have ended."""
        self._may_leave.touch()

    def hears(self, *words: str) -> None:
        wait_for(lambda: self.heard == ["began", *words], 20, lambda: f"{words}, and heard was {self.heard}")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path / "log")
    made.hears()
    yield made
    made.child.process.kill()
    made.child.process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_is_one_word_to_the_worker(watched: Watched, number: signal.Signals) -> None:
    watched.watcher._on_signal(number, None)
    watched.hears("SIGTERM")
    watched.leave()
    assert watched.child.end(20) == 0
    assert watched.heard == ["began", "SIGTERM"]


def test_a_signal_that_comes_amid_a_restart_hurries_nobody(watched: Watched) -> None:
    restart = threading.Thread(target=watched.child.end, args=(20,))
    restart.start()
    watched.hears("SIGTERM")
    watched.watcher._on_signal(signal.SIGINT, None)
    watched.leave()
    restart.join(20)
    assert watched.heard == ["began", "SIGTERM"]


def test_a_signal_amid_a_restart_gives_tasks_the_time_of_a_stop(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[None] = []
    poll = watched.child.process.poll
    monkeypatch.setattr(watched.child.process, "poll", lambda: (looks.append(None), poll())[1])
    watched.watcher._on_signal(signal.SIGINT, None)
    watched.hears("SIGTERM")
    restart = threading.Thread(target=watched.child.end, args=(0.0,))  # its own patience is over at once
    restart.start()
    seen = len(looks)
    wait_for(lambda: len(looks) > seen + 4)
    watched.leave()
    restart.join(20)
    assert watched.heard == ["began", "SIGTERM"], "no QUIT"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_signal_amid_the_asking_is_no_second_word(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Python runs the handler of a signal between any two of its own steps, also of `ask`."""
    child, sent = watched.child, []
    monkeypatch.setattr(child, "signal", sent.append)
    known, asked = child._asked, []

    class Interrupted:
        def acquire(self, *, blocking: bool) -> bool:
            first = not asked
            asked.append(True)
            if first and moment == "before":
                child.ask()
            taken = known.acquire(blocking=blocking)
            if first and moment == "after":
                child.ask()
            return taken

    monkeypatch.setattr(child, "_asked", Interrupted())
    child.ask()
    assert len(asked) == 2
    assert sent == [signal.SIGTERM]


def test_a_second_signal_and_quit_leave_no_time(watched: Watched) -> None:
    watched.watcher._on_signal(signal.SIGINT, None)
    watched.hears("SIGTERM")
    watched.watcher._on_signal(signal.SIGINT, None)
    watched.hears("SIGTERM", "SIGQUIT")


def test_quit_is_passed_on_as_it_is(watched: Watched) -> None:
    watched.watcher._on_signal(signal.SIGQUIT, None)
    watched.hears("SIGQUIT")
