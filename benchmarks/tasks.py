"""The tasks that every peer runs, as plain functions, and the arguments of the usual call."""

from __future__ import annotations

import os
import time
from functools import cache

from benchmarks.place import Place


def noop(number: int, customer: str, order: dict[str, object]) -> None:
    """Nothing: what remains is what a task costs."""


async def noop_async(number: int, customer: str, order: dict[str, object]) -> None:
    """The same for event loops."""


def arguments(number: int) -> tuple[int, str, dict[str, object]]:
    """What a small, real task is given: 120 bytes of JSON."""
    order = {"order": number + 100_000, "items": ["A-1001", "B-2002"], "total": 1999, "currency": "EUR"}
    return number, "customer@example.org", order


def stamp(sent: int) -> None:
    """How long this call took from `sent` (nanoseconds of the monotonic clock, one for all processes) to here."""
    _write((time.monotonic_ns() - sent) / 1e9)


def late(due: float) -> None:
    """How late it is, after `due` (seconds since 1970)."""
    _write(time.time() - due)


def add(x: int, y: int) -> int:
    """A task with a result."""
    return x + y


def read_samples(place: Place) -> list[float]:
    """In seconds, in the order in which the tasks ran."""
    return [float(line) for line in place.samples.read_text().splitlines()] if place.samples.exists() else []


@cache
def _samples() -> int:
    return os.open(Place.here().samples, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def _write(seconds: float) -> None:
    os.write(_samples(), b"%.9f\n" % seconds)  # one write to a file opened for appending: processes do not mix lines
