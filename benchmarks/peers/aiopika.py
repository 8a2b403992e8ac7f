"""aio-pika by hand: the same message as ours, published and consumed with its own API.

python -m benchmarks.peers.aiopika    consume, until a signal
"""

from __future__ import annotations

import asyncio
import inspect
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import aio_pika
import orjson
import uvloop
from aio_pika.abc import AbstractIncomingMessage

from benchmarks import messages, tasks
from benchmarks.peers import IN_FLIGHT, PAUSE, Client, Worker
from benchmarks.place import Place


class InFlight(Client):
    """`await exchange.publish()`, with so many under way."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._runner.run(self._open())

    async def _open(self) -> None:
        self._connection = await aio_pika.connect(self._place.url)
        self._channel = await self._connection.channel()
        await self._channel.declare_queue(self._place.queue, durable=True, arguments=self._place.queue_arguments)

    def run(self, count: int) -> None:
        self._runner.run(self._run(count))

    async def _run(self, count: int) -> None:
        numbers = iter(range(count))
        await asyncio.gather(*(self._call(numbers) for _ in range(IN_FLIGHT)))

    async def _call(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            await self.publish(self._place.conditions.task, tasks.arguments(number))

    async def publish(self, task: str, args: tuple[Any, ...]) -> None:
        body, headers, name = messages.message(task, args)
        message = aio_pika.Message(
            body,
            content_type="application/json",
            content_encoding="utf-8",
            headers=headers,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            correlation_id=name,
        )
        await self._channel.default_exchange.publish(message, self._place.queue, mandatory=True)

    def close(self) -> None:
        self._runner.run(self._connection.close())
        self._runner.close()


class Stamp(InFlight):
    """Calls with a pause between them; the task measures how long it took."""

    async def _run(self, count: int) -> None:
        for _ in range(count):
            await self.publish("stamp", (time.monotonic_ns(),))
            await asyncio.sleep(PAUSE)


async def consume(place: Place) -> None:
    """Run the tasks of the queue on the loop, until a signal."""
    functions: dict[str, Callable[..., Any]] = {
        f"benchmarks.tasks.{name}": function for name, function in tasks.FUNCTIONS.items()
    }

    async def on_message(message: AbstractIncomingMessage) -> None:
        args, kwargs, _workflow = orjson.loads(message.body)
        returned = functions[str(message.headers["task"])](*args, **kwargs)
        if inspect.isawaitable(returned):
            await returned
        await message.ack()

    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    connection = await aio_pika.connect(place.url)
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=place.conditions.prefetch)
    queue = await channel.declare_queue(place.queue, durable=True, arguments=place.queue_arguments)
    await queue.consume(on_message)
    await ended.wait()
    await connection.close()


CLIENTS = {"in flight": InFlight, "stamp": Stamp}

WORKERS = {"callback": Worker(("-m", "benchmarks.peers.aiopika"), "in flight")}


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(consume(Place.here()))
