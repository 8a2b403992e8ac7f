"""What workers answer, typed. Times are seconds, moments seconds since 1970, sizes bytes.

A worker of another release may say more, or less: what is unknown is left out, what is missing has its default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Answers(Mapping[str, T], Generic[T]):
    """What each worker answered, by its name.

    `errors` are the answers of those who could not do it, in words. `missing` names the workers that the broker has a
    connection of and that did not answer in time, and those asked by name that are not there. `complete` is True when
    `missing` is the whole truth, False where the list of workers could not be read.
    """

    values_by_node: Mapping[str, T]
    errors: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    complete: bool = True

    def __getitem__(self, node: str) -> T:
        return self.values_by_node[node]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_node)

    def __len__(self) -> int:
        return len(self.values_by_node)

    def mapped(self, change: Callable[[Any], Record]) -> Answers[Record]:
        """The same with each value changed."""
        changed = {node: change(value) for node, value in self.values_by_node.items()}
        return Answers(changed, self.errors, self.missing, self.complete)


@dataclass(frozen=True, slots=True)
class Pong:
    """`ready`: the broker has confirmed its consumer on every queue that is not paused, and tasks can run. `trouble`:
    why it is not. `waits`: what it waits for, each with `name`, `detail` and `seconds`."""

    ready: bool = False
    host: str = ""
    pid: int = 0
    uptime: float = 0.0
    trouble: str | None = None
    waits: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Stats:
    """`counts` are deliveries by outcome since the start, `trouble` and `waits` are those of `Pong`, `pools` what each
    pool says of itself, `rusage` what the operating system has counted for the process (`self`) and for its children
    that ended (`children`).
    `second_runs_saved` counts the messages that came again, after a lost connection or a consumer timeout, and were
    settled with the outcome of the run that had gone on. `mended` has a
    line for each object that was missing on the broker and that the worker declared again, or could not."""

    version: str = ""
    host: str = ""
    pid: int = 0
    uptime: float = 0.0
    ready: bool = False
    trouble: str | None = None
    waits: Sequence[Mapping[str, Any]] = ()
    broker: str = ""
    broker_version: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    pools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    prefetch: Mapping[str, int] = field(default_factory=dict)
    held: int = 0
    running: int = 0
    second_runs_saved: int = 0
    revoked: int = 0
    log_lines_dropped: int = 0
    events: Mapping[str, int] | None = None
    mended: tuple[str, ...] = ()
    memory: int = 0
    rusage: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HeldTask:
    """A task that a worker holds: running where `started` is set, else about to run. `args` and `kwargs` are their
    `repr`, cut; None where no pool's thread has read them yet and they are more than 16 KiB, or no plain JSON. `pid` is
    the process in which it runs."""

    id: str = ""
    name: str = ""
    queue: str = ""
    args: str | None = None
    kwargs: str | None = None
    attempt: int = 1
    started: float | None = None
    runtime: float | None = None
    pool: str | None = None
    pid: int | None = None
    redelivered: bool = False


@dataclass(frozen=True, slots=True)
class ActiveQueue:
    """A queue that a worker consumes. `consuming` is what the broker says."""

    name: str = ""
    consuming: bool = False
    paused: bool = False
    prefetch: int = 0
    held: int = 0
    type: str = ""
    dead_letter: str | None = None


@dataclass(frozen=True, slots=True)
class Revoked:
    """`ids` are the latest of `count`; `tasks` are name patterns, `headers` what a task's headers must hold; `skipped`
    is how many records of the stream were not obeyed."""

    count: int = 0
    ids: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    headers: tuple[Mapping[str, Any], ...] = ()
    skipped: int = 0


def record(kind: type[Record], given: Any) -> Record:
    """`given`, a JSON object, as a `kind`: what it does not know is left out."""
    known = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    values = given if isinstance(given, dict) else {}
    return kind(**{name: _frozen(value) for name, value in values.items() if name in known})


def records(kind: type[Record]) -> Callable[[Any], tuple[Record, ...]]:
    """For `Answers.mapped`: a list of `kind`; none of what is no list."""
    return lambda given: tuple(record(kind, one) for one in given) if isinstance(given, list | tuple) else ()


def one(kind: type[Record]) -> Callable[[Any], Record]:
    """For `Answers.mapped`: one `kind`."""
    return lambda given: record(kind, given)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
