"""Large messages."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.place import Conditions
from benchmarks.subjects import Contestant, Sample, Subject, consuming, publishing

#: 64 KiB more in the arguments; the fewer messages held.
LARGE = Conditions(body=64 * 1024, prefetch=64)
LARGE_ASYNC = Conditions("noop_async", body=64 * 1024, prefetch=64)


def measure(bench: Bench, contestant: Contestant) -> Sample:
    """Of a worker where it names one, else of a client."""
    return (consuming if contestant.worker else publishing).measure(bench, contestant)


SUBJECT = Subject(
    "Bodies of 64 KiB",
    "Publishing confirmed, and consuming no-ops with prefetch 64, where the arguments have 64 KiB.",
    publishing.COLUMNS,
    (
        Contestant("publishing: amqptasks publish_many()", "ours", "many", count=5000, conditions=LARGE),
        Contestant("publishing: amqptasks delay(), one caller", "ours", "one caller", count=2000, conditions=LARGE),
        Contestant("publishing: Celery, confirmed", "celery", "confirmed", count=1500, conditions=LARGE),
        Contestant("publishing: Dramatiq, confirmed", "dramatiq", "confirmed", count=2000, conditions=LARGE),
        Contestant("publishing: Taskiq, 500 in flight", "taskiq", "in flight", count=3000, conditions=LARGE_ASYNC),
        Contestant("publishing: aio-pika, 500 in flight", "aiopika", "in flight", count=4000, conditions=LARGE),
        Contestant("publishing: pika, 500 in flight", "pika", "pipelined", count=5000, conditions=LARGE),
        Contestant("consuming: amqptasks, 8 threads", "ours", worker="threads", count=5000, conditions=LARGE),
        Contestant("consuming: amqptasks, prefork -c 2", "ours", worker="prefork", count=5000, conditions=LARGE),
        Contestant("consuming: amqptasks, async tasks", "ours", worker="async", count=5000, conditions=LARGE_ASYNC),
        Contestant("consuming: Celery prefork -c 2", "celery", worker="prefork", count=2500, conditions=LARGE),
        Contestant("consuming: Dramatiq, 8 threads", "dramatiq", worker="threads", count=4000, conditions=LARGE),
        Contestant("consuming: Taskiq, async tasks", "taskiq", worker="async", count=3000, conditions=LARGE_ASYNC),
        Contestant("consuming: aio-pika, callback", "aiopika", worker="callback", count=4000, conditions=LARGE),
        Contestant("consuming: pika, one thread", "pika", worker="coalesced", count=5000, conditions=LARGE),
    ),
    measure,
)
