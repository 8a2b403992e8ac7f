"""pika by hand: the same message as ours, published and consumed with its own API.

python -m benchmarks.peers.pika    consume, until a signal
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.channel import Channel
from pika.spec import Basic

from benchmarks import messages, tasks
from benchmarks.gauge import Gauge
from benchmarks.peers import IN_FLIGHT, PAUSE, THREADS, Client, Worker
from benchmarks.place import Place

#: Seconds between two looks of a feeder that has nothing to add.
FEEDS_EVERY = 0.002

#: Without a type: pika's constructor has none for its parameters.
Properties: Any = pika.BasicProperties


def message(task: str, args: tuple[Any, ...]) -> tuple[bytes, pika.BasicProperties]:
    """What amqptasks sends for this call."""
    body, headers, name = messages.message(task, args)
    properties: pika.BasicProperties = Properties(
        content_type="application/json",
        content_encoding="utf-8",
        headers=headers,
        delivery_mode=2,
        correlation_id=name,
    )
    return body, properties


class Blocking(Client):
    """`BlockingChannel.basic_publish`, one after the other."""

    def __init__(self, place: Place) -> None:
        self._queue = place.queue
        self._connection = pika.BlockingConnection(pika.URLParameters(place.url))
        self._channel: BlockingChannel = self._connection.channel()
        self._channel.queue_declare(place.queue, durable=True, arguments=place.queue_arguments)
        self._task = place.conditions.task
        if self.confirmed:
            self._channel.confirm_delivery()

    def run(self, count: int) -> None:
        for number in range(count):
            self.publish(self._task, tasks.arguments(number))

    def publish(self, task: str, args: tuple[Any, ...]) -> None:
        body, properties = message(task, args)
        self._channel.basic_publish("", self._queue, body, properties, mandatory=self.confirmed)

    def close(self) -> None:
        self._connection.close()


class Unconfirmed(Blocking):
    """The same without confirms."""

    confirmed = False


class PerThread(Client):
    """A BlockingConnection for each of many threads: pika's connections belong to one thread each."""

    def __init__(self, place: Place) -> None:
        self._task = place.conditions.task
        self._clients = [Blocking(place) for _ in range(THREADS)]

    def run(self, count: int) -> None:
        numbers = iter(range(count))  # they share it: each takes the next number
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(self._call, self._clients, [numbers] * THREADS))

    def _call(self, client: Blocking, numbers: Iterator[int]) -> None:
        for number in numbers:
            client.publish(self._task, tasks.arguments(number))

    def close(self) -> None:
        for client in self._clients:
            client.close()


class Stamp(Blocking):
    """Calls with a pause between them; the task measures how long it took."""

    def run(self, count: int) -> None:
        for _ in range(count):
            self.publish("stamp", (time.monotonic_ns(),))
            time.sleep(PAUSE)


class Pipelined(Client):
    """SelectConnection with a window of outstanding confirms."""

    #: Whether the queue is there, and not ours to declare.
    passive = False

    def __init__(self, place: Place) -> None:
        self._queue = place.queue
        self._task = place.conditions.task
        self._arguments = place.queue_arguments
        self._published = self._confirmed = self._wanted = 0
        self._channel: Channel | None = None
        self._connection = pika.SelectConnection(pika.URLParameters(place.url), on_open_callback=self._opened)
        self._loop = self._connection.ioloop
        self._loop.start()

    def _opened(self, connection: pika.SelectConnection) -> None:
        connection.channel(on_open_callback=self._channel_opened)

    def _channel_opened(self, channel: Channel) -> None:
        self._channel = channel
        channel.confirm_delivery(self._on_confirm)
        channel.queue_declare(
            self._queue,
            passive=self.passive,
            durable=True,
            arguments=self._arguments,
            callback=lambda _: self._loop.stop(),
        )

    def run(self, count: int) -> None:
        self._wanted += count
        self._fill()
        self._loop.start()

    def _fill(self) -> None:
        assert self._channel is not None
        while self._published < self._wanted and self._published - self._confirmed < IN_FLIGHT:
            body, properties = message(self._task, tasks.arguments(self._published))
            self._channel.basic_publish("", self._queue, body, properties, mandatory=True)
            self._published += 1

    def _on_confirm(self, frame: Any) -> None:
        assert isinstance(frame.method, Basic.Ack), "the broker refused a message"
        # Single confirms may come out of order, but each tag is confirmed once: the count is what matters.
        self._confirmed = frame.method.delivery_tag if frame.method.multiple else self._confirmed + 1
        if self._confirmed >= self._wanted:
            self._loop.stop()
        elif self._published - self._confirmed <= IN_FLIGHT // 2:
            self._fill()

    def close(self) -> None:
        self._connection.add_on_close_callback(lambda *_: self._loop.stop())
        self._connection.close()
        self._loop.start()


class Feeder(Pipelined):
    """Adds to a queue as much as is taken from it, so that always as many messages wait."""

    passive = True
    warm_up = 0

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._gauge = Gauge(place.url, place.queue)
        self._depth = place.conditions.depth

    def run(self, count: int) -> None:
        published = 0
        while published < count:
            missing = min(count - published, self._depth - self._gauge.look()[0])
            if missing > 0:
                super().run(missing)
                published += missing
            else:
                time.sleep(FEEDS_EVERY)

    def close(self) -> None:
        self._gauge.close()
        super().close()


class Consumer:
    """Runs the tasks of a queue on the loop's thread."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._functions: dict[str, Callable[..., object]] = {
            f"benchmarks.tasks.{name}": function for name, function in tasks.FUNCTIONS.items()
        }
        self._done: deque[int] = deque()
        self._connection = pika.SelectConnection(
            pika.URLParameters(place.url), on_open_callback=self._opened, on_close_callback=lambda *_: self._loop.stop()
        )
        self._loop = self._connection.ioloop

    def run(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: self._loop.add_callback_threadsafe(self._connection.close))
        self._loop.start()

    def _opened(self, connection: pika.SelectConnection) -> None:
        connection.channel(on_open_callback=self._channel_opened)

    def _channel_opened(self, channel: Channel) -> None:
        self._channel = channel
        channel.queue_declare(self._place.queue, durable=True, arguments=self._place.queue_arguments)
        channel.basic_qos(prefetch_count=self._place.conditions.prefetch)
        channel.basic_consume(self._place.queue, self._on_message)

    def _on_message(self, _: Channel, method: Basic.Deliver, properties: pika.BasicProperties, body: bytes) -> None:
        assert properties.headers is not None
        args, kwargs, _workflow = orjson.loads(body)
        self._functions[properties.headers["task"]](*args, **kwargs)
        if not self._done:
            self._loop.call_later(0, self._acknowledge)
        self._done.append(method.delivery_tag or 0)

    def _acknowledge(self) -> None:
        self._channel.basic_ack(self._done.pop(), multiple=True)
        self._done.clear()


CLIENTS = {
    "blocking": Blocking,
    "unconfirmed": Unconfirmed,
    "per thread": PerThread,
    "pipelined": Pipelined,
    "feeder": Feeder,
    "stamp": Stamp,
}

WORKERS = {"coalesced": Worker(("-m", "benchmarks.peers.pika"), "pipelined")}


if __name__ == "__main__":
    Consumer(Place.here()).run()
