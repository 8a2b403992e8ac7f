"""What is measured: one file a subject, each with a `SUBJECT`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.place import USUAL, Conditions

if TYPE_CHECKING:
    from benchmarks.bench import Bench
    from benchmarks.figures import Figures

#: What `make bench` measures, in the order in which it runs.
DEFAULT = (
    "defaults",
    "publishing",
    "consuming",
    "limit",
    "work",
    "bodies",
    "latency",
    "results",
    "lateness",
    "delays",
    "memory",
    "imports",
)

#: What `--full` adds: the same again under other settings.
MORE = ("prefetch", "classic", "headers")

#: What `make bench-growth` measures: what becomes of it with much more of everything.
GROWTH = ("waiting", "queues", "growing_delays")

#: All, in the order of the report.
NAMES = (*DEFAULT, *MORE, *GROWTH)

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
    messages a run has, under which `conditions`. `quick`: also in the quick run."""

    label: str
    peer: str
    client: str = ""
    worker: str = ""
    count: int = 0
    quick: bool = False
    conditions: Conditions = USUAL


@dataclass(frozen=True, slots=True)
class Subject:
    """`measure` runs one contestant once. The first of `columns` is what the chart shows. `rounds` is set where one
    round tells all. `remarks` are sentences that follow from the figures."""

    title: str
    note: str
    columns: Mapping[str, Column]
    contestants: tuple[Contestant, ...]
    measure: Callable[[Bench, Contestant], Sample]
    rounds: int | None = None
    remarks: Callable[[Figures], list[str]] = lambda _figures: []


def find(name: str) -> Subject:
    subject: Subject = importlib.import_module(f"benchmarks.subjects.{name}").SUBJECT
    return subject
