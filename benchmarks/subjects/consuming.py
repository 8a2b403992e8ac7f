"""How many no-ops a second one worker runs and settles, and what each costs."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks import peers
from benchmarks.bench import Bench
from benchmarks.clocks import cpu_time, cpu_times, tree
from benchmarks.gauge import LOOK_EVERY, PATIENCE, Gauge, Stuck
from benchmarks.subjects import Column, Contestant, Sample, Subject

#: The part of a queue that is consumed before the measuring begins: imports, first calls, and more than the prefetch.
WARM_UP = 0.1

#: Messages that every worker holds.
PREFETCH = 250

#: Seconds, beside twice the time that its prefetch takes, before a worker is stopped that has nothing more to do.
SETTLES_WITHIN = 0.5


@dataclass(frozen=True, slots=True)
class _Look:
    moment: float
    ready: int
    worker: float
    broker: float


def measure(bench: Bench, contestant: Contestant) -> Sample:
    worker = peers.find(contestant.peer).WORKERS[contestant.worker]
    with bench.place() as (place, gauge):
        filled = bench.client(place, contestant.peer, worker.preload, bench.scaled(contestant.count))
        count = int(filled["messages"])
        gauge.wait_for_messages(count)
        with bench.worker(place, contestant) as process:
            first, last = _watch(gauge, count, process, place.broker)
            done = first.ready - last.ready
            rate = done / (last.moment - first.moment)
            time.sleep(SETTLES_WITHIN + 2 * PREFETCH / rate)
        left, dead = gauge.look()[0], gauge.dead()
        if left or dead:
            raise Stuck(f"{contestant.label} left {left} of {count} messages unsettled, and {dead} as dead letters")
    return {
        "rate": rate,
        "client": (last.worker - first.worker) / done * 1e6,
        "broker": None if place.broker is None else (last.broker - first.broker) / done * 1e6,
    }


def _watch(gauge: Gauge, count: int, process: int, broker: int | None) -> tuple[_Look, _Look]:
    """Two looks at the queue, when the worker is in full swing and before it is empty. The unsettled messages are as
    many at both, so the ready ones tell how many were settled in between."""
    processes: list[int] = []
    first = last = None
    deadline = time.monotonic() + PATIENCE
    while ready := gauge.look()[0]:
        if ready < count * (1 - WARM_UP):
            processes = processes or tree(process)
            cpu = cpu_time(broker) if broker is not None else 0.0
            last = _Look(time.monotonic(), ready, cpu_times(processes), cpu)
            first = first or last
        if time.monotonic() > deadline:
            raise Stuck(f"{gauge.queue} still has {ready} of {count} messages after {PATIENCE:g} s")
        time.sleep(LOOK_EVERY)
    if first is None or last is None or first is last:
        raise Stuck(f"{gauge.queue} was empty before it could be watched: use more messages")
    return first, last


SUBJECT = Subject(
    "Consuming no-ops",
    "One worker, a quorum queue filled beforehand, prefetch 250, every message acknowledged after its task. The rate"
    " is taken from the number of ready messages, without the worker's start and the last messages.",
    {
        "rate": Column("tasks/s"),
        "client": Column("worker CPU µs/task", 1),
        "broker": Column("broker CPU µs/task", 1),
    },
    (
        Contestant("amqptasks, 8 threads", "ours", worker="threads", count=60000, quick=True),
        Contestant("amqptasks, async tasks", "ours", worker="async", count=60000, quick=True),
        Contestant("Celery prefork -c 2", "celery", worker="prefork", count=8000),
        Contestant("Celery solo", "celery", worker="solo", count=12000),
        Contestant("Celery threads -c 8", "celery", worker="threads", count=10000),
        Contestant("Dramatiq, 1 process, 8 threads", "dramatiq", worker="threads", count=20000),
        Contestant("pika, one thread, coalesced acks", "pika", worker="coalesced", count=80000, quick=True),
    ),
    measure,
)
