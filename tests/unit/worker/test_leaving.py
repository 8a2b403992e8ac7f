"""How a worker process obeys signals, and how it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from amqptasks.runtime.clock import monotonic
from amqptasks.worker.node import Node
from amqptasks.worker.process import leaving as leaving_module, restart
from amqptasks.worker.process.failing import STANDSTILL
from amqptasks.worker.process.inbox import SignalInbox
from amqptasks.worker.process.leaving import MEANINGLESS, STOPPING, Leaving
from tests.harness.wait import wait_for

NUMBERS = [*STOPPING, signal.SIGHUP, signal.SIGUSR1, *MEANINGLESS]


class Told:
    """In place of a node: notes what it is told."""

    started, cold, is_over, stop_within = True, False, False, 5.0

    def __init__(self) -> None:
        self.told: list[str] = []
        self.app = SimpleNamespace(close=lambda _seconds: None)

    def stop(self) -> None:
        self.told.append("stop")

    def stop_now(self) -> None:
        self.told.append("stop now")


class Trial:
    """In place of a process that tries the new code."""

    answer: str | None = None
    begun: list[Trial]

    def __init__(self) -> None:
        self.ended = False
        Trial.begun.append(self)

    def failure(self) -> str | None:
        return Trial.answer

    def end(self) -> None:
        self.ended = True


class Exited(BaseException):
    """In place of the end of this process."""


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before: list[Any] = [signal.getsignal(number) for number in NUMBERS]
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in zip(NUMBERS, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The statuses with which this process would have ended."""
    statuses: list[int] = []

    def leave(status: int) -> None:
        statuses.append(status)
        raise Exited

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(restart, "Trial", Trial)
    Trial.answer, Trial.begun = None, []
    return statuses


@pytest.fixture
def node() -> Told:
    return Told()


@pytest.fixture
def leaving(node: Told, exits: list[int]) -> Iterator[Leaving]:
    """Without its thread: `look` is called by the test."""
    made = Leaving()
    made.of(cast("Node", node))
    yield made
    made.close()  # a deadline that a test left behind would end the process of the tests


def send(leaving: Leaving, *numbers: int) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)
        leaving.look()


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ([signal.SIGTERM], ["stop"]),
        ([signal.SIGINT, signal.SIGTERM], ["stop", "stop now"]),
        ([signal.SIGTERM, signal.SIGQUIT], ["stop", "stop now"]),
        ([signal.SIGQUIT], ["stop now"]),
        ([signal.SIGUSR1, signal.SIGUSR2, signal.SIGVTALRM], []),
    ],
)
def test_signals_tell_a_worker_to_stop_warm_and_then_cold(
    leaving: Leaving, node: Told, sent: list[int], told: list[str]
) -> None:
    send(leaving, *sent)
    assert node.told == told


def test_signals_are_obeyed_where_no_thread_can_be_started_any_more(
    leaving: Leaving, node: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving.begin()

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    os.kill(os.getpid(), signal.SIGTERM)
    wait_for(lambda: node.told == ["stop"])


def test_close_ends_the_thread_of_leaving_and_forgets_its_deadline(
    leaving: Leaving, exits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(threading.enumerate())
    leaving.begin()
    assert {thread.name for thread in set(threading.enumerate()) - before} == {"amqptasks-leave"}
    send(leaving, signal.SIGTERM)
    leaving.close()
    assert set(threading.enumerate()) <= before
    now = monotonic()
    monkeypatch.setattr(leaving_module, "monotonic", lambda: now + 1000)
    leaving.look()
    assert exits == []


def test_a_stop_signal_before_the_node_has_started_ends_the_program(
    leaving: Leaving, node: Told, exits: list[int]
) -> None:
    node.started = False
    with pytest.raises(SystemExit) as left:
        os.kill(os.getpid(), signal.SIGTERM)
    assert left.value.code == 0
    with pytest.raises(Exited):  # whatever swallowed the first
        os.kill(os.getpid(), signal.SIGTERM)
    assert exits == [0]
    assert node.told == []


def test_hup_stops_a_worker_only_when_its_new_code_can_begin(leaving: Leaving, node: Told) -> None:
    send(leaving, signal.SIGHUP)
    assert node.told == [], "it works on while the new code is tried"
    Trial.answer = ""
    leaving.look()
    assert node.told == ["stop"]
    assert [trial.ended for trial in Trial.begun] == [True]


def test_hup_is_refused_with_the_reason_when_the_new_code_cannot_begin(
    leaving: Leaving, node: Told, caplog: pytest.LogCaptureFixture
) -> None:
    Trial.answer = "importing 'shop' failed: no disk"
    send(leaving, signal.SIGHUP)
    assert node.told == []
    assert "importing 'shop' failed: no disk" in caplog.text
    Trial.answer = ""
    send(leaving, signal.SIGHUP)
    assert node.told == ["stop"], "a later one is tried again"


def test_hup_during_a_trial_or_a_stop_begins_no_second_trial(leaving: Leaving, node: Told) -> None:
    send(leaving, signal.SIGHUP, signal.SIGHUP)
    assert len(Trial.begun) == 1
    send(leaving, signal.SIGTERM, signal.SIGHUP)
    assert (len(Trial.begun), node.told) == (1, ["stop"])


def test_term_during_a_trial_ends_it_and_stops_at_once(leaving: Leaving, node: Told) -> None:
    send(leaving, signal.SIGHUP, signal.SIGTERM)
    assert (node.told, Trial.begun[0].ended) == (["stop"], True)


def test_hup_waits_until_the_node_has_started(leaving: Leaving, node: Told) -> None:
    node.started = False
    send(leaving, signal.SIGHUP)
    assert Trial.begun == []
    node.started = True
    leaving.look()
    assert len(Trial.begun) == 1


def test_hup_where_no_process_can_be_started_is_refused(
    leaving: Leaving, node: Told, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone() -> None:
        raise FileNotFoundError(2, "No such file or directory", "/bin/python")

    monkeypatch.setattr(restart, "Trial", gone)
    send(leaving, signal.SIGHUP)
    assert node.told == []
    assert "/bin/python" in caplog.text


@pytest.mark.parametrize("holds_the_lock", [False, True])
def test_a_second_stop_signal_ends_the_process_in_its_time_whatever_the_other_thread_holds(
    leaving: Leaving, exits: list[int], monkeypatch: pytest.MonkeyPatch, holds_the_lock: bool
) -> None:
    if holds_the_lock:
        leaving._lock.acquire()
    send(leaving, signal.SIGTERM, signal.SIGTERM)
    assert exits == []
    now = monotonic()
    monkeypatch.setattr(leaving_module, "monotonic", lambda: now + leaving_module.COLD_WITHIN + 1)
    with pytest.raises(Exited):
        leaving.look()
    assert exits == [STANDSTILL]


def test_usr1_logs_the_stacks_of_all_threads_and_the_others_a_line(
    leaving: Leaving, caplog: pytest.LogCaptureFixture
) -> None:
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="in-thought")
    thread.start()
    send(leaving, signal.SIGUSR1, signal.SIGVTALRM)
    over.set()
    thread.join()
    texts = {record.getMessage(): record.exc_text for record in caplog.records}
    assert "self._cond.wait" in (texts["the stack of the thread in-thought:"] or "")
    assert "the stack of the thread MainThread:" in texts
    assert "SIGVTALRM means nothing to a worker" in texts


def test_a_signal_that_the_app_has_a_handler_for_is_left_to_it() -> None:
    def own(*_: object) -> None:
        """The app's."""

    signal.signal(signal.SIGUSR2, own)
    Leaving()
    assert signal.getsignal(signal.SIGUSR2) is own


def test_signals_count_once_though_they_are_heard_twice() -> None:
    inbox = SignalInbox()
    inbox.listen([signal.SIGUSR1])
    os.kill(os.getpid(), signal.SIGUSR1)
    inbox.wait(1.0)
    assert inbox.take() == [signal.SIGUSR1]
    os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR1)
    taken = inbox.take()
    inbox.wait(1.0)
    assert taken + inbox.take() == [signal.SIGUSR1] * 2


def test_signals_are_heard_while_the_main_thread_calls_no_handler_and_while_somebody_has_the_wakeup_descriptor() -> (
    None
):
    inbox = SignalInbox()
    inbox.listen([signal.SIGUSR1])
    inbox._rung.send(bytes([signal.SIGTERM]))  # as Python's handler in C writes it
    inbox.wait(1.0)
    assert inbox.take() == [signal.SIGTERM]
    signal.set_wakeup_fd(-1)  # as `asyncio.run` in a task leaves it
    os.kill(os.getpid(), signal.SIGUSR1)
    inbox.wait(1.0)
    assert inbox.take() == [signal.SIGUSR1]


def test_a_signal_is_taken_after_a_task_closed_all_descriptors_of_the_process() -> None:
    code = """
import os, signal
from amqptasks.worker.process.inbox import SignalInbox
inbox = SignalInbox()
inbox.listen([signal.SIGUSR2])
os.closerange(3, 256)
inbox.attach()
os.kill(os.getpid(), signal.SIGUSR2)
inbox.wait(0.1)
if inbox.take() != [signal.SIGUSR2]: raise SystemExit(3)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
