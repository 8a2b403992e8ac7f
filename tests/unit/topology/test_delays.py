"""Entering the ladder: never early, hardly late, at the right rung."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqptasks.capabilities import Capabilities
from amqptasks.errors import ConfigurationError
from amqptasks.topology.delays import LONGEST, TICK, TO, arrived_by_ladder, bit, clean, enter, rungs_for

NEWEST = Capabilities(version=(4, 3, 6))
MIDDLE = Capabilities(version=(4, 1, 0))


def _waits(headers: dict[str, object]) -> float:
    """Seconds that a message with these headers waits in all."""
    return sum(TICK << number for number in range(30) if headers.get(bit(number))) / 1000


@given(st.floats(0, LONGEST, allow_nan=False))
def test_a_message_is_never_early_and_at_most_a_thousandth_and_a_tick_late(delay: float):
    _, headers = enter(delay, "tasks", NEWEST, None)
    waits = _waits(headers)
    assert waits >= delay - 1e-6  # a microsecond is below what a broker's clock knows
    assert waits <= delay * 1.0005 + 2 * TICK / 1000


@given(st.floats(0, LONGEST, allow_nan=False))
def test_it_enters_at_its_highest_bit_and_carries_only_bits_and_target(delay: float):
    exchange, headers = enter(delay, "tasks", NEWEST, None)
    highest = max(number for number in range(30) if bit(number) in headers)
    assert exchange == f"amqptasks.delay.{highest:02d}"
    assert headers.pop(TO) == "tasks"
    assert all(value is True for value in headers.values())


@given(st.floats(60, LONGEST / 2, allow_nan=False))  # at the very top there is no higher bit to round up to
def test_a_long_delay_visits_few_rungs(delay: float):
    _, headers = enter(delay, "tasks", NEWEST, None)
    assert len(headers) - 1 <= 11


@given(st.floats(0.001, 3600), st.sampled_from([1.0, 60.0, 3600.0]))
def test_a_shorter_ladder_is_never_entered_above_its_top(delay: float, longest: float):
    if delay > longest:
        with pytest.raises(ConfigurationError, match=r"delays: \{max"):
            enter(delay, "tasks", NEWEST, None, longest)
    else:
        exchange, _ = enter(delay, "tasks", NEWEST, None, longest)
        assert int(exchange[-2:]) < rungs_for(longest)


def test_rungs_are_counted_up_to_the_longest_delay():
    assert [rungs_for(seconds) for seconds in (0.03, 0.032, 0.05, 60, 3600, 86400, LONGEST, math.inf)] == [
        1,
        1,
        2,
        11,
        17,
        22,
        30,
        30,
    ]


@pytest.mark.parametrize("delay", [LONGEST + 1, 400 * 86400, math.inf, math.nan, -math.inf])
def test_what_no_ladder_reaches_is_refused(delay: float):
    with pytest.raises(ConfigurationError):
        enter(delay, "tasks", NEWEST, None)


@pytest.mark.parametrize("delay", [-5.0, 0.0, 0.001])
def test_what_is_due_waits_one_tick(delay: float):
    exchange, headers = enter(delay, "tasks", NEWEST, None)
    assert (exchange, headers) == ("amqptasks.delay.00", {bit(0): True, TO: "tasks"})


@pytest.mark.parametrize(
    ("capabilities", "priority", "upper"),
    [(MIDDLE, None, False), (MIDDLE, 4, False), (MIDDLE, 5, True), (MIDDLE, 9, True), (NEWEST, 9, False)],
)
def test_only_4_0_to_4_2_have_a_second_ladder(capabilities: Capabilities, priority: int | None, upper: bool):
    exchange, _ = enter(1.0, "tasks", capabilities, priority)
    assert exchange.startswith("amqptasks.delay.high.") is upper


def test_cleaning_takes_off_what_ladder_and_broker_added_and_nothing_else():
    _, added = enter(3.3, "tasks", NEWEST, None)
    own = {"task": "a.b", "x-amqptasks-reason": "failed", "x-deathly": 1, "x-amqptasks-doctor": 2}
    traces = {
        "x-death": [],
        "x-first-death-queue": "q",
        "x-last-death-reason": "expired",
        "x-delivery-count": 3,
        "x-acquired-count": 3,
    }
    assert clean({**own, **added, **traces}) == own
    assert arrived_by_ladder(added)
    assert not arrived_by_ladder(own)
