"""Taskiq with taskiq-aio-pika: `kiq()`; `taskiq worker`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from typing import Any

import uvloop
from taskiq.serializers import ORJSONSerializer
from taskiq_aio_pika import AioPikaBroker, Queue, QueueType

from benchmarks import tasks
from benchmarks.peers import IN_FLIGHT, PAUSE, Client, Worker
from benchmarks.place import Place

_place = Place.here()


def _broker() -> Any:
    queue = Queue(name=_place.queue, type=QueueType(_place.conditions.queue_type), routing_key=_place.queue)
    if "BENCHMARK_DEFAULTS" in os.environ:
        return AioPikaBroker(_place.url, task_queues=[queue])
    made = AioPikaBroker(_place.url, qos=_place.conditions.prefetch, task_queues=[queue])
    return made.with_serializer(ORJSONSerializer())


#: The worker's, and the client's: a process is one or the other.
broker = _broker()
_tasks = {
    name: broker.register_task(tasks.FUNCTIONS[name], task_name=name)
    for name in ("noop_async", "burn", "nap_async", "stamp_async")
}


class OneByOne(Client):
    """`await kiq()`, one after the other."""

    def __init__(self, place: Place) -> None:
        self._task = _tasks[place.conditions.task] if place.conditions.task in _tasks else _tasks["noop_async"]
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._runner.run(broker.startup())

    def run(self, count: int) -> None:
        self._runner.run(self._run(count))

    async def _run(self, count: int) -> None:
        await self._call(iter(range(count)))

    async def _call(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            await self._task.kiq(*tasks.arguments(number))

    def close(self) -> None:
        self._runner.run(broker.shutdown())
        self._runner.close()


class InFlight(OneByOne):
    """The same with so many under way."""

    async def _run(self, count: int) -> None:
        numbers = iter(range(count))
        await asyncio.gather(*(self._call(numbers) for _ in range(IN_FLIGHT)))


class Stamp(OneByOne):
    """Calls with a pause between them; the task measures how long it took."""

    async def _run(self, count: int) -> None:
        for _ in range(count):
            await _tasks["stamp_async"].kiq(time.monotonic_ns())
            await asyncio.sleep(PAUSE)


CLIENTS = {"one by one": OneByOne, "in flight": InFlight, "stamp": Stamp}

_COMMAND = (
    "-m taskiq worker benchmarks.peers.taskiq:broker --workers 1 --max-async-tasks 100 --max-prefetch PREFETCH"
    " --ack-type when_executed --log-level WARNING"
)

WORKERS = {
    "async": Worker(tuple(_COMMAND.split()), "in flight"),
    "by default": Worker(
        ("-m", "taskiq", "worker", "benchmarks.peers.taskiq:broker"), "in flight", {"BENCHMARK_DEFAULTS": "yes"}
    ),
}
