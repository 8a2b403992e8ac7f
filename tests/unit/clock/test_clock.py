"""The clock that nothing in a program can stop."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import pytest
from freezegun import freeze_time

import amqptasks
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.clock.timers import CANCELLED, Timers


def test_monotonic_goes_on_while_freezegun_has_frozen_the_clock() -> None:
    before = monotonic()
    with freeze_time("2001-01-01"):
        assert time.monotonic() == time.monotonic()
        assert before < monotonic() < before + 60


def test_monotonic_is_asked_for_everywhere_in_place_of_the_clocks_that_can_be_frozen() -> None:
    package = Path(amqptasks.__file__).parent
    users = {
        f"{path.relative_to(package)}:{name}"
        for path in package.rglob("*.py")
        if path.parent.name != "clock"
        for name in _names(path) & {"time.monotonic", "time.perf_counter", "stop_after_delay"}
    }
    assert users == set()


def _names(path: Path) -> set[str]:
    """The names that a file uses or imports, as `module.name` where it says the module."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            found.add(ast.unparse(node))
        elif isinstance(node, ast.ImportFrom):
            found |= {prefix + one.name for one in node.names for prefix in ("", f"{node.module}.")}
    return found


def test_timers_are_called_in_order_and_those_of_a_callback_in_the_next_turn() -> None:
    timers, called = Timers(), []

    def first() -> None:
        called.append("first")
        timers.call_later(0, lambda: called.append("next turn"))

    timers.call_later(60, lambda: called.append("later"))
    timers.call_later(0, first)
    timers.call_later(0, lambda: called.append("second"))
    timers.process_timeouts()
    assert called == ["first", "second"]
    timers.process_timeouts()
    assert called == ["first", "second", "next turn"]
    assert 59 < (timers.get_remaining_interval() or 0) <= 60


def test_timers_that_are_due_are_kept_when_a_callback_before_them_raises() -> None:
    timers, called = Timers(), []
    timers.call_later(0, lambda: 1 / 0)
    timers.call_later(0, lambda: called.append("second"))
    with pytest.raises(ZeroDivisionError):
        timers.process_timeouts()
    assert timers.get_remaining_interval() == 0
    timers.process_timeouts()
    assert called == ["second"]


def test_timers_that_were_cancelled_are_neither_called_nor_kept() -> None:
    timers, called = Timers(), []
    staying = timers.call_later(60, lambda: called.append("later"))
    for timer in [timers.call_later(30, lambda: called.append("cancelled")) for _ in range(CANCELLED + 1)]:
        timers.remove_timeout(timer)
        timers.remove_timeout(timer)
    timers.process_timeouts()
    assert (timers.get_remaining_interval() or 0) > 31, "the cancelled ones are in the heap"
    timers.remove_timeout(staying)
    timers.close()
    assert timers.get_remaining_interval() is None
    assert called == []


@pytest.mark.parametrize("delay", [-0.1, float("nan")])
def test_timers_refuse_a_delay_that_is_no_time_ahead(delay: float) -> None:
    with pytest.raises(ValueError, match="a timer cannot be set"):
        Timers().call_later(delay, lambda: None)
