"""Who is measured: one file a peer, with `CLIENTS` and `WORKERS` by name; `configurations.py` says how each is set up.

A client runs in a process of its own (`benchmarks.client`), a worker by the command that its users give.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast

from benchmarks.place import Place

#: Seconds between two calls whose latency is measured: longer than any peer takes for one, so that none waits in line.
PAUSE = 0.005

#: Callers at once, and calls in flight of one asyncio program or connection: for every peer alike.
THREADS, IN_FLIGHT = 16, 500

#: Every peer, in the order of the report, with the name it has there.
NAMES = {
    "ours": "amqptasks",
    "celery": "Celery",
    "dramatiq": "Dramatiq",
    "taskiq": "Taskiq",
    "pika": "pika",
    "aiopika": "aio-pika",
}


class Client:
    """Does its work `count` times in `run`. Made with the connection open and everything declared."""

    #: False: `run` returns before the broker has the messages, so measuring goes on until they are in the queue.
    confirmed = True

    #: Runs before the measuring, for connections, caches and lazy imports.
    warm_up = 200

    def run(self, count: int) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Worker:
    """`command` starts it (after the interpreter's name), in the surroundings that `Place` gives and `environment`
    adds. `preload` is the client that fills its queue. In `command` and `environment`, QUEUE stands for the queue and
    PREFETCH for the number of messages that the worker holds."""

    command: tuple[str, ...]
    preload: str
    environment: Mapping[str, str] = field(default_factory=dict)


class Peer(Protocol):
    CLIENTS: Mapping[str, Callable[[Place], Client]]
    WORKERS: Mapping[str, Worker]


def find(name: str) -> Peer:
    return cast("Peer", importlib.import_module(f"benchmarks.peers.{name}"))
