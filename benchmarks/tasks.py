"""The tasks that every peer runs, as plain functions, and the arguments of the usual call."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from functools import cache

from benchmarks.place import Place

#: Seconds of CPU time that `burn` uses.
BURNS = 0.001

#: Seconds that `nap` sleeps; one call in `STRAGGLES` (2 %) sleeps so much longer.
NAPS, STRAGGLES, STRAGGLER_NAPS = 0.01, 50, 0.2

_LARGE = "x" * Place.here().conditions.body


def noop(number: int, customer: str, order: dict[str, object]) -> None:
    """Nothing: what remains is what a task costs."""


async def noop_async(number: int, customer: str, order: dict[str, object]) -> None:
    """The same for event loops."""


def burn(number: int, customer: str, order: dict[str, object]) -> None:
    """Use the processor for a millisecond: of this thread's CPU time, so that it is as much on a busy machine."""
    end = time.thread_time() + BURNS
    while time.thread_time() < end:
        pass


def nap(number: int, customer: str, order: dict[str, object]) -> None:
    """Wait for something else, as most tasks do; some of them much longer."""
    time.sleep(_nap(number))


async def nap_async(number: int, customer: str, order: dict[str, object]) -> None:
    """The same for event loops."""
    await asyncio.sleep(_nap(number))


def _nap(number: int) -> float:
    return NAPS if number % STRAGGLES else STRAGGLER_NAPS


def arguments(number: int) -> tuple[int, str, dict[str, object]]:
    """What a small, real task is given: 120 bytes of JSON, and as many more as the conditions say."""
    order = {"order": number + 100_000, "items": ["A-1001", "B-2002"], "total": 1999, "currency": "EUR"}
    if _LARGE:
        order["note"] = _LARGE
    return number, "customer@example.org", order


def stamp(sent: int) -> None:
    """How long this call took from `sent` (nanoseconds of the monotonic clock, one for all processes) to here."""
    _write((time.monotonic_ns() - sent) / 1e9)


async def stamp_async(sent: int) -> None:
    """The same for event loops."""
    stamp(sent)


def late(due: float) -> None:
    """How late it is, after `due` (seconds since 1970)."""
    _write(time.time() - due)


def add(x: int, y: int) -> int:
    """A task with a result."""
    return x + y


#: Those without a result, by name: every peer has them all.
FUNCTIONS: dict[str, Callable[..., object]] = {
    function.__name__: function for function in (noop, noop_async, burn, nap, nap_async, stamp, stamp_async)
}


def count_samples(place: Place) -> int:
    """How many tasks have written theirs."""
    return place.samples.read_bytes().count(b"\n") if place.samples.exists() else 0


def read_samples(place: Place) -> list[float]:
    """In seconds, in the order in which the tasks ran."""
    return [float(line) for line in place.samples.read_text().splitlines()] if place.samples.exists() else []


@cache
def _samples() -> int:
    return os.open(Place.here().samples, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def _write(seconds: float) -> None:
    os.write(_samples(), b"%.9f\n" % seconds)  # one write to a file opened for appending: processes do not mix lines
