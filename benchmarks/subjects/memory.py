"""How long a worker takes to start, and what it occupies while it has nothing to do."""

from __future__ import annotations

import time

from benchmarks.bench import Bench
from benchmarks.clocks import memory, tree
from benchmarks.subjects import Column, Contestant, Sample, Subject

#: Seconds that a worker settles down in, once it consumes.
SETTLES_WITHIN = 3.0


def measure(bench: Bench, contestant: Contestant) -> Sample:
    with bench.place() as (place, gauge):
        start = time.monotonic()
        with bench.worker(place, contestant) as process:
            gauge.wait_for_consumer()
            started = time.monotonic() - start
            time.sleep(SETTLES_WITHIN)
            resident, proportional = memory(process)
            processes = len(tree(process))
    return {"proportional": proportional, "resident": resident, "started": started, "processes": processes}


SUBJECT = Subject(
    "Memory and start of a worker",
    "Of all its processes, some seconds after its start, with nothing to do. *Proportional*: pages that processes share"
    " are counted once. *Start*: from the command to its consumer on the broker, its queue declared on the way.",
    {
        "proportional": Column("proportional MB", 1),
        "resident": Column("resident MB", 1),
        "started": Column("start s", 2),
        "processes": Column("processes"),
    },
    (
        Contestant("amqptasks, 8 threads", "ours", worker="threads"),
        Contestant("amqptasks, prefork -c 2", "ours", worker="prefork"),
        Contestant("amqptasks, prefork -c 8", "ours", worker="prefork 8"),
        Contestant("amqptasks, solo", "ours", worker="solo"),
        Contestant("Celery prefork -c 2", "celery", worker="prefork"),
        Contestant("Celery prefork -c 8", "celery", worker="prefork 8"),
        Contestant("Celery solo", "celery", worker="solo"),
        Contestant("Celery threads -c 8", "celery", worker="threads"),
        Contestant("Dramatiq, 1 process, 8 threads", "dramatiq", worker="threads"),
        Contestant("Taskiq, 1 process", "taskiq", worker="async"),
        Contestant("aio-pika, callback", "aiopika", worker="callback"),
        Contestant("pika, one thread", "pika", worker="coalesced"),
    ),
    measure,
)
