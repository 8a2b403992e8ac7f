"""Deliveries wait while the worker does not know what must not run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from amqptasks.messages.delivery import Delivery
from amqptasks.worker.consume.revocation_barrier import RevocationBarrier
from tests.unit.worker.jobs import Lease, delivery


class Timers:
    """A link whose timers ring when the test says."""

    def __init__(self) -> None:
        self.pending: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, delay: float, callback: Callable[[], None]) -> Any:
        timer = (delay, callback)
        self.pending.append(timer)

        class Pending:
            def cancel(_self) -> None:
                self.pending.remove(timer)

        return Pending()


def batch(*tags: int) -> list[Delivery]:
    lease = Lease()
    made = [delivery(tag=tag) for tag in tags]
    for one in made:
        one.lease = lease
    return made


def tags(batches: list[list[Delivery]]) -> list[list[int]]:
    return [[one.tag for one in batch] for batch in batches]


def shut_gate() -> tuple[RevocationBarrier, Timers, list[list[Delivery]]]:
    link: Any = Timers()
    delivered: list[list[Delivery]] = []
    barrier = RevocationBarrier(link, delivered.append, lambda: "the stream is not read")
    assert not barrier.is_shut
    barrier.shut()
    assert barrier.is_shut
    return barrier, link, delivered


def test_what_was_held_goes_on_in_its_order() -> None:
    barrier, link, delivered = shut_gate()
    barrier.hold(batch(1, 2))
    barrier.hold(batch(3))
    assert delivered == []
    barrier.open()
    assert tags(delivered) == [[1, 2], [3]]
    assert not barrier.is_shut
    assert link.pending == []


def test_what_the_broker_has_taken_back_meanwhile_does_not() -> None:
    barrier, _, delivered = shut_gate()
    barrier.hold(dead := batch(1))
    barrier.hold(batch(1))
    dead[0].lease.alive = False  # type: ignore[misc]
    barrier.open()
    assert len(delivered) == 1
    assert delivered[0][0].lease.alive


def test_what_waits_for_long_is_told_again_and_again(caplog: pytest.LogCaptureFixture) -> None:
    barrier, link, delivered = shut_gate()
    assert link.pending == [], "an outage of any length does not count: nothing waits"
    barrier.hold(batch(1, 2))
    barrier.hold(batch(3))
    for seconds in (15, 60, 60):
        ((delay, ring),) = link.pending
        assert delay == seconds
        link.pending.clear()
        ring()
    assert delivered == [], "it may have been revoked"
    assert caplog.text.count("nothing begins, and 3 tasks wait here: the stream is not read") == 3
    barrier.open()
    assert link.pending == []


def test_a_break_of_another_channel_prolongs_no_wait() -> None:
    barrier, link, _ = shut_gate()
    barrier.hold(batch(1))
    before = list(link.pending)
    barrier.shut()
    assert link.pending == before != []
