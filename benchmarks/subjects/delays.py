"""What delayed tasks cost that go through the ladder of delay queues, when there are many."""

from __future__ import annotations

from statistics import quantiles

from amqptasks.messages.own_headers import TO
from amqptasks.topology.delays import enter
from amqptasks.transport.capabilities import Capabilities
from benchmarks.bench import Bench
from benchmarks.clocks import cpu_time, cpu_times, tree
from benchmarks.gauge import PATIENCE
from benchmarks.place import Conditions
from benchmarks.subjects import Column, Contestant, Sample, Subject
from benchmarks.subjects.latency import wait_for_samples

#: Of this subject, and of the one that measures the same with more of them.
COLUMNS = {
    "rate": Column("published/s"),
    "client": Column("client CPU µs/task", 1),
    "broker": Column("broker CPU µs/task", 1),
    "stops": Column("queues visited", 2),
    "stop": Column("broker CPU µs/queue", 1),
    "worker": Column("worker CPU µs/task", 1),
    "p50": Column("p50 ms late", 1),
    "p99": Column("p99 ms late", 1),
}

#: Delays of which the mean number of queues is taken.
DELAYS = 1000


def stops(shortest: float) -> float:
    """Queues that a task is in, on average, whose delay is between `shortest` seconds and twice as many: its own, and
    one for each bit that is set in its delay. That is 4 for a second and 7 for an hour: it grows with the delay,
    whatever the number of tasks."""
    visited = 0
    for number in range(DELAYS):
        _, headers = enter(shortest * (1 + number / DELAYS), "", Capabilities(), None)
        visited += len(headers.keys() - {TO}) + 1
    return visited / DELAYS


def measure(bench: Bench, contestant: Contestant) -> Sample:
    """From the first publish to the last run: the broker's CPU time has all that the ladder does."""
    count = bench.scaled(contestant.count)
    with bench.place(contestant.conditions) as (place, gauge), bench.worker(place, contestant) as process:
        gauge.wait_for_consumer()
        processes = tree(process)
        worker, broker = cpu_times(processes), cpu_time(place.broker) if place.broker is not None else 0.0
        took = bench.client(place, contestant.peer, contestant.client, count)
        late = wait_for_samples(place, count, 2 * contestant.conditions.delay + PATIENCE)
        worker = cpu_times(processes) - worker
        broker = cpu_time(place.broker) - broker if place.broker is not None else 0.0
    visited = stops(contestant.conditions.delay)
    hundredths = quantiles(late, n=100, method="inclusive")
    return {
        "rate": count / took["seconds"],
        "client": took["client"] / count * 1e6,
        "broker": None if place.broker is None else broker / count * 1e6,
        "stops": visited,
        "stop": None if place.broker is None else broker / count * 1e6 / visited,
        "worker": worker / count * 1e6,
        "p50": hundredths[49] * 1e3,
        "p99": hundredths[98] * 1e3,
    }


SUBJECT = Subject(
    "Many delayed tasks",
    "20,000 tasks by `publish_many()`, 250 each with a random delay from 10 to 20 seconds, then run by 8 threads. The"
    " broker's CPU time is that of all the way: into the ladder, down its rungs, to the worker, and waiting.",
    COLUMNS,
    (Contestant("amqptasks, delayed", "ours", "many delayed", "threads", 20000, conditions=Conditions(delay=10.0)),),
    measure,
)
