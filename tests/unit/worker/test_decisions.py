"""Decisions about jobs, on threads of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from amqptasks.worker.execute import decisions
from amqptasks.worker.execute.decisions import Decisions
from tests.harness.wait import wait_for
from tests.unit.worker.jobs import delivery, job


class OneThreadLink:
    """Runs what it is given at once; timers never."""

    def call_soon(self, callback: Callable[[], object]) -> bool:
        callback()
        return True

    def call_later(self, delay: float, callback: Callable[[], object]) -> None: ...


@pytest.fixture
def barrier() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def asked(made: Decisions, decide: Callable[[], object], queue: str = "emails") -> None:
    one = job(delivery(), decoded=False)
    one.delivery.queue = queue
    made.ask(one, lambda: decide() and None, lambda error: None)


def test_each_queue_has_its_turn_in_being_decided(barrier: threading.Event) -> None:
    made = Decisions(OneThreadLink(), lambda job, error: None)  # type: ignore[arg-type]
    order: list[str] = []
    asked(made, lambda: barrier.wait(10))
    wait_for(lambda: made.reading is not None)
    for number in range(100):
        asked(made, lambda number=number: order.append(f"emails {number}"))  # type: ignore[misc]
    asked(made, lambda: order.append("other"), "other")
    barrier.set()
    wait_for(lambda: len(order) == 101)
    assert order.index("other") <= 1


def test_a_worker_is_busy_while_a_message_is_read_and_not_when_that_never_ends(
    barrier: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Decisions(OneThreadLink(), lambda job, error: None)  # type: ignore[arg-type]
    assert made.reading is None
    for _ in range(3):
        asked(made, lambda: barrier.wait(10))
    wait_for(lambda: made.reading is not None)
    assert made.reading is not None
    assert made.reading[0] == 3
    monkeypatch.setattr(decisions, "STUCK", 0.0)
    assert made.reading is None
    barrier.set()
    wait_for(lambda: not made.pending)
    monkeypatch.setattr(decisions, "STUCK", 60.0)
    assert made.reading is None
