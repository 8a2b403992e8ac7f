"""What a watched worker hears of signals, with a line of Python in its place. Of two TERMs in a row it may hear one:
each is waited for before the next can come."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from amqptasks.worker.child import Child
from amqptasks.worker.watch import Watcher
from tests.harness.wait import wait_for

#: A worker: notes each signal, and leaves half a second after its first TERM, or at QUIT.
WORKER = """
import signal, sys, time
ends = [time.monotonic() + 60]
def note(word):
    with open(sys.argv[1], "a") as log:
        log.write(word + "\\n")
def hear(number, frame):
    note(signal.Signals(number).name)
    ends.append(0 if number == signal.SIGQUIT else time.monotonic() + 0.5)
for number in (signal.SIGTERM, signal.SIGQUIT):
    signal.signal(number, hear)
note("began")
while time.monotonic() < min(ends):
    time.sleep(0.02)
"""


class Watched:
    def __init__(self, log: Path) -> None:
        self._log = log
        self.child = Child([sys.executable, "-c", WORKER, str(log)])
        self.watcher = Watcher([], [])
        self.watcher._child = self.child

    @property
    def heard(self) -> list[str]:
        return self._log.read_text().split() if self._log.exists() else []

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
    assert watched.child.end(20) == 0
    assert watched.heard == ["began", "SIGTERM"]


def test_a_signal_that_comes_amid_a_restart_hurries_nobody(watched: Watched) -> None:
    restart = threading.Thread(target=watched.child.end, args=(20,))
    restart.start()
    watched.hears("SIGTERM")
    watched.watcher._on_signal(signal.SIGINT, None)
    restart.join(20)
    assert watched.heard == ["began", "SIGTERM"]


def test_a_second_signal_and_quit_leave_no_time(watched: Watched) -> None:
    watched.watcher._on_signal(signal.SIGINT, None)
    watched.hears("SIGTERM")
    watched.watcher._on_signal(signal.SIGINT, None)
    watched.hears("SIGTERM", "SIGQUIT")


def test_quit_is_passed_on_as_it_is(watched: Watched) -> None:
    watched.watcher._on_signal(signal.SIGQUIT, None)
    watched.hears("SIGQUIT")
