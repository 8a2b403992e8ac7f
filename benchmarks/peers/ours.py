"""amqptasks: `delay()` and its kin; `amqptasks worker`."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from amqptasks import App
from benchmarks import tasks
from benchmarks.peers import PAUSE, Client, Worker
from benchmarks.place import Place

CONFIGURATION = (
    "As it comes: every publish is confirmed and mandatory, acks are late, queues are quorum queues with a dead-letter"
    " queue. Replies only where results are measured (`ignore_result=True` elsewhere)."
)

#: Callers at once, and calls in flight of one asyncio program.
THREADS = 16
IN_FLIGHT = 500

#: Seconds that a caller waits for a result: long against all that is measured.
RESULT_WITHIN = 60.0

#: The shortest and the longest delay in seconds, of delays drawn evenly between them.
SHORTEST, LONGEST = 0.2, 60.0

_place = Place.here()

app = App("benchmark", broker=_place.url)
noop = app.task(queue=_place.queue, ignore_result=True)(tasks.noop)
noop_async = app.task(queue=_place.queue, ignore_result=True)(tasks.noop_async)
stamp = app.task(queue=_place.queue, ignore_result=True)(tasks.stamp)
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
            noop.delay(*tasks.arguments(number))


class Threads(_OurClient):
    """`delay()` from many threads."""

    def run(self, count: int) -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(self._call, [iter(range(count))] * THREADS))  # they share it: each takes the next number

    def _call(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            noop.delay(*tasks.arguments(number))


class Many(_OurClient):
    """`publish_many()`."""

    def run(self, count: int) -> None:
        noop.publish_many(tasks.arguments(number) for number in range(count))


class ManyAsync(_OurClient):
    """`publish_many()` of an `async def` task."""

    def run(self, count: int) -> None:
        noop_async.publish_many(tasks.arguments(number) for number in range(count))


class Asyncio(_OurClient):
    """`await adelay()`, with so many in flight."""

    def run(self, count: int) -> None:
        asyncio.run(self._run(count))

    async def _run(self, count: int) -> None:
        numbers = iter(range(count))
        await asyncio.gather(*(self._call(numbers) for _ in range(IN_FLIGHT)))

    async def _call(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            await noop.adelay(*tasks.arguments(number))


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


CLIENTS = {
    "one caller": OneCaller,
    "threads": Threads,
    "many": Many,
    "many async": ManyAsync,
    "asyncio": Asyncio,
    "stamp": Stamp,
    "result one by one": ResultOneByOne,
    "results outstanding": ResultsOutstanding,
    "delayed": Delayed,
}

_COMMAND = ("-m", "amqptasks", "-A", "benchmarks.peers.ours", "worker", "-Q", "QUEUE:250", "-c", "8", "-l", "warning")

WORKERS = {"threads": Worker(_COMMAND, "many"), "async": Worker(_COMMAND, "many async")}
