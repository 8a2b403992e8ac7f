"""A busy broker may leave a question for its time without an answer."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, cast

import pytest

from amqptasks.app.declaration import INSISTS, Declaration
from amqptasks.control import broker_clock
from amqptasks.runtime.clock import broker_time
from amqptasks.topology.topology import default


@pytest.mark.parametrize(("insist", "questions"), [(False, 1), (True, INSISTS)])
def test_know_the_time_asks_a_silent_broker_again_only_where_the_caller_insists(
    monkeypatch: pytest.MonkeyPatch, insist: bool, questions: int
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(broker_clock, "learn", asked.append)
    monkeypatch.setattr(broker_time, "is_current", lambda: False)
    declaration = Declaration(default, lambda _timeout: nullcontext(cast("Any", "session")), has_clock=lambda: True)
    declaration.know_the_time(insist=insist)
    assert len(asked) == questions


def test_know_the_time_asks_no_more_once_the_broker_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(broker_clock, "learn", asked.append)
    monkeypatch.setattr(broker_time, "is_current", lambda: len(asked) >= 2)
    declaration = Declaration(default, lambda _timeout: nullcontext(cast("Any", "session")), has_clock=lambda: True)
    declaration.know_the_time(insist=True)
    assert len(asked) == 2
