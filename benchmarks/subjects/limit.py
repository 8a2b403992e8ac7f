"""What the broker itself can do here: two publishers, two consumers, or both, of the cheapest kind there is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from benchmarks.bench import Bench
from benchmarks.clocks import cpu_time
from benchmarks.gauge import LOOK_EVERY, PATIENCE, Gauge, Stuck
from benchmarks.place import Conditions, Place
from benchmarks.subjects import Column, Contestant, Sample, Subject
from benchmarks.watching import watch

#: Clients at once, each in a process of its own.
CLIENTS = 2


def measure(bench: Bench, contestant: Contestant) -> Sample:
    """On one queue for all, or one for each."""
    with ExitStack() as opened:
        queues = contestant.conditions.queues
        found = [opened.enter_context(bench.place(Conditions())) for _ in range(queues)]
        places = [found[number % queues][0] for number in range(CLIENTS)]
        gauge = found[0][1]
        count = max(1000, bench.scaled(contestant.count)) // CLIENTS
        if not contestant.worker:
            return _publishing(bench, places, contestant, count)
        if contestant.client:
            return _both(bench, places, contestant, count, gauge)
        return _consuming(bench, places, contestant, count, gauge)


def _published(
    bench: Bench, places: Sequence[Place], contestant: Contestant, count: int
) -> tuple[list[dict[str, float]], int]:
    """What each client answered, and how many messages they published in all."""
    with ThreadPoolExecutor(CLIENTS) as threads:
        client = contestant.client or "pipelined"
        answers = list(threads.map(lambda place: bench.client(place, contestant.peer, client, count), places))
    return answers, int(sum(answer["messages"] for answer in answers))


def _publishing(bench: Bench, places: Sequence[Place], contestant: Contestant, count: int) -> Sample:
    answers, _ = _published(bench, places, contestant, count)
    took = max(answer["ended"] for answer in answers) - min(answer["began"] for answer in answers)
    done = count * len(answers)
    # Each saw the whole broker for nearly the same time: the longest look is closest to all of it.
    broker = max(answer["broker"] for answer in answers) if places[0].broker is not None else None
    return _sample(done, took, broker)


def _consuming(bench: Bench, places: Sequence[Place], contestant: Contestant, count: int, gauge: Gauge) -> Sample:
    _, messages = _published(bench, places, contestant, count)
    queues = sorted({place.queue for place in places})
    with ExitStack() as opened:
        workers = [opened.enter_context(bench.worker(place, contestant)) for place in places]
        stretch = watch(gauge, queues, messages, workers, places[0].broker)
    took = stretch.last.moment - stretch.first.moment
    return _sample(stretch.done, took, stretch.last.broker - stretch.first.broker if places[0].broker else None)


def _both(bench: Bench, places: Sequence[Place], contestant: Contestant, count: int, gauge: Gauge) -> Sample:
    """From the first publish to the moment when nothing is left."""
    queues = sorted({place.queue for place in places})
    with ExitStack() as opened:
        for place in places:
            opened.enter_context(bench.worker(place, contestant))
        gauge.wait_for_consumer()
        process = places[0].broker
        before = cpu_time(process) if process is not None else 0.0
        answers, messages = _published(bench, places, contestant, count)
        deadline = time.monotonic() + PATIENCE
        while gauge.ready(queues):
            if time.monotonic() > deadline:
                raise Stuck(f"{gauge.queue} is not emptied")
            time.sleep(LOOK_EVERY)
        took = time.monotonic() - min(answer["began"] for answer in answers)
        broker = cpu_time(process) - before if process is not None else None
    return _sample(messages, took, broker)


def _sample(done: int, took: float, broker: float | None) -> Sample:
    return {
        "rate": done / took,
        "broker": None if broker is None else broker / done * 1e6,
        "cores": None if broker is None else broker / took,
    }


SUBJECT = Subject(
    "What the broker can do here",
    "Two processes of bare pika publish (500 confirms outstanding each), two consume (prefetch 250, coalesced acks), or"
    " two of each at once, on one quorum queue or two. Nothing on this page can be faster for long; the processes share"
    " the machine with the broker.",
    {
        "rate": Column("messages/s"),
        "broker": Column("broker CPU µs/message", 1),
        "cores": Column("processors the broker used", 2),
    },
    tuple(
        Contestant(
            f"{what}, {'one queue' if queues == 1 else 'a queue each'}",
            "pika",
            client,
            worker,
            80000,
            conditions=Conditions(queues=queues),
        )
        for what, client, worker in (
            ("2 publishers", "pipelined", ""),
            ("2 consumers", "", "coalesced"),
            ("2 publishers and 2 consumers", "pipelined", "coalesced"),
        )
        for queues in (1, CLIENTS)
    ),
    measure,
)
