"""One run of the benchmarks: the broker, how much is measured, and the way to start what is measured."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from benchmarks import peers, processes
from benchmarks.broker import Broker
from benchmarks.gauge import Gauge
from benchmarks.place import Place
from benchmarks.subjects import Contestant


@dataclass(slots=True)
class Bench:
    """`scale` multiplies the number of messages; `folder` takes logs and samples."""

    broker: Broker
    folder: Path
    scale: float = 1.0
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def scaled(self, full: int) -> int:
        return max(50, int(full * self.scale))

    @contextmanager
    def place(self) -> Iterator[tuple[Place, Gauge]]:
        """A queue of one run's own, and its gauge; deleted at the end."""
        number = next(self._numbers)
        place = Place(self.broker.url, f"benchmark-{number}", self.folder / f"samples-{number}", self.broker.process)
        with Gauge(place.url, place.queue) as gauge:
            yield place, gauge
            gauge.delete()

    def client(self, place: Place, peer: str, name: str, messages: int) -> dict[str, float]:
        """Run a client to its end; what `benchmarks.client` printed. Raises `Failed`."""
        arguments = ["-m", "benchmarks.client", peer, name, str(messages)]
        answer: dict[str, float] = processes.answer(arguments, place.environment(), self.folder / f"{peer}.client.log")
        return answer

    @contextmanager
    def worker(self, place: Place, contestant: Contestant) -> Iterator[int]:
        """Run the contestant's worker while the block lasts; its process id."""
        worker = peers.find(contestant.peer).WORKERS[contestant.worker]
        command = [part.replace("QUEUE", place.queue) for part in worker.command]
        environment = {**place.environment(), **worker.environment}
        with processes.running(command, environment, self.folder / f"{contestant.peer}.worker.log") as process:
            yield process


def say(text: str) -> None:
    """Progress, for whoever watches."""
    print(text, file=sys.stderr, flush=True)
