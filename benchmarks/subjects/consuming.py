"""How many no-ops a second one worker runs and settles, and what each costs."""

from __future__ import annotations

import time

from benchmarks import peers
from benchmarks.bench import Bench
from benchmarks.gauge import Stuck
from benchmarks.place import Conditions
from benchmarks.subjects import Column, Contestant, Sample, Subject
from benchmarks.watching import watch

#: A run has at least so many times what a worker holds: below that, the queue is empty before it can be watched.
FILLS = 8

#: Seconds, beside twice the time that its prefetch takes, before a worker is stopped that has nothing more to do.
SETTLES_WITHIN = 0.5

#: Of this subject, and of others that measure the same under other conditions.
COLUMNS = {
    "rate": Column("tasks/s"),
    "client": Column("worker CPU µs/task", 1),
    "broker": Column("broker CPU µs/task", 1),
}

#: What all event loops run.
ASYNC = Conditions("noop_async")


def measure(bench: Bench, contestant: Contestant) -> Sample:
    worker, conditions = peers.find(contestant.peer).WORKERS[contestant.worker], contestant.conditions
    held = conditions.prefetch * (conditions.queues if conditions.spread else 1)
    with bench.place(conditions) as (place, gauge):
        count = max(bench.scaled(contestant.count), FILLS * held)
        count = int(bench.client(place, contestant.peer, worker.preload, count)["messages"])
        gauge.wait_for_messages(count, place.filled)
        with bench.worker(place, contestant) as process:
            stretch = watch(gauge, place.filled, count, [process], place.broker)
            time.sleep(SETTLES_WITHIN + 2 * held / stretch.rate)
        left, dead = gauge.ready(place.filled), gauge.dead()
        if left or dead:
            raise Stuck(f"{contestant.label} left {left} of {count} messages unsettled, and {dead} as dead letters")
    return {
        "rate": stretch.rate,
        "client": stretch.worker,
        "broker": None if place.broker is None else stretch.broker,
    }


SUBJECT = Subject(
    "Consuming no-ops",
    "One worker, a quorum queue filled beforehand, prefetch 250, every message acknowledged after its task. The rate"
    " is taken from the number of ready messages, without the worker's start and the last messages.",
    COLUMNS,
    (
        Contestant("amqptasks, 8 threads", "ours", worker="threads", count=60000, quick=True),
        Contestant("amqptasks, prefork -c 2", "ours", worker="prefork", count=40000, quick=True),
        Contestant("amqptasks, async tasks", "ours", worker="async", count=60000, quick=True, conditions=ASYNC),
        Contestant("Celery prefork -c 2", "celery", worker="prefork", count=8000),
        Contestant("Celery solo", "celery", worker="solo", count=12000),
        Contestant("Celery threads -c 8", "celery", worker="threads", count=10000),
        Contestant("Dramatiq, 1 process, 8 threads", "dramatiq", worker="threads", count=20000),
        Contestant("Taskiq, 1 process, async tasks", "taskiq", worker="async", count=15000, conditions=ASYNC),
        Contestant("aio-pika, callback, an ack each", "aiopika", worker="callback", count=30000, conditions=ASYNC),
        Contestant("pika, one thread, coalesced acks", "pika", worker="coalesced", count=80000, quick=True),
    ),
    measure,
)
