"""How full a queue is now, by passive declare: exact, where the management API's figures are seconds old."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

import pika
from pika import exceptions
from pika.adapters.blocking_connection import BlockingChannel

#: Seconds between two looks. One look costs the broker 0.2 ms: a hundredth of this.
LOOK_EVERY = 0.02

#: Seconds without any change after which a run has failed. Celery's first task may take five on a busy machine.
PATIENCE = 60.0

#: What amqptasks and Dramatiq append to a queue's name for its dead letters.
DEAD = (".dead", ".XQ")


class Stuck(Exception):
    """A queue does not reach the state that a run waits for."""


class Gauge:
    """Has a connection of its own; use it as a context."""

    def __init__(self, url: str, queue: str) -> None:
        parameters = pika.URLParameters(url)
        parameters.heartbeat = 0  # nobody looks for a quarter of an hour while a million tasks become due
        self._connection = pika.BlockingConnection(parameters)
        self._channel: BlockingChannel = self._connection.channel()
        self.queue = queue

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def ready(self, queues: Iterable[str]) -> int:
        """Ready messages of several queues."""
        return sum(self._look(queue)[0] for queue in queues)

    def look(self) -> tuple[int, int]:
        """Ready messages and consumers; none of both where there is no such queue."""
        return self._look(self.queue)

    def wait_for_messages(self, count: int, queues: Sequence[str] = ()) -> None:
        """Until so many are ready, in this queue or in all of `queues`. Raises `Stuck`."""
        deadline = time.monotonic() + PATIENCE
        while (ready := self.ready(queues or [self.queue])) != count:
            if time.monotonic() > deadline:
                raise Stuck(f"{self.queue} has {ready} messages, not {count}")
            time.sleep(LOOK_EVERY / 4)

    def wait_for_fewer(self, count: int) -> None:
        """Until somebody has taken one of so many. Raises `Stuck`."""
        deadline = time.monotonic() + PATIENCE
        while self.look()[0] >= count:
            if time.monotonic() > deadline:
                raise Stuck(f"nobody consumes {self.queue}")
            time.sleep(LOOK_EVERY)

    def wait_for_consumer(self) -> None:
        """Until somebody consumes. Raises `Stuck`."""
        deadline = time.monotonic() + PATIENCE
        while not self.look()[1]:
            if time.monotonic() > deadline:
                raise Stuck(f"nobody consumes {self.queue}")
            time.sleep(LOOK_EVERY)

    def dead(self) -> int:
        """Messages that a worker of amqptasks or Dramatiq put aside: they were not run."""
        return sum(self._look(self.queue + suffix)[0] for suffix in DEAD)

    def delete(self, queues: Iterable[str]) -> None:
        for queue in queues:
            for suffix in ("", *DEAD):
                self._channel.queue_delete(queue + suffix)

    def _look(self, queue: str) -> tuple[int, int]:
        try:
            declared = self._channel.queue_declare(queue, passive=True).method
        except exceptions.ChannelClosedByBroker as error:
            if error.reply_code != 404:
                raise
            self._channel = self._connection.channel()
            return 0, 0
        return declared.message_count, declared.consumer_count
