"""Waiting for what will become true, with a deadline: the only sleep in the tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

#: Seconds between two looks: short against what is waited for, long against what a look costs.
LOOK_EVERY = 0.02


def wait_for(
    predicate: Callable[[], Value],
    timeout: float = 10.0,
    message: str | Callable[[], str] = "",
    every: float = LOOK_EVERY,
) -> Value:
    """Call `predicate` until it returns something true, and return that.

    Fails the test after `timeout` seconds with `message` (a function is called then, to tell how things stand).
    `AssertionError` inside the predicate counts as not yet, and is shown when time is up.
    """
    deadline = time.monotonic() + timeout
    while True:
        refused: AssertionError | None = None
        value = None
        try:
            value = predicate()
        except AssertionError as error:
            refused = error
        if value:
            return value
        if time.monotonic() > deadline:
            words = message() if callable(message) else message
            raise AssertionError(
                f"not within {timeout:g} s: {words or predicate}; last: {refused or value!r}"
            ) from refused
        time.sleep(every)


def wait_while_moving(
    predicate: Callable[[], Value],
    moving: Callable[[], object],
    still: float,
    message: str | Callable[[], str] = "",
    every: float = LOOK_EVERY,
    moving_every: float = 1.0,
) -> Value:
    """As `wait_for`, however long it takes, while `moving` gives another value at least once in `still` seconds: how
    fast things move says something of the machine, that they stand still says something of us."""
    last, looked = moving(), time.monotonic()
    moved = looked
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() - looked > moving_every:
            now, looked = moving(), time.monotonic()
            if now != last:
                last, moved = now, looked
        if looked - moved > still:
            words = message() if callable(message) else message
            raise AssertionError(f"nothing moved for {still:g} s at {last!r}: {words or predicate}; last: {value!r}")
        time.sleep(every)
