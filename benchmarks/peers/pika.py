"""pika by hand: the same message as ours, published and consumed with its own API.

python -m benchmarks.peers.pika QUEUE    consume, until a signal
"""

from __future__ import annotations

import signal
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

import orjson
import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.channel import Channel
from pika.spec import Basic

from benchmarks import tasks
from benchmarks.peers import PAUSE, Client, Worker
from benchmarks.place import Place

CONFIGURATION = (
    "By hand, with the same message (body, headers `task` and `id`, persistent) on a plain quorum queue."
    " BlockingConnection publishes one at a time; SelectConnection keeps 500 confirms outstanding. The consumer is a"
    " SelectConnection with prefetch 250, JSON-decodes the body, calls the function, and acknowledges once a loop turn"
    " with `multiple=True`."
)

#: Confirms outstanding; more brings nothing on one channel.
WINDOW = 500

PREFETCH = 250

QUORUM = {"x-queue-type": "quorum"}

WORKFLOW = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


#: Without a type: pika's constructor has none for its parameters.
Properties: Any = pika.BasicProperties


def message(task: str, args: tuple[Any, ...]) -> tuple[bytes, pika.BasicProperties]:
    """What amqptasks sends for this call."""
    name = str(uuid.uuid4())
    properties: pika.BasicProperties = Properties(
        content_type="application/json",
        content_encoding="utf-8",
        headers={"task": f"benchmarks.tasks.{task}", "id": name},
        delivery_mode=2,
        correlation_id=name,
    )
    return orjson.dumps((args, {}, WORKFLOW)), properties


class Blocking(Client):
    """`BlockingChannel.basic_publish`, one after the other."""

    def __init__(self, place: Place) -> None:
        self._queue = place.queue
        self._connection = pika.BlockingConnection(pika.URLParameters(place.url))
        self._channel: BlockingChannel = self._connection.channel()
        self._channel.queue_declare(place.queue, durable=True, arguments=QUORUM)
        if self.confirmed:
            self._channel.confirm_delivery()

    def run(self, count: int) -> None:
        for number in range(count):
            self.publish("noop", tasks.arguments(number))

    def publish(self, task: str, args: tuple[Any, ...]) -> None:
        body, properties = message(task, args)
        self._channel.basic_publish("", self._queue, body, properties, mandatory=self.confirmed)

    def close(self) -> None:
        self._connection.close()


class Unconfirmed(Blocking):
    """The same without confirms."""

    confirmed = False


class Stamp(Blocking):
    """Calls with a pause between them; the task measures how long it took."""

    def run(self, count: int) -> None:
        for _ in range(count):
            self.publish("stamp", (time.monotonic_ns(),))
            time.sleep(PAUSE)


class Pipelined(Client):
    """SelectConnection with a window of outstanding confirms."""

    def __init__(self, place: Place) -> None:
        self._queue = place.queue
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
        channel.queue_declare(self._queue, durable=True, arguments=QUORUM, callback=lambda _: self._loop.stop())

    def run(self, count: int) -> None:
        self._wanted += count
        self._fill()
        self._loop.start()

    def _fill(self) -> None:
        assert self._channel is not None
        while self._published < self._wanted and self._published - self._confirmed < WINDOW:
            body, properties = message("noop", tasks.arguments(self._published))
            self._channel.basic_publish("", self._queue, body, properties, mandatory=True)
            self._published += 1

    def _on_confirm(self, frame: Any) -> None:
        assert isinstance(frame.method, Basic.Ack), "the broker refused a message"
        # Single confirms may come out of order, but each tag is confirmed once: the count is what matters.
        self._confirmed = frame.method.delivery_tag if frame.method.multiple else self._confirmed + 1
        if self._confirmed >= self._wanted:
            self._loop.stop()
        elif self._published - self._confirmed <= WINDOW // 2:
            self._fill()

    def close(self) -> None:
        self._connection.add_on_close_callback(lambda *_: self._loop.stop())
        self._connection.close()
        self._loop.start()


class Consumer:
    """Runs the tasks of a queue on the loop's thread."""

    def __init__(self, url: str, queue: str) -> None:
        self._queue = queue
        self._functions: dict[str, Callable[..., object]] = {
            f"benchmarks.tasks.{function.__name__}": function for function in (tasks.noop, tasks.stamp)
        }
        self._done: deque[int] = deque()
        self._connection = pika.SelectConnection(
            pika.URLParameters(url), on_open_callback=self._opened, on_close_callback=lambda *_: self._loop.stop()
        )
        self._loop = self._connection.ioloop

    def run(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: self._loop.add_callback_threadsafe(self._connection.close))
        self._loop.start()

    def _opened(self, connection: pika.SelectConnection) -> None:
        connection.channel(on_open_callback=self._channel_opened)

    def _channel_opened(self, channel: Channel) -> None:
        self._channel = channel
        channel.queue_declare(self._queue, durable=True, arguments=QUORUM)
        channel.basic_qos(prefetch_count=PREFETCH)
        channel.basic_consume(self._queue, self._on_message)

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


CLIENTS = {"blocking": Blocking, "unconfirmed": Unconfirmed, "pipelined": Pipelined, "stamp": Stamp}

WORKERS = {"coalesced": Worker(("-m", "benchmarks.peers.pika", "QUEUE"), "pipelined")}


if __name__ == "__main__":
    Consumer(Place.here().url, sys.argv[1]).run()
