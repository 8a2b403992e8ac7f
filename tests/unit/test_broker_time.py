"""The broker's time: what is measured, what is written by it, and what a clock that is set does to it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from amqptasks import App
from amqptasks.control import broker_clock, envelope
from amqptasks.control.broker_clock import tell
from amqptasks.control.envelope import Command
from amqptasks.control.revocation import Revocation
from amqptasks.memory.registry import forget
from amqptasks.messages.ids import made_at, task_id
from amqptasks.runtime.clock import broker_time
from amqptasks.runtime.clock.broker_time import Measured
from amqptasks.tasks.outcomes import Expired, Postpone
from amqptasks.worker.control.revocations import Revocations
from amqptasks.worker.job.admission import refusal
from tests.unit.worker.jobs import delivery, job

TWO_HOURS = 7200.0


@pytest.fixture(autouse=True)
def own_clock() -> Iterator[None]:
    """Each test begins and ends with this machine's clock."""
    broker_time.forget()
    yield
    broker_time.forget()


@pytest.mark.parametrize(
    ("low", "high", "ahead", "least"),
    [(-0.3, 0.7, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0), (7199.9, 7200.1, 7200.0, 7199.9), (-3.5, -2.5, -3.5, 2.5)],
)
def test_clocks_that_may_agree_count_as_equal_and_others_by_the_middle_or_while_vague_by_the_least(
    low: float, high: float, ahead: float, least: float
):
    assert Measured(low, high, 0.0).ahead == ahead
    assert Measured(low, high, 0.0).least == least


def test_a_second_measurement_narrows_the_first_one_down():
    broker_time.measure(9.5, 10.5)
    assert broker_time.measure(10.3, 11.0).ahead == pytest.approx(10.4)
    assert broker_time.measure(20.0, 21.0).ahead == 20.0, "one of another time takes its place"


def test_now_is_the_brokers_once_it_is_known(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(broker_time, "wall", lambda: 1000.0)
    assert broker_time.now() == 1000.0
    assert broker_time.ahead() is None
    broker_time.measure(-5.0, -5.0)
    assert broker_time.now() == 995.0
    assert broker_time.utcnow() == datetime.fromtimestamp(995, UTC)


def test_a_clock_that_somebody_sets_makes_what_is_known_out_of_date(monkeypatch: pytest.MonkeyPatch):
    broker_time.measure(3.0, 3.0)
    assert broker_time.is_current()
    real = time.time
    monkeypatch.setattr(broker_time, "wall", lambda: real() + 5)
    assert not broker_time.is_current()
    broker_time.measure(-2.0, -2.0)
    assert broker_time.is_current()
    assert broker_time.ahead() == -2.0


@pytest.mark.parametrize("ahead", [-TWO_HOURS, TWO_HOURS])
def test_the_time_in_a_task_id_is_the_brokers(ahead: float):
    before = task_id()
    broker_time.measure(ahead, ahead)
    after = task_id()
    assert made_at(after) == pytest.approx(time.time() + ahead, abs=5)
    assert made_at(before) == pytest.approx(time.time(), abs=5)
    assert task_id() > after


@pytest.mark.parametrize("ahead", [-TWO_HOURS, 0.0, TWO_HOURS])
def test_expires_countdown_and_eta_are_written_in_the_brokers_time(ahead: float):
    app = App("shop", "memory://broker-time", ignore_result=True)
    work = app.task(name="shop.work")(lambda: None)
    broker_time.measure(ahead, ahead)
    try:
        from amqptasks.calls.call import make

        own = datetime.now(UTC)
        for options in ({"expires": 60}, {"expires": own + timedelta(seconds=60)}):
            made = make(app, work, (), {}, options)  # type: ignore[arg-type]
            assert made.request is not None
            assert made.request.expires is not None
            assert made.request.expires.timestamp() == pytest.approx(time.time() + ahead + 60, abs=5)
        for options in ({"countdown": 60}, {"eta": own + timedelta(seconds=60)}):
            made = make(app, work, (), {}, options)  # type: ignore[arg-type]
            assert made.request is not None
            assert made.request.eta is not None
            assert made.request.eta.timestamp() == pytest.approx(time.time() + ahead + 60, abs=5)
    finally:
        app.close()
        forget("memory://broker-time")


def test_a_worker_judges_expires_and_a_celery_eta_by_the_brokers_time():
    broker_time.measure(TWO_HOURS, TWO_HOURS)
    broker = datetime.now(UTC) + timedelta(seconds=TWO_HOURS)
    for seconds, expected in ((-60, Expired), (60, type(None))):
        made = job(delivery(headers={"expires": (broker + timedelta(seconds=seconds)).isoformat()}))
        assert isinstance(refusal(made), expected)
    postponed = refusal(job(delivery(headers={"eta": (broker + timedelta(seconds=60)).isoformat()})))
    assert isinstance(postponed, Postpone)
    assert postponed.delay == pytest.approx(60, abs=5)


def test_a_revocation_by_name_meets_calls_of_before_it_by_the_brokers_time():
    known = Revocations()
    earlier = task_id()
    broker_time.measure(TWO_HOURS, TWO_HOURS)
    before = task_id()
    known.take(Revocation("revoke", tasks=("shop.*",), at=broker_time.now() + 1))
    broker_time.measure(TWO_HOURS + 10, TWO_HOURS + 10)
    after = task_id()
    assert known.reason("shop.work", earlier, {})
    assert known.reason("shop.work", before, {})
    assert known.reason("shop.work", after, {}) is None


def test_a_control_command_is_late_by_the_brokers_time(monkeypatch: pytest.MonkeyPatch):
    sent = envelope.outgoing(Command("ping"), 1.0)
    assert b'"until"' in sent.body
    until = broker_time.now() + 1.0
    broker_time.measure(-TWO_HOURS, -TWO_HOURS)
    assert not Command("ping", until=until - TWO_HOURS).is_late
    broker_time.measure(TWO_HOURS, TWO_HOURS)
    assert Command("ping", until=until).is_late


@pytest.mark.parametrize(
    ("ahead", "level"), [(0.5, None), (2.5, logging.WARNING), (-29.0, logging.WARNING), (-31.0, logging.ERROR)]
)
def test_the_clock_that_differs_is_told_from_2_seconds_and_an_error_from_30(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, ahead: float, level: int | None
):
    monkeypatch.setattr(broker_clock._Told, "ahead", None)
    for _ in range(2):  # once is enough
        tell(Measured(ahead, ahead, 0.0))
    assert [one.levelno for one in caplog.records] == ([] if level is None else [level])
    if level is not None:
        assert ("ahead of the broker's" if ahead < 0 else "behind the broker's") in caplog.text
