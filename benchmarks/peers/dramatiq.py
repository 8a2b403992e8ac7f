"""Dramatiq: `send()`; `dramatiq --processes 1 --threads 8`."""

from __future__ import annotations

import time
from typing import Any

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from benchmarks import tasks
from benchmarks.peers import PAUSE, Client, Worker
from benchmarks.place import Place

_place = Place.here()


class TypedBroker(RabbitmqBroker):  # type: ignore[misc]  # dramatiq is absent where types are checked
    """Declares queues of the type that the conditions ask for."""

    def _build_queue_arguments(self, queue_name: str) -> dict[str, Any]:
        arguments: dict[str, Any] = super()._build_queue_arguments(queue_name)
        return {**arguments, **_place.queue_arguments}


def _broker(*, confirm: bool = False) -> TypedBroker:
    return TypedBroker(url=_place.url, confirm_delivery=confirm)


def _actor(broker: Any, function: Any) -> Any:
    return dramatiq.actor(function, actor_name=function.__name__, queue_name=_place.queue, broker=broker)


#: The worker's.
broker = _broker()
dramatiq.set_broker(broker)
for _name in ("noop", "burn", "nap", "stamp"):
    _actor(broker, tasks.FUNCTIONS[_name])


class Unconfirmed(Client):
    """`send()`, one after the other."""

    confirmed = False

    def __init__(self, place: Place) -> None:
        self._broker = _broker(confirm=self.confirmed)
        self._usual = _actor(self._broker, tasks.FUNCTIONS[place.conditions.task])
        self._stamp = _actor(self._broker, tasks.stamp)

    def run(self, count: int) -> None:
        for number in range(count):
            self._usual.send(*tasks.arguments(number))

    def close(self) -> None:
        self._broker.close()


class Confirmed(Unconfirmed):
    confirmed = True


class Stamp(Confirmed):
    """Confirmed calls with a pause between them; the task measures how long it took."""

    def run(self, count: int) -> None:
        for _ in range(count):
            self._stamp.send(time.monotonic_ns())
            time.sleep(PAUSE)


CLIENTS = {"unconfirmed": Unconfirmed, "confirmed": Confirmed, "stamp": Stamp}

WORKERS = {
    "threads": Worker(
        ("-m", "dramatiq", "benchmarks.peers.dramatiq", "--processes", "1", "--threads", "8", "--queues", "QUEUE"),
        "unconfirmed",
        {"dramatiq_queue_prefetch": "PREFETCH"},
    ),
    "by default": Worker(("-m", "dramatiq", "benchmarks.peers.dramatiq", "--queues", "QUEUE"), "unconfirmed"),
}
