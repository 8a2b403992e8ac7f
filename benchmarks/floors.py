"""What must be reached: ratios to a peer in the same run, because rates mean nothing on another machine."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.figures import Figures


@dataclass(frozen=True, slots=True)
class Floor:
    """The median of `ours`, divided by that of `theirs` where there is one, is at least (or at most) `limit`."""

    promise: str
    subject: str
    column: str
    ours: str
    limit: float
    theirs: str | None = None
    at_most: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    floor: Floor
    reached: float
    kept: bool


FLOORS = (
    Floor(
        "consuming is at least 5 times Celery prefork -c 2",
        "consuming",
        "rate",
        "amqptasks, 8 threads",
        5.0,
        "Celery prefork -c 2",
    ),
    Floor(
        "publish_many() is at least 4 times Celery's unconfirmed delay()",
        "publishing",
        "rate",
        "amqptasks publish_many()",
        4.0,
        "Celery delay(), unconfirmed",
    ),
    Floor(
        "importing amqptasks takes less than twice as long as importing pika",
        "imports",
        "milliseconds",
        "import amqptasks",
        2.0,
        "import pika",
        at_most=True,
    ),
    Floor("99 % of delayed tasks are less than 100 ms late", "lateness", "p99", "amqptasks", 100.0, at_most=True),
)


def verdicts(figures: Figures) -> list[Verdict]:
    """On every floor whose subject was measured."""
    found = []
    for floor in FLOORS:
        ours = figures.spread(floor.subject, floor.ours, floor.column)
        theirs = figures.spread(floor.subject, floor.theirs, floor.column) if floor.theirs else None
        if ours is None or (floor.theirs and theirs is None):
            continue
        reached = ours.middle / theirs.middle if theirs else ours.middle
        found.append(Verdict(floor, reached, reached < floor.limit if floor.at_most else reached >= floor.limit))
    return found
