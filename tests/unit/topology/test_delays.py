"""Entering the ladder: never early, hardly late, at the right rung."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, strategies as st

from amqptasks.errors import ConfigurationError
from amqptasks.messages.own_headers import ENTERED, TO, carried
from amqptasks.topology.delays import (
    LONGEST,
    RUNGS,
    TICK,
    arrived_by_ladder,
    bit,
    enter,
    room,
    rung,
    rungs_for,
    skipped,
    waiting_time,
)
from amqptasks.transport.capabilities import Capabilities

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
def test_it_enters_at_its_highest_bit_and_carries_only_bits_target_and_entry(delay: float):
    exchange, headers = enter(delay, "tasks", NEWEST, None)
    highest = max(number for number in range(30) if bit(number) in headers)
    assert exchange == f"amqptasks.delay.{highest:02d}"
    assert headers.pop(TO) == "tasks"
    assert headers.pop(ENTERED) == exchange[-2:]
    assert all(value is True for value in headers.values())


@given(st.floats(60, LONGEST / 2, allow_nan=False))  # at the very top there is no higher bit to round up to
def test_a_long_delay_visits_few_rungs(delay: float):
    _, headers = enter(delay, "tasks", NEWEST, None)
    assert len(headers) - 2 <= 11


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
    assert (exchange, headers) == ("amqptasks.delay.00", {bit(0): True, TO: "tasks", ENTERED: "00"})


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
    assert carried({**own, **added, **traces}, "back") == own
    assert arrived_by_ladder(added)
    assert not arrived_by_ladder(own)


def _died_in(*queues: str) -> dict[str, object]:
    """What RabbitMQ notes of a message that left these queues."""
    return {"x-death": [{"queue": queue, "reason": "expired", "count": 1} for queue in queues]}


@given(st.floats(0, LONGEST, allow_nan=False), st.sets(st.integers(0, RUNGS - 1)), st.booleans())
def test_the_rungs_that_a_delayed_message_skipped_are_those_that_are_set_and_that_it_never_left(
    delay: float, missing: set[int], upper: bool
):
    _, headers = enter(delay, "tasks", NEWEST, None)
    wanted = {number for number in range(RUNGS) if bit(number) in headers}
    headers |= _died_in(*(rung(number, upper) for number in wanted - missing))
    found = skipped("amqptasks.delay.end", headers)
    assert set(found) == wanted & missing
    assert waiting_time(found) == pytest.approx(sum(TICK << number for number in wanted & missing) / 1000)


def test_a_delayed_message_that_waited_for_room_in_its_queue_skipped_nothing():
    _, headers = enter(0.032, "tasks", NEWEST, None)
    assert skipped(room("orders"), headers | _died_in(room("orders"), "amqptasks.delay.00")) == ()
    assert skipped(room("orders"), headers | _died_in(room("orders"))) == (0,)


@pytest.mark.parametrize("queue", ["orders", "a" * 255, "ünïcode", "orders.due"])
def test_no_policy_for_a_queue_fits_the_place_where_its_delayed_messages_wait_for_room(queue: str):
    found = room(queue)
    assert found != room(queue + "x")
    assert queue not in found
    assert len(found.encode()) < 255


@pytest.mark.parametrize(
    ("exchange", "more"),
    [
        ("amqptasks.queues", {}),  # a client of Celery published it again, with a copy of its headers
        ("", {"x-death": "no list"}),
        ("tasks", {"x-death": [1, {"queue": 7}, {}]}),
        ("amqptasks.delay.end", {TO: None}),
    ],
)
def test_of_a_message_that_did_not_come_by_the_delay_ladder_nothing_is_said(exchange: str, more: dict[str, object]):
    _, headers = enter(5.0, "tasks", NEWEST, None)
    headers |= more
    if headers[TO] is None:
        del headers[TO]
    assert skipped(exchange, headers) == ()


def test_bits_that_a_stranger_wrote_are_no_delay():
    headers: dict[str, object] = {TO: "tasks", bit(3): "yes", bit(4): 1, bit(5): False}
    assert skipped("amqptasks.delay.end", headers) == ()
