"""What a header costs, in the client and in the broker."""

from __future__ import annotations

from benchmarks.figures import Figures
from benchmarks.place import Conditions
from benchmarks.subjects import Contestant, Subject, publishing
from benchmarks.subjects.bodies import measure

#: Headers of a message, the two included that every message has: `task` and `id`.
FEW, MANY = 2, 25
NUMBERS = (FEW, 10, MANY)

#: Label, peer, client, worker and messages a run.
WAYS = (
    ("publishing, amqptasks publish_many()", "ours", "many", "", 40000),
    ("publishing, pika with 500 in flight", "pika", "pipelined", "", 40000),
    ("consuming, amqptasks with 8 threads", "ours", "", "threads", 40000),
    ("consuming, pika with one thread", "pika", "", "coalesced", 40000),
)


def _label(way: str, number: int) -> str:
    return f"{way}: {number} headers"


def remarks(figures: Figures) -> list[str]:
    """The slope from few headers to many."""
    found = []
    for way, *_ in WAYS:
        costs = []
        for side in ("client", "broker"):
            few = figures.spread("headers", _label(way, FEW), side)
            many = figures.spread("headers", _label(way, MANY), side)
            if few is not None and many is not None:
                costs.append(f"{(many.middle - few.middle) / (MANY - FEW):.2f} µs of the {side}'s CPU")
        if costs:
            found.append(f"A header more costs, {way}: {' and '.join(costs)}.")
    return found


SUBJECT = Subject(
    "Headers",
    "The same messages with 2, 10 and 25 headers of some 25 bytes each, prefetch 250. amqptasks sends the two that it"
    " needs, Celery some twenty.",
    publishing.COLUMNS,
    tuple(
        Contestant(_label(way, number), peer, client, worker, count, conditions=Conditions(headers=number - FEW))
        for way, peer, client, worker, count in WAYS
        for number in NUMBERS
    ),
    measure,
    remarks=remarks,
)
