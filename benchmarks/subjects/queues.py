"""What it costs a worker to consume a hundred queues."""

from __future__ import annotations

from benchmarks.place import Conditions
from benchmarks.subjects import Contestant, Subject
from benchmarks.subjects.consuming import COLUMNS, measure

MANY = 100

SUBJECT = Subject(
    "Growth: queues of a worker",
    "40,000 no-ops, 8 threads: all in the one queue that the worker consumes, prefetch 250; all in one of a hundred"
    " that it consumes; and in all hundred, prefetch 10 of each, where the broker has a hundred quorum queues to keep.",
    COLUMNS,
    (
        Contestant("1 queue", "ours", worker="threads", count=40000),
        Contestant(
            f"{MANY} queues, one of them full",
            "ours",
            worker="threads",
            count=40000,
            conditions=Conditions(queues=MANY),
        ),
        Contestant(
            f"{MANY} queues, all full",
            "ours",
            worker="threads",
            count=40000,
            conditions=Conditions(queues=MANY, spread=True, prefetch=10),
        ),
    ),
    measure,
)
