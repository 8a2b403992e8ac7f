"""The watchdog of a worker: what it takes for a standstill, when it says so, and when it gives up."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from amqptasks.worker.node import standstill
from amqptasks.worker.node.standstill import GIVE_UP_AFTER, TELL_AFTER, Standstill
from tests.harness.wait import wait_for


class Still:
    """A node that holds messages, runs none and waits for nothing; and its link, on which calls run at once."""

    def __init__(self) -> None:
        self.queues = {"default": SimpleNamespace(unsettled=4)}
        self.counts = Counter({"Success": 7})
        self.pools = SimpleNamespace(running=0)
        self.waiting: list[str] = []
        self.waits = SimpleNamespace(current=lambda: self.waiting)
        self.link = self
        self.is_stopping = False
        self.is_deaf = False
        self.looked = 0

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.looked += 1
        if not self.is_deaf:
            callback()


@pytest.fixture
def node() -> Still:
    return Still()


def looks(watchdog: Standstill, number: int) -> None:
    for _ in range(number):
        watchdog._look()


def watched(node: Still) -> Standstill:
    """The first look only notes how many were settled."""
    watchdog = Standstill(node, lambda why: None)  # type: ignore[arg-type]
    watchdog._look()
    return watchdog


def test_six_looks_at_a_standstill_are_told(node: Still) -> None:
    watchdog = watched(node)
    looks(watchdog, TELL_AFTER - 1)
    assert watchdog.trouble is None
    looks(watchdog, 1)
    assert watchdog.trouble == "it stands still: it holds 4 messages, runs none, and has settled none, for 6 s"
    assert (TELL_AFTER, GIVE_UP_AFTER) == (6, 60)


@pytest.mark.parametrize("what", ["settles one", "runs one", "holds none", "waits"])
def test_a_worker_that_does_anything_or_waits_for_something_that_has_a_name_does_not_stand_still(
    what: str, node: Still
) -> None:
    watchdog = watched(node)
    looks(watchdog, TELL_AFTER)
    assert watchdog.trouble is not None
    if what == "settles one":
        node.counts["Failure"] += 1
    elif what == "runs one":
        node.pools.running = 1
    elif what == "holds none":
        node.queues["default"].unsettled = 0
    else:
        node.waiting = ["alarm"]
    looks(watchdog, 1)
    assert watchdog.trouble is None
    if what != "settles one":
        looks(watchdog, 2 * GIVE_UP_AFTER)
        assert watchdog.trouble is None


@pytest.mark.parametrize("is_deaf", [False, True])
def test_sixty_looks_at_a_standstill_or_at_a_link_that_does_not_answer_end_the_worker_once(
    is_deaf: bool, node: Still, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standstill, "LOOK_EVERY", 0.001)
    node.is_deaf = is_deaf
    why: list[str] = []
    watchdog = Standstill(node, why.append)  # type: ignore[arg-type]
    watchdog.start()
    wait_for(lambda: why)
    watchdog._thread.join(10)
    assert not watchdog._thread.is_alive()
    assert len(why) == 1
    assert ("has not answered" if is_deaf else "has settled none") in why[0]
    assert node.looked == 1 if is_deaf else node.looked >= GIVE_UP_AFTER


def test_a_worker_that_is_told_to_stop_is_watched_no_more(node: Still, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill, "LOOK_EVERY", 0.001)
    node.is_stopping = True
    failed = threading.Event()
    watchdog = Standstill(node, lambda _why: failed.set())  # type: ignore[arg-type]
    watchdog.start()
    watchdog._thread.join(10)
    assert not watchdog._thread.is_alive()
    assert not failed.is_set()


def test_a_link_that_answers_late_is_asked_again_and_forgiven(node: Still, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a machine slept: what was asked before is answered, and counted from anew."""
    monkeypatch.setattr(standstill, "LOOK_EVERY", 0.001)
    node.waiting = ["alarm"]
    late: list[Callable[[], None]] = []
    monkeypatch.setattr(node, "call_soon", late.append)
    why: list[Any] = []
    watchdog = Standstill(node, why.append)  # type: ignore[arg-type]
    watchdog.start()
    for _ in range(5):
        wait_for(lambda: late, every=0.0005)
        late.pop()()
    watchdog.stop()
    watchdog._thread.join(10)
    assert not why
