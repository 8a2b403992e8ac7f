"""What the number of messages that a worker holds does to its rate."""

from __future__ import annotations

from benchmarks.place import Conditions
from benchmarks.subjects import Contestant, Subject
from benchmarks.subjects.consuming import COLUMNS, measure

#: Messages of a run with a small, a middling and a large prefetch: the slower, the fewer.
SETTINGS = {1: 4000, 16: 20000, 64: 30000}

#: Label, peer, worker, task, and the part of the messages that a slower worker gets.
CONTESTANTS = (
    ("amqptasks, 8 threads", "ours", "threads", "noop", 1.0),
    ("amqptasks, prefork -c 2", "ours", "prefork", "noop", 1.0),
    ("amqptasks, async tasks", "ours", "async", "noop_async", 1.0),
    ("Celery prefork -c 2", "celery", "prefork", "noop", 0.25),
    ("Dramatiq, 1 process, 8 threads", "dramatiq", "threads", "noop", 0.5),
    ("Taskiq, 1 process, async tasks", "taskiq", "async", "noop_async", 0.5),
    ("aio-pika, callback, an ack each", "aiopika", "callback", "noop_async", 0.75),
    ("pika, one thread, coalesced acks", "pika", "coalesced", "noop", 1.0),
)

SUBJECT = Subject(
    "Consuming with a smaller prefetch",
    "As above, with 1, 16 and 64 messages held by a worker. Celery with two processes holds at least two.",
    COLUMNS,
    tuple(
        Contestant(
            f"{label}, prefetch {prefetch}",
            peer,
            worker=worker,
            count=int(count * part) if prefetch > 1 else count,
            conditions=Conditions(task, prefetch=prefetch),
        )
        for prefetch, count in SETTINGS.items()
        for label, peer, worker, task, part in CONTESTANTS
    ),
    measure,
)
