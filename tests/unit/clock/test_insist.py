"""A busy broker may leave a question for its time without an answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, cast

import pytest

from amqptasks.app.declaration import INSISTS, Declaration
from amqptasks.control import broker_clock
from amqptasks.runtime.clock import broker_time
from amqptasks.topology.topology import default


class Clock:
    """A broker that counts the questions: whether it takes them, and from which one on it answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.takes, self.answers, self.asked = True, 1000, 0
        self.during: Callable[[], object] = lambda: None
        monkeypatch.setattr(broker_clock, "ask", self._ask)
        monkeypatch.setattr(broker_clock, "heard", self._heard)
        monkeypatch.setattr(broker_time, "is_current", lambda: self.asked >= self.answers)

    def _ask(self, _session: object) -> object:
        self.asked += 1
        self.during()
        return "asked" if self.takes else None

    def _heard(self, _asked: object) -> object:
        return "measured" if self.asked >= self.answers else None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def declaration() -> Declaration:
    return Declaration(default, lambda _timeout: nullcontext(cast("Any", "session")), has_clock=lambda: True)


@pytest.mark.parametrize(("insist", "questions"), [(False, 1), (True, INSISTS)])
def test_know_the_time_asks_a_silent_broker_again_only_where_the_caller_insists(
    clock: Clock, declaration: Declaration, insist: bool, questions: int
) -> None:
    declaration.know_the_time(insist=insist)
    assert clock.asked == questions


def test_know_the_time_asks_no_more_once_the_broker_has_answered(clock: Clock, declaration: Declaration) -> None:
    clock.answers = 2
    declaration.know_the_time(insist=True)
    assert clock.asked == 2


@pytest.mark.parametrize(("takes", "answers", "questions"), [(True, 1000, INSISTS), (True, 2, 2), (False, 1000, 1)])
def test_calls_ask_again_where_a_question_was_not_answered_and_not_where_it_is_refused(
    clock: Clock, declaration: Declaration, takes: bool, answers: int, questions: int
) -> None:
    """Each of them asks once: a call that expires waits for one answer at most."""
    clock.takes, clock.answers = takes, answers
    asked = []
    for _ in range(INSISTS + 2):
        declaration.know_the_time()
        asked.append(clock.asked)
    assert asked == [min(number, questions) for number in range(1, INSISTS + 3)]
    assert declaration.knows_the_time


def test_calls_that_come_while_a_question_is_under_way_begin_no_thread(clock: Clock, declaration: Declaration) -> None:
    threads: list[int] = []

    def call() -> None:
        declaration.know_the_time_soon()
        threads.append(threading.active_count())

    clock.during = call
    before = threading.active_count()
    declaration.know_the_time()
    assert threads == [before]
