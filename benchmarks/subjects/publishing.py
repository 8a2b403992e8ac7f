"""How many calls a second reach the queue, and what each costs."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.place import Conditions
from benchmarks.subjects import Column, Contestant, Sample, Subject


def measure(bench: Bench, contestant: Contestant) -> Sample:
    count = bench.scaled(contestant.count)
    with bench.place(contestant.conditions) as (place, gauge):
        took = bench.client(place, contestant.peer, contestant.client, count)
        gauge.wait_for_messages(int(took["messages"]))  # nothing was lost, nothing came twice
    broker = took["broker"]
    return {
        "rate": count / took["seconds"],
        "client": took["client"] / count * 1e6,
        "broker": None if broker is None else broker / count * 1e6,
    }


#: Of this subject, and of others that measure the same under other conditions.
COLUMNS = {
    "rate": Column("messages/s"),
    "client": Column("client CPU µs/message", 1),
    "broker": Column("broker CPU µs/message", 1),
}

SUBJECT = Subject(
    "Publishing",
    "One process publishes to a quorum queue until the broker has all messages. *Confirmed*: the call returns when the"
    " broker has stored the message; one caller at a time then waits a round trip for each, whatever the client.",
    COLUMNS,
    (
        Contestant("amqptasks delay(), one caller", "ours", "one caller", count=4000, quick=True),
        Contestant("amqptasks delay(), 16 threads", "ours", "threads", count=24000, quick=True),
        Contestant("amqptasks adelay(), 500 in flight", "ours", "asyncio", count=24000, quick=True),
        Contestant("amqptasks publish_many()", "ours", "many", count=50000, quick=True),
        Contestant("Celery delay(), unconfirmed", "celery", "unconfirmed", count=8000),
        Contestant("Celery delay(), confirmed", "celery", "confirmed", count=3000),
        Contestant("Dramatiq send(), unconfirmed", "dramatiq", "unconfirmed", count=24000),
        Contestant("Dramatiq send(), confirmed", "dramatiq", "confirmed", count=4000),
        Contestant("Taskiq kiq(), one caller", "taskiq", "one by one", count=4000, conditions=Conditions("noop_async")),
        Contestant(
            "Taskiq kiq(), 500 in flight", "taskiq", "in flight", count=16000, conditions=Conditions("noop_async")
        ),
        Contestant("aio-pika, 500 in flight", "aiopika", "in flight", count=24000),
        Contestant("pika BlockingConnection, unconfirmed", "pika", "unconfirmed", count=50000),
        Contestant("pika BlockingConnection, confirmed", "pika", "blocking", count=4000, quick=True),
        Contestant("pika BlockingConnection for each of 16 threads", "pika", "per thread", count=12000),
        Contestant("pika SelectConnection, 500 in flight", "pika", "pipelined", count=50000, quick=True),
    ),
    measure,
)
