"""Tasks that do something: use the processor, or wait."""

from __future__ import annotations

from benchmarks.place import Conditions
from benchmarks.subjects import Contestant, Subject
from benchmarks.subjects.consuming import COLUMNS, measure

#: Without a pool of 100 held back by what it may hold: the event loops run so many tasks at once.
BURN, NAP, NAP_ASYNC = Conditions("burn"), Conditions("nap", prefetch=100), Conditions("nap_async", prefetch=100)

SUBJECT = Subject(
    "Tasks that work, and tasks that wait",
    "*1 ms*: each uses the processor for a millisecond; prefetch 250. *10 ms*: each sleeps that long, every fiftieth"
    " for 200 ms; prefetch 100; eight at once in threads and processes, a hundred at once in an event loop.",
    COLUMNS,
    (
        Contestant("1 ms: amqptasks, 8 threads", "ours", worker="threads", count=4000, conditions=BURN),
        Contestant("1 ms: amqptasks, prefork -c 2", "ours", worker="prefork", count=6000, conditions=BURN),
        Contestant("1 ms: Celery prefork -c 2", "celery", worker="prefork", count=4000, conditions=BURN),
        Contestant("1 ms: Dramatiq, 1 process, 8 threads", "dramatiq", worker="threads", count=4000, conditions=BURN),
        Contestant("1 ms: pika, one thread", "pika", worker="coalesced", count=4000, conditions=BURN),
        Contestant("10 ms: amqptasks, 8 threads", "ours", worker="threads", count=3000, conditions=NAP),
        Contestant("10 ms: amqptasks, prefork -c 8", "ours", worker="prefork 8", count=3000, conditions=NAP),
        Contestant("10 ms: Celery threads -c 8", "celery", worker="threads", count=3000, conditions=NAP),
        Contestant("10 ms: Celery prefork -c 8", "celery", worker="prefork 8", count=3000, conditions=NAP),
        Contestant("10 ms: Dramatiq, 1 process, 8 threads", "dramatiq", worker="threads", count=3000, conditions=NAP),
        Contestant("10 ms: amqptasks, async tasks", "ours", worker="async", count=20000, conditions=NAP_ASYNC),
        Contestant("10 ms: Taskiq, async tasks", "taskiq", worker="async", count=12000, conditions=NAP_ASYNC),
        Contestant("10 ms: aio-pika, callback", "aiopika", worker="callback", count=20000, conditions=NAP_ASYNC),
    ),
    measure,
)
