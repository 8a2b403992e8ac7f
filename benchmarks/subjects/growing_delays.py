"""Delayed tasks: do a hundred times as many cost a hundred times as much?"""

from __future__ import annotations

from benchmarks.place import Conditions
from benchmarks.subjects import Contestant, Subject
from benchmarks.subjects.delays import COLUMNS, measure

#: Tasks due a second, on average, whatever their number: half of what two processors manage.
DUE = 1500

NUMBERS = (10_000, 100_000, 1_000_000)

SUBJECT = Subject(
    "Growth: delayed tasks",
    f"As many delayed tasks as named, due over so long a time that {DUE:,} become due a second. More of them"
    " take longer, so their delays are longer, and a longer delay goes through more queues: where a queue visited costs"
    " the same in each line, the cost grows in line with the number.",
    COLUMNS,
    tuple(
        Contestant(
            f"{number:,} delayed tasks",
            "ours",
            "many delayed",
            "threads",
            number,
            conditions=Conditions(delay=max(10.0, number / DUE)),
        )
        for number in NUMBERS
    ),
    measure,
    rounds=1,
)
