"""What is measured: one file a subject, each with a `SUBJECT`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.bench import Bench

#: In the order in which they run, and stand in the report.
NAMES = ("publishing", "consuming", "latency", "results", "lateness", "imports", "memory")

#: Figures of one run of one contestant, by column; None where they cannot be had (the CPU of a broker elsewhere).
Sample = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Column:
    """`title` has the unit; `digits` behind the point are printed."""

    title: str
    digits: int = 0


@dataclass(frozen=True, slots=True)
class Contestant:
    """One line of a subject's table. `client` and `worker` are names in the module of its `peer`; `count` is how many
    messages a run has. `quick`: also in the quick run."""

    label: str
    peer: str
    client: str = ""
    worker: str = ""
    count: int = 0
    quick: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """`measure` runs one contestant once. The first of `columns` is what the table's bars show. `rounds` is set where
    one round tells all."""

    title: str
    note: str
    columns: Mapping[str, Column]
    contestants: tuple[Contestant, ...]
    measure: Callable[[Bench, Contestant], Sample]
    rounds: int | None = None


def find(name: str) -> Subject:
    subject: Subject = importlib.import_module(f"benchmarks.subjects.{name}").SUBJECT
    return subject
