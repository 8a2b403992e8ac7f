"""The options that `amqptasks worker` has beside those of `App.worker()`: texts of several values, and flags."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from amqptasks.options.catalogue import POOLS, Option
from amqptasks.options.kinds import Flag, Kind, Text, Unfit
from amqptasks.options.workers import AT_ONCE, PREFETCH


@dataclass(frozen=True, slots=True)
class Form:
    """A text with several values, which `parse` reads. It raises `Unfit` for one that it cannot read."""

    wanted: str
    parse: Callable[[str], Any]

    def read(self, value: Any) -> Any:
        return self.parse(value)


def _prefetches(text: str) -> Mapping[str, int | None]:
    """`emails:100,reports` as {"emails": 100, "reports": None}."""
    found: dict[str, int | None] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, colon, number = part.rpartition(":")
        if colon and number.isdecimal():
            found[_read(Text(), name, part)] = _read(PREFETCH, int(number), part)
        else:
            found[_read(Text(), part, part)] = None
    if not found:
        raise Unfit("names no queue")
    return found


def _pool_for(text: str) -> tuple[str, str]:
    """`emails=threads` as ("emails", "threads")."""
    queue, equals, kind = text.rpartition("=")
    if not (equals and queue and kind in POOLS):
        raise Unfit(f"is not of the form QUEUE=POOL, with the pool {', '.join(POOLS[:-1])} or {POOLS[-1]}")
    return queue, kind


def _autoscale(text: str) -> tuple[int, int]:
    """`8,2`, in either order, as (8, 2)."""
    numbers = [part.strip() for part in text.split(",")]
    if len(numbers) != 2 or not all(part.isdecimal() for part in numbers):
        raise Unfit("is not of the form MAX,MIN")
    first, second = (_read(AT_ONCE, int(part), part) for part in numbers)
    return max(first, second), min(first, second)


def _read(kind: Kind, value: Any, said: str) -> Any:
    """The value of a part of the text."""
    try:
        return kind.read(value)
    except Unfit:
        raise Unfit(f"has {said!r} in it: give {kind.wanted}") from None


COMMAND_LINE: dict[str, Option] = {
    "queues": Option(
        Form("names of queues, with a prefetch or without: emails:100,reports", _prefetches),
        "all of the topology but streams and those of dead letters",
        "queues to consume",
    ),
    "pool_for": Option(
        Form("QUEUE=POOL", _pool_for), "the worker's", "another pool for the tasks of a queue; may be repeated"
    ),
    "autoscale": Option(
        Form("MAX,MIN", _autoscale), "as many as -c says", "lets the number of processes follow the demand"
    ),
    "no_control": Option(Flag(), "False", "obeys no commands (`amqptasks control`) and answers none"),
    "watch": Option(
        Flag(), "False", "for development: starts again when a file below the current folder changes (*.py, *.yaml)"
    ),
}
