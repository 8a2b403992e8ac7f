"""The supervisor, with commands of a line of Python in place of nodes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.harness.wait import wait_for

REPOSITORY = Path(__file__).resolve().parents[3]

#: Runs a supervisor over commands that are the rest of its arguments, and exits with its status. Within `beginning`
#: seconds it takes a failure for lasting.
RUN = """
import sys
from amqptasks.worker.process import supervisor
supervisor.BEGINNING = {beginning}
sys.exit(supervisor.Supervisor([[sys.executable, "-c", code] for code in sys.argv[1:]]).run())
"""

#: A node: notes its beginning and each signal, and leaves at the first TERM, or at QUIT.
NODE = """
import os, signal, sys, time
def note(word):
    with open({log!r}, "a") as log:
        log.write(f"{{word}} {{os.getpid()}}\\n")
def leave(number, frame):
    note(signal.Signals(number).name)
    sys.exit({status})
for number in (signal.SIGTERM, signal.SIGQUIT):
    signal.signal(number, leave)
note("began")
while True:
    time.sleep(0.02)
"""


class Supervised:
    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        self.said = folder / "said"
        self.process: subprocess.Popen[bytes] | None = None

    def node(self, status: int = 0) -> str:
        return NODE.format(log=str(self.log), status=status)

    def start(self, *codes: str, beginning: float = 30.0) -> None:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        with self.said.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", RUN.format(beginning=beginning), *codes],
                env=environment,
                stderr=errors,
                start_new_session=True,
            )

    def noted(self, word: str) -> list[int]:
        """The processes that noted it."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [int(line.split()[1]) for line in lines if line.startswith(f"{word} ")]

    def wait_noted(self, word: str, count: int) -> list[int]:
        wait_for(lambda: len(self.noted(word)) == count, 15, lambda: f"{count} x {word}: {self.noted(word)}")
        return self.noted(word)

    def running(self, code: str) -> int:
        """The process whose command begins with `code`."""
        assert self.process is not None
        nodes = psutil.Process(self.process.pid).children()
        (found,) = [node.pid for node in nodes if node.cmdline()[-1].startswith(code)]
        return found

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(15)


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    made = Supervised(tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait()
    for pid in made.noted("began"):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def test_what_dies_is_started_again_and_the_others_are_left_alone(supervised: Supervised) -> None:
    supervised.start(*[supervised.node()] * 3)
    first = supervised.wait_noted("began", 3)
    os.kill(first[0], signal.SIGKILL)
    os.kill(first[1], signal.SIGKILL)
    after = supervised.wait_noted("began", 5)
    assert len(set(after)) == 5
    supervised.signal(signal.SIGTERM)
    assert supervised.wait() == 0
    assert set(supervised.noted("SIGTERM")) == {first[2], *after[3:]}


@pytest.mark.parametrize(
    ("sent", "received"),
    [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "SIGTERM"), (signal.SIGQUIT, "SIGQUIT")],
)
def test_signals_are_passed_on(supervised: Supervised, sent: int, received: str) -> None:
    supervised.start(*[supervised.node()] * 2)
    began = supervised.wait_noted("began", 2)
    supervised.signal(sent)
    assert supervised.wait() == 0
    assert sorted(supervised.noted(received)) == sorted(began)


@pytest.mark.parametrize("status", [1, 2, 4])
def test_a_node_that_cannot_begin_stops_all_with_its_status(supervised: Supervised, status: int) -> None:
    """It could not the next time either."""
    failing = f"import time\nwhile not __import__('os').path.exists({str(supervised.log)!r}): time.sleep(0.01)\n"
    supervised.start(supervised.node(), f"{failing}raise SystemExit({status})")
    assert supervised.wait() == status
    assert supervised.noted("began") == supervised.noted("SIGTERM")


def test_a_node_that_cannot_begin_again_stops_none_that_runs(supervised: Supervised, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    fails = f"import os\nif os.path.exists({str(broken)!r}): raise SystemExit(1)\n"
    supervised.start(supervised.node(), fails + supervised.node(), beginning=0.5)
    supervised.wait_noted("began", 2)
    broken.touch()
    time.sleep(0.6)  # until the first one has begun for certain
    os.kill(supervised.running(fails), signal.SIGKILL)
    wait_for(lambda: "exit status 1" in supervised.said.read_text(), 15, "it cannot begin")
    broken.unlink()
    supervised.wait_noted("began", 3)
    assert not supervised.noted("SIGTERM")
    supervised.signal(signal.SIGTERM)
    assert supervised.wait() == 0


def test_a_node_that_ends_by_itself_without_an_error_is_started_again(supervised: Supervised) -> None:
    once = f"open({str(supervised.log)!r}, 'a').write(f'began {{__import__(\"os\").getpid()}}\\n')"
    supervised.start(once)
    supervised.wait_noted("began", 2)


def test_a_signal_amid_a_restart_starts_nothing_more(supervised: Supervised) -> None:
    supervised.start(supervised.node())
    os.kill(supervised.wait_noted("began", 1)[0], signal.SIGKILL)
    wait_for(lambda: "starting it again" in supervised.said.read_text(), message="it waits for its second to pass")
    supervised.signal(signal.SIGTERM)
    assert supervised.wait() == 0
    assert len(supervised.noted("began")) == 1


def test_a_node_that_leaves_with_an_error_when_stopped_is_told_by_the_status(supervised: Supervised) -> None:
    supervised.start(supervised.node(), supervised.node(status=3))
    supervised.wait_noted("began", 2)
    supervised.signal(signal.SIGTERM)
    assert supervised.wait() == 3


def test_a_second_signal_reaches_the_nodes_too(supervised: Supervised) -> None:
    once_more = "    note.count = getattr(note, 'count', 0) + 1\n    if note.count == 2: sys.exit(0)\n"
    stubborn = supervised.node().replace("    sys.exit(0)\n", once_more)
    supervised.start(stubborn)
    supervised.wait_noted("began", 1)
    supervised.signal(signal.SIGTERM)
    supervised.wait_noted("SIGTERM", 1)
    supervised.signal(signal.SIGTERM)
    assert supervised.wait() == 0
    assert len(supervised.noted("SIGTERM")) == 2
