"""How many no-ops a second one worker runs when nobody set anything but the app, the queue and the concurrency."""

from __future__ import annotations

from benchmarks.place import Conditions
from benchmarks.subjects import Contestant, Subject
from benchmarks.subjects.consuming import COLUMNS, measure

#: The most that any of them holds at its defaults: so long the queue must be, and so long the worker's end is waited
#: for.
_ANY = Conditions(prefetch=1000)
_ASYNC = Conditions("noop_async", prefetch=1000)

SUBJECT = Subject(
    "At everybody's defaults",
    "One worker as its first user starts it: the app, the queue, and the concurrency where it is named. Each line names"
    " the log level and the prefetch that this means. The log is a file. Of amqptasks, each finished task has its line"
    " at *info*; of Celery two. The line with *--prefetch 250, warning* is our own best, for comparison.",
    COLUMNS,
    (
        Contestant(
            "amqptasks, prefork -c 2 (info, prefetch by the tasks)",
            "ours",
            worker="prefork by default",
            count=60000,
            conditions=_ANY,
        ),
        Contestant("amqptasks, prefork -c 2 (warning, prefetch 250)", "ours", worker="prefork", count=60000),
        Contestant(
            "amqptasks, 8 threads (info, prefetch by the tasks)",
            "ours",
            worker="threads by default",
            count=60000,
            conditions=_ANY,
        ),
        Contestant("amqptasks, 8 threads (warning, prefetch 250)", "ours", worker="threads", count=60000),
        Contestant("Celery, prefork -c 2 (warning, prefetch 8)", "celery", worker="prefork by default", count=8000),
        Contestant("Celery, prefork -c 2 (info, prefetch 8)", "celery", worker="prefork by default, info", count=8000),
        Contestant("Celery, threads -c 8 (warning, prefetch 32)", "celery", worker="threads by default", count=8000),
        Contestant(
            "Dramatiq, 2 processes, 8 threads each (info, prefetch 16 each)",
            "dramatiq",
            worker="by default",
            count=16000,
        ),
        Contestant(
            "Taskiq, 2 processes, async tasks (info, prefetch 10 each)",
            "taskiq",
            worker="by default",
            count=15000,
            conditions=_ASYNC,
        ),
    ),
    measure,
)
