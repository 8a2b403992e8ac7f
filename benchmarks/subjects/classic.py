"""The same from classic queues."""

from __future__ import annotations

from benchmarks.place import Conditions
from benchmarks.subjects import Contestant, Subject
from benchmarks.subjects.consuming import COLUMNS, measure
from benchmarks.subjects.prefetch import CONTESTANTS, SETTINGS

#: Who is measured with every prefetch; the others with the largest alone.
EVERY = ("ours", "pika")

LARGEST = 250

SUBJECT = Subject(
    "Consuming from classic queues",
    "As above, from a classic queue, which stores no message on more than one node.",
    COLUMNS,
    tuple(
        Contestant(
            f"{label}, prefetch {prefetch}",
            peer,
            worker=worker,
            count=int(count * part) if prefetch > 1 else count,
            conditions=Conditions(task, prefetch=prefetch, queue_type="classic"),
        )
        for prefetch, count in {**SETTINGS, LARGEST: 40000}.items()
        for label, peer, worker, task, part in CONTESTANTS
        if prefetch == LARGEST or peer in EVERY
    ),
    measure,
)
