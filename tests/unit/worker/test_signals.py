"""What a signal does to a worker, in what order."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest

from amqptasks.cli.signals import obey_signals
from amqptasks.worker.node import Node

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


class Told:
    """In place of a node: notes what it is told, and which threads run then."""

    started, cold = True, False

    def __init__(self) -> None:
        self.told: list[tuple[str, bool]] = []
        self.stopped = threading.Event()

    def stop(self) -> None:
        self._note("stop")

    def stop_now(self) -> None:
        self._note("stop now")

    def leave(self) -> bool:
        self.stopped.wait(10)
        return False

    def _note(self, word: str) -> None:
        self.told.append((word, any(thread.name == "amqptasks-leave" for thread in threading.enumerate())))


@pytest.fixture
def node() -> Iterator[Told]:
    before: list[Any] = [signal.getsignal(number) for number in SIGNALS]
    told = Told()
    obey_signals(cast("Node", told))
    yield told
    told.stopped.set()
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ([signal.SIGTERM], ["stop"]),
        ([signal.SIGINT, signal.SIGTERM], ["stop", "stop now"]),
        ([signal.SIGQUIT], ["stop now"]),
        ([signal.SIGHUP, signal.SIGHUP], ["stop"]),
    ],
)
def test_who_waits_for_the_end_runs_before_the_stop_begins(node: Told, sent: list[int], told: list[str]) -> None:
    """A stop interrupts what the main thread runs, and an exception for that must meet no thread that it starts."""
    for number in sent:
        os.kill(os.getpid(), number)
    assert node.told == [(word, True) for word in told]
