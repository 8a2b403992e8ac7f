"""What a worker occupies while it has nothing to do."""

from __future__ import annotations

import time

from benchmarks.bench import Bench
from benchmarks.clocks import memory, tree
from benchmarks.subjects import Column, Contestant, Sample, Subject

#: Seconds that a worker settles down in, once it consumes.
SETTLES_WITHIN = 3.0


def measure(bench: Bench, contestant: Contestant) -> Sample:
    with bench.place() as (place, gauge), bench.worker(place, contestant) as process:
        gauge.wait_for_consumer()
        time.sleep(SETTLES_WITHIN)
        resident, proportional = memory(process)
        return {"resident": resident, "proportional": proportional, "processes": len(tree(process))}


SUBJECT = Subject(
    "Memory of an idle worker",
    "Of all its processes, some seconds after its start. *Proportional*: pages that processes share are counted once.",
    {
        "resident": Column("resident MB", 1),
        "proportional": Column("proportional MB", 1),
        "processes": Column("processes"),
    },
    (
        Contestant("amqptasks, 8 threads", "ours", worker="threads"),
        Contestant("Celery prefork -c 2", "celery", worker="prefork"),
        Contestant("Celery solo", "celery", worker="solo"),
        Contestant("Dramatiq, 1 process, 8 threads", "dramatiq", worker="threads"),
        Contestant("pika, one thread", "pika", worker="coalesced"),
    ),
    measure,
    rounds=1,
)
