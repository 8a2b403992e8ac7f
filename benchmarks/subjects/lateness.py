"""How late delayed tasks begin that go through the ladder of delay queues."""

from __future__ import annotations

from statistics import quantiles

from benchmarks.bench import Bench
from benchmarks.gauge import PATIENCE
from benchmarks.subjects import Column, Contestant, Sample, Subject
from benchmarks.subjects.latency import wait_for_samples

#: Seconds of the longest delay that the client draws.
LONGEST = 60.0


def measure(bench: Bench, contestant: Contestant) -> Sample:
    count = bench.scaled(contestant.count)
    with bench.place() as (place, gauge), bench.worker(place, contestant):
        gauge.wait_for_consumer()
        bench.client(place, contestant.peer, contestant.client, count)
        late = wait_for_samples(place, count, LONGEST + PATIENCE)
    hundredths = quantiles(late, n=100, method="inclusive")
    return {
        "p99": hundredths[98] * 1e3,
        "p50": hundredths[49] * 1e3,
        "max": max(late) * 1e3,
        "min": min(late) * 1e3,
    }


SUBJECT = Subject(
    "Lateness of delayed tasks",
    "600 tasks with random delays from 0.2 to 60 seconds on an idle broker: how late the first line of the task runs."
    " A delay is rounded up by at most 0.05 % and one tick of 32 ms, so that fewer queues are visited; it is never"
    " early.",
    {
        "p99": Column("p99 ms", 1),
        "p50": Column("p50 ms", 1),
        "max": Column("latest ms", 1),
        "min": Column("earliest ms", 1),
    },
    (Contestant("amqptasks", "ours", "delayed", "threads", count=600),),
    measure,
    rounds=1,
)
