"""How many results a second one caller gets."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.clocks import cpu_times, tree
from benchmarks.subjects import Column, Contestant, Sample, Subject


def measure(bench: Bench, contestant: Contestant) -> Sample:
    count = bench.scaled(contestant.count)
    with bench.place() as (place, gauge), bench.worker(place, contestant) as process:
        gauge.wait_for_consumer()
        processes = tree(process)
        before = cpu_times(processes)
        took = bench.client(place, contestant.peer, contestant.client, count)
        worker = cpu_times(processes) - before
    broker = took["broker"]
    return {
        "rate": count / took["seconds"],
        "client": took["client"] / count * 1e6,
        "worker": worker / took["messages"] * 1e6,
        "broker": None if broker is None else broker / count * 1e6,
    }


SUBJECT = Subject(
    "Results",
    "One caller and one worker, a quorum queue; amqptasks by direct reply-to, Celery by `rpc://`. *Outstanding*: all"
    " calls are published, then all results collected. Dramatiq keeps no results in RabbitMQ.",
    {
        "rate": Column("results/s"),
        "client": Column("caller CPU µs/result"),
        "worker": Column("worker CPU µs/result"),
        "broker": Column("broker CPU µs/result"),
    },
    (
        Contestant("amqptasks, one by one", "ours", "result one by one", "threads", count=1500),
        Contestant("Celery prefork -c 2, one by one", "celery", "result one by one", "prefork with results", count=800),
        Contestant("amqptasks, 2,000 outstanding", "ours", "results outstanding", "threads", count=2000),
        Contestant(
            "Celery prefork -c 2, 2,000 outstanding",
            "celery",
            "results outstanding",
            "prefork with results",
            count=2000,
        ),
    ),
    measure,
)
