"""The instrument that measures the callbacks of a link's thread, which every test of this suite relies on."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from amqptasks.transport import turns
from amqptasks.transport.guard import Guard
from amqptasks.transport.turns import MOST_CPU, MOST_WALL, Turns


def computes(seconds: float) -> Callable[[], None]:
    def compute() -> None:
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass

    return compute


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "turns"


def told(file: Path, *callbacks: Callable[[], object]) -> str:
    """What is written down of these callbacks, on a thread as a link's."""
    instrument = Turns(str(file))
    call = Guard()._measured(instrument)
    thread = threading.Thread(target=lambda: [call(callback) for callback in callbacks])
    thread.start()
    thread.join(30)
    gc.callbacks.remove(instrument._collected)
    instrument._pid = 0  # ends its own thread
    return file.read_text() if file.exists() else ""


def test_a_callback_that_computes_for_long_is_told_with_its_name_and_place(file: Path) -> None:
    text = told(file, computes(MOST_CPU * 1.5))
    assert " ms of CPU time: computes.<locals>.compute (" in text
    assert text.count("a callback of the link's thread took") == 1
    assert __file__ in text


def test_a_callback_that_stands_still_is_told_with_its_stack(file: Path) -> None:
    lock = threading.Lock()
    lock.acquire()
    text = told(file, lambda: lock.acquire(timeout=MOST_WALL * 3))
    assert "it has stood for" in text
    assert "lock.acquire(timeout=" in text
    assert text.count("a callback of the link's thread took") == 1


def test_a_callback_that_raises_is_told_too(file: Path) -> None:
    def raises() -> None:
        computes(MOST_CPU * 1.5)()
        raise ValueError("broken on purpose")

    assert "raises (" in told(file, raises)


def test_many_short_callbacks_are_not_told(file: Path) -> None:
    assert told(file, *[computes(MOST_CPU / 10)] * 20) == ""


def test_the_garbage_collector_is_not_counted_against_the_callback_that_it_runs_in(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs in whichever thread makes the object that is one too many: some time goes by inside of it."""
    instrument: list[Turns] = []
    monkeypatch.setattr(turns.Turns, "__init__", _remembering(instrument, turns.Turns.__init__))

    def collected() -> None:
        instrument[0]._collected("start", {})
        computes(MOST_CPU * 3)()
        instrument[0]._collected("stop", {})

    assert told(file, collected) == ""


def _remembering(made: list[Turns], original: Callable[..., None]) -> Callable[..., None]:
    def init(self: Turns, file: str) -> None:
        original(self, file)
        made.append(self)

    return init
