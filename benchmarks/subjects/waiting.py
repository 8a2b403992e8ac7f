"""Does it matter to a worker how many tasks wait behind those that it gets?"""

from __future__ import annotations

from benchmarks import peers
from benchmarks.bench import Bench
from benchmarks.clocks import cpu_times, tree
from benchmarks.place import Conditions
from benchmarks.subjects import Column, Contestant, Sample, Subject

NUMBERS = (1_000, 100_000, 1_000_000)

#: Messages that are consumed in one measured run.
MEASURED = 60_000


def measure(bench: Bench, contestant: Contestant) -> Sample:
    """Fill the queue, then run a worker while a feeder adds what it takes."""
    worker, depth = peers.find(contestant.peer).WORKERS[contestant.worker], contestant.conditions.depth
    with bench.place(contestant.conditions) as (place, gauge):
        filled = bench.client(place, contestant.peer, worker.preload, depth)
        gauge.wait_for_messages(int(filled["messages"]))
        with bench.worker(place, contestant) as process:
            gauge.wait_for_fewer(depth)
            processes = tree(process)
            before = cpu_times(processes)
            took = bench.client(place, "pika", contestant.client, bench.scaled(MEASURED))
            spent = cpu_times(processes) - before
    done = took["messages"]
    broker = took["broker"]
    return {
        "rate": done / took["seconds"],
        "client": spent / done * 1e6,
        "broker": None if broker is None else broker / done * 1e6,
    }


SUBJECT = Subject(
    "Growth: waiting tasks",
    f"A worker with 8 threads and prefetch 250 consumes {MEASURED:,} no-ops of a quorum queue in which always as many"
    " tasks wait as named: a bare pika process adds what the worker takes, and the broker's CPU time has both.",
    {
        "rate": Column("tasks/s"),
        "client": Column("worker CPU µs/task", 1),
        "broker": Column("broker CPU µs/task", 1),
    },
    tuple(
        Contestant(f"{number:,} waiting", "ours", "feeder", "threads", number, conditions=Conditions(depth=number))
        for number in NUMBERS
    ),
    measure,
)
