"""A worker looks after its objects on the broker: what is deleted is declared again, and no delayed task is early."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest

from amqptasks import App
from amqptasks.amqp.blocking.session import Session
from amqptasks.topology.delays import LOST, bit, room
from amqptasks.worker.upkeep import upkeep
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for

#: Seconds that a task may be early: a rung is exact to a few milliseconds, and the clocks of two processes agree here.
EARLY = 0.05


class Shop:
    """An app with a worker, whose tasks note when they ran; `delay` says how long after the call a task is due."""

    def __init__(self, url: str) -> None:
        self.app = App("shop", url, ignore_result=True)
        self.called: dict[str, float] = {}
        self.ran: dict[str, float] = {}
        self.twice: list[str] = []
        note = self.app.task(name="shop.note")(self._note)
        again = self.app.task(name="shop.again", autoretry_for=(KeyError,), default_retry_delay=1)(self._again)
        self.note, self.again = note, again

    def call(self, word: str, seconds: float) -> None:
        self.called[word] = time.monotonic() + seconds
        self.note.apply_async([word], countdown=seconds)

    def retry(self, word: str) -> None:
        self.called[word] = time.monotonic() + 1.0
        self.again.apply_async([word])

    def _note(self, word: str) -> None:
        if word in self.ran:
            self.twice.append(word)
        self.ran[word] = time.monotonic()

    def _again(self, word: str) -> None:
        if self.again.request.retries == 0:
            raise KeyError(word)
        self._note(word)

    @property
    def earliest(self) -> float:
        """By how many seconds the earliest was early; negative: none was."""
        return max(self.called[word] - ran for word, ran in self.ran.items())

    def all_ran(self) -> bool:
        return self.called.keys() <= self.ran.keys()


@pytest.fixture
def shop(vhost: Vhost, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """Its worker looks twice a second."""
    monkeypatch.setattr(upkeep, "EVERY", 0.6)
    monkeypatch.setattr(upkeep, "SHORTEST", 0.4)
    monkeypatch.setattr(upkeep, "PAUSE", 0.1)
    made = Shop(vhost.url)
    with made.app.worker():
        yield made
    made.app.close()


def _said(caplog: pytest.LogCaptureFixture, name: str) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR and name in one.getMessage()]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("queue", "amqptasks.delay.05"),  # where 1.5 s enter
        ("queue", "amqptasks.delay.02"),  # further down
        ("exchange", "amqptasks.delay.05"),
        ("exchange", "amqptasks.delay.missing"),
        ("exchange", "amqptasks.due.amqptasks.queues"),
        ("exchange", LOST),
        ("queue", LOST),
        ("queue", "default.dead"),
        ("queue", room("default")),
    ],
)
def test_a_deleted_part_of_the_delay_ladder_makes_no_countdown_and_no_retry_early_and_is_declared_again(
    shop: Shop, session: Session, caplog: pytest.LogCaptureFixture, kind: str, name: str
):
    shop.call("warm", 0.05)
    wait_for(shop.all_ran)
    (session.delete_queue if kind == "queue" else session.delete_exchange)(name)
    for number in range(5):
        shop.call(f"delayed {number}", 1.5)
        shop.retry(f"retried {number}")
    wait_for(shop.all_ran, 15, lambda: f"{shop.called.keys() - shop.ran.keys()} never ran")
    assert shop.earliest < EARLY
    assert not shop.twice
    wait_for(lambda: session.queue_state(name) if kind == "queue" else session.exchange_exists(name), 5)
    wait_for(lambda: _said(caplog, name), message="the log names it")


def test_a_countdown_of_hours_does_not_run_when_its_delay_queue_was_deleted(shop: Shop, session: Session):
    session.delete_queue("amqptasks.delay.21")
    shop.call("in 18.6 hours", 67108.864)
    wait_for(lambda: session.queue_state("amqptasks.delay.21"), message="the caller declares it again")
    wait_for(lambda: session.queue_state("amqptasks.delay.21").messages == 1)  # type: ignore[union-attr]
    assert not shop.ran


def test_status_tells_what_the_worker_declared_again(shop: Shop, session: Session):
    session.delete_exchange("amqptasks.delay.end")
    mended = wait_for(lambda: [line for stats in shop.app.control.stats().values() for line in stats.mended], 15)
    assert "exchange amqptasks.delay.end was missing, and is declared again" in mended[0]


def test_a_delayed_task_of_an_older_client_that_came_early_goes_back_for_the_rest_of_its_time(
    shop: Shop, session: Session
):
    from amqptasks.messages import protocol
    from amqptasks.messages.outgoing import Outgoing
    from amqptasks.messages.request import Request
    from amqptasks.topology.delays import TO

    session.delete_queue("amqptasks.delay.05")
    body, properties = protocol.encode(Request("shop.note", "id-1", ["old"]))
    properties.headers = {**(properties.headers or {}), bit(5): True, TO: "amqptasks.queues"}
    shop.called["old"] = time.monotonic() + 1.024
    session.publish(Outgoing("amqptasks.delay.05", "default", body, properties))
    wait_for(shop.all_ran, 15)
    assert shop.earliest < EARLY


def test_what_lies_in_the_lost_queue_is_sent_on_once_its_queue_is_there_again(
    shop: Shop, session: Session, caplog: pytest.LogCaptureFixture
):
    for number in range(30):
        shop.call(str(number), 0.4)
    session.unbind(_binding("default"))
    wait_for(shop.all_ran, 20, lambda: f"{len(shop.ran)} of 30 ran")
    assert not shop.twice
    wait_for(lambda: _said(caplog, LOST), message="they came by way of it")
    wait_for(lambda: session.queue_state(LOST).messages == 0, 5)  # type: ignore[union-attr]


def _binding(queue: str):
    from amqptasks.transport.entities import Binding

    return Binding("amqptasks.due.amqptasks.queues", room(queue), queue)
