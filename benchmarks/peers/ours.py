"""amqptasks: `delay()` and its kin; `amqptasks worker`."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from amqptasks import App
from benchmarks import tasks
from benchmarks.peers import IN_FLIGHT, PAUSE, THREADS, Client, Worker
from benchmarks.place import Place

#: Seconds that a caller waits for a result: long against all that is measured.
RESULT_WITHIN = 60.0

#: The shortest and the longest delay in seconds, of delays drawn evenly between them.
SHORTEST, LONGEST = 0.2, 60.0

#: Calls that one `publish_many()` of delayed tasks has: all are due at the same moment.
DUE_TOGETHER = 250

_place = Place.here()


def _topology() -> Path | None:
    """A file where the queue is not of the usual type; without one, queues are declared as tasks and workers name
    them."""
    kind = _place.conditions.queue_type
    if kind == "quorum":
        return None
    file = _place.samples.with_suffix(".yaml")
    file.write_text(f"version: 1\nqueues:\n  {_place.queue}: {{type: {kind}}}\n")
    return file


app = App("benchmark", broker=_place.url, topology=_topology())
app.add_queues(_place.queues)
TASKS = {
    name: app.task(queue=_place.queue, ignore_result=True, headers=_place.conditions.more_headers())(function)
    for name, function in tasks.FUNCTIONS.items()
}
usual, stamp = TASKS[_place.conditions.task], TASKS["stamp"]
late = app.task(queue=_place.queue, ignore_result=True)(tasks.late)
add = app.task(queue=_place.queue)(tasks.add)


class _OurClient(Client):
    def __init__(self, place: Place) -> None:
        app.declare()

    def close(self) -> None:
        app.close()


class OneCaller(_OurClient):
    """`delay()`, one after the other."""

    def run(self, count: int) -> None:
        for number in range(count):
            usual.delay(*tasks.arguments(number))


class Threads(_OurClient):
    """`delay()` from many threads."""

    def run(self, count: int) -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(self._call, [iter(range(count))] * THREADS))  # they share it: each takes the next number

    def _call(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            usual.delay(*tasks.arguments(number))


class Many(_OurClient):
    """`publish_many()`."""

    def run(self, count: int) -> None:
        for queue, numbers in _shares(count):
            usual.publish_many((tasks.arguments(number) for number in numbers), queue=queue)


def _shares(count: int) -> Iterator[tuple[str, range]]:
    """Which calls go to which of the queues to fill: as many to each."""
    queues = _place.filled
    for place, queue in enumerate(queues):
        yield queue, range(place, count, len(queues))


class Asyncio(_OurClient):
    """`await adelay()`, with so many in flight."""

    def run(self, count: int) -> None:
        asyncio.run(self._run(count))

    async def _run(self, count: int) -> None:
        numbers = iter(range(count))
        await asyncio.gather(*(self._call(numbers) for _ in range(IN_FLIGHT)))

    async def _call(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            await usual.adelay(*tasks.arguments(number))


class Stamp(_OurClient):
    """Calls with a pause between them; the task measures how long it took."""

    def run(self, count: int) -> None:
        for _ in range(count):
            stamp.delay(time.monotonic_ns())
            time.sleep(PAUSE)


class ResultOneByOne(_OurClient):
    """`delay().get()`."""

    def run(self, count: int) -> None:
        for number in range(count):
            assert add.delay(number, 1).get(RESULT_WITHIN) == number + 1


class ResultsOutstanding(_OurClient):
    """All published first, then all collected."""

    def run(self, count: int) -> None:
        results = add.publish_many((number, 1) for number in range(count))
        assert [result.get(RESULT_WITHIN) for result in results] == list(range(1, count + 1))


class Delayed(_OurClient):
    """Calls with a random delay; the task measures how late it is."""

    warm_up = 0

    def run(self, count: int) -> None:
        draw = random.Random(5)  # the same delays in every run
        for _ in range(count):
            delay = draw.uniform(SHORTEST, LONGEST)
            late.apply_async((time.time() + delay,), countdown=delay)


class ManyDelayed(_OurClient):
    """`publish_many()` of calls that are due together, again and again; the task measures how late it is."""

    warm_up = 0

    def run(self, count: int) -> None:
        draw = random.Random(5)
        shortest = _place.conditions.delay
        for first in range(0, count, DUE_TOGETHER):
            due = time.time() + draw.uniform(shortest, 2 * shortest)
            calls = [(due,)] * min(DUE_TOGETHER, count - first)
            late.publish_many(calls, eta=datetime.fromtimestamp(due, UTC))


CLIENTS = {
    "one caller": OneCaller,
    "threads": Threads,
    "many": Many,
    "asyncio": Asyncio,
    "stamp": Stamp,
    "result one by one": ResultOneByOne,
    "results outstanding": ResultsOutstanding,
    "delayed": Delayed,
    "many delayed": ManyDelayed,
}


def _worker(pool: str, concurrency: int) -> Worker:
    command = f"-m amqptasks -A benchmarks.peers.ours worker -Q QUEUES -P {pool} -c {concurrency} -l warning"
    return Worker(tuple(command.split()), "many")


#: Nothing but the app and the queue.
_BY_DEFAULT = ("-A", "benchmarks.peers.ours", "worker", "-Q", "QUEUE")

#: `async def` tasks run in a pool of their own beside the one that is named.
WORKERS = {
    "threads": _worker("threads", 8),
    "prefork": _worker("prefork", 2),
    "prefork 8": _worker("prefork", 8),
    "prefork by default": Worker(("-m", "amqptasks", *_BY_DEFAULT, "-c", "2"), "many"),
    "threads by default": Worker(("-m", "amqptasks", *_BY_DEFAULT, "-P", "threads", "-c", "8"), "many"),
    "solo": _worker("solo", 1),
    "async": _worker("threads", 1),
}
