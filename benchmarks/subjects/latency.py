"""How long after the call the task's first line runs, with nothing else to do."""

from __future__ import annotations

import time
from statistics import quantiles

from benchmarks.bench import Bench
from benchmarks.gauge import PATIENCE, Stuck
from benchmarks.place import Place
from benchmarks.subjects import Column, Contestant, Sample, Subject
from benchmarks.tasks import count_samples, read_samples


def measure(bench: Bench, contestant: Contestant) -> Sample:
    count = bench.scaled(contestant.count)
    with bench.place() as (place, gauge), bench.worker(place, contestant):
        gauge.wait_for_consumer()
        took = bench.client(place, contestant.peer, contestant.client, count)
        latencies = wait_for_samples(place, int(took["messages"]), PATIENCE)[-count:]  # without those of the warm-up
    hundredths = quantiles(latencies, n=100, method="inclusive")
    return {"p50": hundredths[49] * 1e3, "p99": hundredths[98] * 1e3}


def wait_for_samples(place: Place, count: int, timeout: float) -> list[float]:
    """What the tasks measured, once `count` of them ran. Raises `Stuck` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while (ran := count_samples(place)) < count:
        if time.monotonic() > deadline:
            raise Stuck(f"only {ran} of {count} tasks ran")
        time.sleep(0.1)
    return read_samples(place)


SUBJECT = Subject(
    "Latency",
    "From the call to the first line of the task, one call every 5 ms, on a quorum queue.",
    {"p50": Column("p50 ms", 2), "p99": Column("p99 ms", 2)},
    (
        Contestant("amqptasks, 8 threads", "ours", "stamp", "threads", count=1000),
        Contestant("Celery prefork -c 2, unconfirmed", "celery", "stamp", "prefork", count=1000),
        Contestant("Celery prefork -c 2, confirmed", "celery", "stamp confirmed", "prefork", count=1000),
        Contestant("Dramatiq, 8 threads, confirmed", "dramatiq", "stamp", "threads", count=1000),
        Contestant("amqptasks, prefork -c 2", "ours", "stamp", "prefork", count=1000),
        Contestant("Taskiq, async tasks", "taskiq", "stamp", "async", count=1000),
        Contestant("aio-pika, callback, confirmed", "aiopika", "stamp", "callback", count=1000),
        Contestant("pika, one thread, confirmed", "pika", "stamp", "coalesced", count=1000),
    ),
    measure,
)
