"""What must be reached: ratios to a peer in the same run, because rates mean nothing on another machine."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.figures import Figures

OUR_THREADS, OUR_ASYNC, OUR_PREFORK = "amqptasks, 8 threads", "amqptasks, async tasks", "amqptasks, prefork -c 2"
PIKA_CONSUMER = "pika, one thread, coalesced acks"
PIPELINED = "pika SelectConnection, 500 in flight"
CELERY = "Celery prefork -c 2"
DRAMATIQ = "Dramatiq, 1 process, 8 threads"

#: Of the table at everybody's defaults.
DEFAULT_PREFORK = "amqptasks, prefork -c 2 (info, prefetch by the tasks)"
DEFAULT_THREADS = "amqptasks, 8 threads (info, prefetch by the tasks)"
BEST_PREFORK = "amqptasks, prefork -c 2 (warning, prefetch 250)"
BEST_THREADS = "amqptasks, 8 threads (warning, prefetch 250)"
CELERY_DEFAULTS = ("Celery, prefork -c 2 (warning, prefetch 8)", "Celery, threads -c 8 (warning, prefetch 32)")

#: Every peer that runs tasks in one process.
ONE_PROCESS = ("Celery solo", "Celery threads -c 8", DRAMATIQ, "Taskiq, 1 process, async tasks")

#: Microseconds of client CPU a message that were aimed at, over pika's on the machine where they were set: what is
#: promised is their ratio, which carries over.
PUBLISHED_AIM, PUBLISHED_PIKA = 12.0, 21.0
CONSUMED_AIM, CONSUMED_PIKA = 25.0, 17.0

#: What may be added to the broker's CPU a message under pika.
BROKER_LIMIT = 1.2


@dataclass(frozen=True, slots=True)
class Floor:
    """The median of `ours`, divided by the best (least, with `at_most`) of `theirs` where there are some, is at least
    (or below) `limit`. `subjects` beyond the first are where `theirs` were measured under other settings, too."""

    promise: str
    subjects: tuple[str, ...]
    column: str
    ours: str
    limit: float
    theirs: tuple[str, ...] = ()
    at_most: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    floor: Floor
    reached: float
    kept: bool


def _at_least(promise: str, subject: str, ours: str, limit: float, *theirs: str, column: str = "rate") -> Floor:
    return Floor(promise, (subject,), column, ours, limit, theirs)


def _at_most(promise: str, subject: str, column: str, ours: str, limit: float, *theirs: str) -> Floor:
    return Floor(promise, (subject,), column, ours, limit, theirs, at_most=True)


def _for_both(make: str, pool: str, ours: str) -> tuple[Floor, ...]:
    """What threads and async tasks promise alike."""
    return (
        _at_least(f"{make} {pool}: 5 times Dramatiq with 8 threads", "consuming", ours, 5.0, DRAMATIQ),
        Floor(
            f"{make} {pool}: 3 times any peer with one process, at any prefetch",
            ("consuming", "prefetch"),
            "rate",
            ours,
            3.0,
            ONE_PROCESS,
        ),
        _at_least(f"{make} {pool}: 10 times Celery prefork -c 2", "consuming", ours, 10.0, CELERY),
        _at_least(f"{make} {pool}: 0.6 of bare pika with coalesced acks", "consuming", ours, 0.6, PIKA_CONSUMER),
    )


FLOORS = (
    *_for_both("consuming in", "threads", OUR_THREADS),
    *_for_both("consuming in", "event loops", OUR_ASYNC),
    _at_least("at defaults, processes: 3 times Celery", "defaults", DEFAULT_PREFORK, 3.0, *CELERY_DEFAULTS),
    _at_least("at defaults, processes: 0.8 of our best fixed prefetch", "defaults", DEFAULT_PREFORK, 0.8, BEST_PREFORK),
    _at_least("at defaults, threads: 3 times Celery", "defaults", DEFAULT_THREADS, 3.0, *CELERY_DEFAULTS),
    _at_least("at defaults, threads: 0.8 of our best fixed prefetch", "defaults", DEFAULT_THREADS, 0.8, BEST_THREADS),
    _at_least("consuming in processes: 4 times Celery prefork -c 2", "consuming", OUR_PREFORK, 4.0, CELERY),
    _at_least("publish_many(): 0.8 of bare pika pipelined", "publishing", "amqptasks publish_many()", 0.8, PIPELINED),
    _at_least(
        "16 threads: 1.5 times a BlockingConnection for each",
        "publishing",
        "amqptasks delay(), 16 threads",
        1.5,
        "pika BlockingConnection for each of 16 threads",
    ),
    _at_least(
        "one caller: 0.85 of bare pika, confirmed",
        "publishing",
        "amqptasks delay(), one caller",
        0.85,
        "pika BlockingConnection, confirmed",
    ),
    _at_least(
        "asyncio: 1.5 times aio-pika",
        "publishing",
        "amqptasks adelay(), 500 in flight",
        1.5,
        "aio-pika, 500 in flight",
    ),
    _at_most(
        "latency p50: 1.3 times bare pika with confirms",
        "latency",
        "p50",
        OUR_THREADS,
        1.3,
        "pika, one thread, confirmed",
    ),
    _at_least(
        "results, 2,000 outstanding: 3.5 times Celery rpc://",
        "results",
        "amqptasks, 2,000 outstanding",
        3.5,
        "Celery prefork -c 2, 2,000 outstanding",
    ),
    _at_most(
        "client CPU of publish_many(), against bare pika",
        "publishing",
        "client",
        "amqptasks publish_many()",
        PUBLISHED_AIM / PUBLISHED_PIKA,
        PIPELINED,
    ),
    _at_most(
        "worker CPU in threads, against bare pika",
        "consuming",
        "client",
        OUR_THREADS,
        CONSUMED_AIM / CONSUMED_PIKA,
        PIKA_CONSUMER,
    ),
    _at_most(
        "broker CPU under publish_many(), against bare pika",
        "publishing",
        "broker",
        "amqptasks publish_many()",
        BROKER_LIMIT,
        PIPELINED,
    ),
    _at_most(
        "broker CPU under threads, against bare pika", "consuming", "broker", OUR_THREADS, BROKER_LIMIT, PIKA_CONSUMER
    ),
    _at_most(
        "importing amqptasks: twice importing pika", "imports", "milliseconds", "import amqptasks", 2.0, "import pika"
    ),
    _at_most("99 % of delayed tasks: less than 100 ms late", "lateness", "p99", "amqptasks", 100.0),
    _at_least("1,000,000 waiting: 0.7 of the rate with 1,000", "waiting", "1,000,000 waiting", 0.7, "1,000 waiting"),
    _at_most(
        "100 queues in one worker: its CPU, against one",
        "queues",
        "client",
        "100 queues, one of them full",
        1.1,
        "1 queue",
    ),
    _at_most(
        "1,000,000 delayed tasks: the broker's CPU for each queue visited, against 10,000",
        "growing_delays",
        "stop",
        "1,000,000 delayed tasks",
        1.3,
        "10,000 delayed tasks",
    ),
)


def verdicts(figures: Figures) -> list[Verdict]:
    """On every floor for which ours was measured, and all of theirs under at least one setting."""
    found = []
    for floor in FLOORS:
        ours = figures.spread(floor.subjects[0], floor.ours, floor.column)
        theirs = [_best(figures, floor, label) for label in floor.theirs]
        if ours is None or None in theirs:
            continue
        compared = [value for value in theirs if value is not None]
        against = (min if floor.at_most else max)(compared) if compared else 1.0
        reached = ours.middle / against
        found.append(Verdict(floor, reached, reached < floor.limit if floor.at_most else reached >= floor.limit))
    return found


def _best(figures: Figures, floor: Floor, label: str) -> float | None:
    """The best median of one of theirs: under its own label, or that followed by a setting."""
    spreads = [
        figures.spread(subject, measured, floor.column)
        for subject in floor.subjects
        for measured in figures.samples.get(subject, ())
        if measured == label or measured.startswith(f"{label}, prefetch ")
    ]
    middles = [spread.middle for spread in spreads if spread is not None]
    return (min if floor.at_most else max)(middles) if middles else None
