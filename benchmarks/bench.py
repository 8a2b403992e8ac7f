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
from benchmarks.place import USUAL, Conditions, Place
from benchmarks.subjects import Contestant

#: Messages a second below which a client is not slow, but stuck.
SLOWEST = 100.0


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
    def place(self, conditions: Conditions = USUAL) -> Iterator[tuple[Place, Gauge]]:
        """A queue of one run's own, and its gauge; all queues of the run are deleted at the end."""
        number = next(self._numbers)
        samples = self.folder / f"samples-{number}"
        place = Place(self.broker.url, f"benchmark-{number}", samples, self.broker.process, conditions)
        with Gauge(place.url, place.queue) as gauge:
            try:
                yield place, gauge
            finally:
                with Gauge(place.url, place.queue) as last:  # the other's channel may be what failed
                    last.delete(place.queues)

    def client(self, place: Place, peer: str, name: str, messages: int) -> dict[str, float]:
        """Run a client to its end; what `benchmarks.client` printed. Raises `Failed`."""
        arguments = ["-m", "benchmarks.client", peer, name, str(messages)]
        log = self.folder / f"{peer}.client-{next(self._numbers)}.log"
        timeout = max(processes.RUNS_WITHIN, messages / SLOWEST)
        answer: dict[str, float] = processes.answer(arguments, place.environment(), log, timeout)
        return answer

    @contextmanager
    def worker(self, place: Place, contestant: Contestant) -> Iterator[int]:
        """Run the contestant's worker while the block lasts; its process id."""
        worker = peers.find(contestant.peer).WORKERS[contestant.worker]
        command = [_filled_in(part, place) for part in worker.command]
        more = {name: _filled_in(value, place) for name, value in worker.environment.items()}
        log = self.folder / f"{contestant.peer}.worker-{next(self._numbers)}.log"
        with processes.running(command, {**place.environment(), **more}, log) as process:
            yield process


def _filled_in(text: str, place: Place) -> str:
    prefetch = str(place.conditions.prefetch)
    queues = ",".join(f"{queue}:{prefetch}" for queue in place.queues)
    return text.replace("QUEUES", queues).replace("QUEUE", place.queue).replace("PREFETCH", prefetch)


def say(text: str) -> None:
    """Progress, for whoever watches."""
    print(text, file=sys.stderr, flush=True)
