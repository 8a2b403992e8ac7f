"""How fast a worker empties queues, from their ready messages, and what it costs meanwhile."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.clocks import cpu_time, cpu_times, tree
from benchmarks.gauge import LOOK_EVERY, PATIENCE, Gauge, Stuck

#: The part of the messages that is consumed before the measuring begins: imports, first calls, the prefetch.
WARM_UP = 0.1

#: Seconds that a stretch lasts at least: CPU time is counted in hundredths.
SHORTEST = 0.05

#: Queues above which looks are rarer, for each look at a queue costs the broker 0.2 ms.
FEW_QUEUES = 5


@dataclass(frozen=True, slots=True)
class Look:
    """Ready messages at a moment, and CPU seconds until then."""

    moment: float
    ready: int
    worker: float
    broker: float


@dataclass(frozen=True, slots=True)
class Stretch:
    """From one look to another, a worker in full swing at both: as many messages are unsettled at the one as at the
    other, so the ready ones tell how many were settled in between."""

    first: Look
    last: Look

    @property
    def done(self) -> int:
        return self.first.ready - self.last.ready

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.done / (self.last.moment - self.first.moment)

    @property
    def worker(self) -> float:
        """CPU µs a message."""
        return (self.last.worker - self.first.worker) / self.done * 1e6

    @property
    def broker(self) -> float:
        """CPU µs a message."""
        return (self.last.broker - self.first.broker) / self.done * 1e6


def watch(gauge: Gauge, queues: Sequence[str], count: int, workers: Sequence[int], broker: int | None) -> Stretch:
    """Look until the queues are empty. Raises `Stuck`, also where nothing changes for a minute."""
    processes: list[int] = []
    first = last = None
    least, deadline = count, time.monotonic() + PATIENCE
    while ready := gauge.ready(queues):
        if ready < count * (1 - WARM_UP):
            processes = processes or [process for worker in workers for process in tree(worker)]
            cpu = cpu_time(broker) if broker is not None else 0.0
            last = Look(time.monotonic(), ready, cpu_times(processes), cpu)
            first = first or last
        if ready < least:
            least, deadline = ready, time.monotonic() + PATIENCE
        if time.monotonic() > deadline:
            raise Stuck(f"{gauge.queue} still has {ready} of {count} messages, and has had them for {PATIENCE:g} s")
        time.sleep(LOOK_EVERY if len(queues) < FEW_QUEUES else 5 * LOOK_EVERY)
    if first is None or last is None or last.moment - first.moment < SHORTEST or first.ready == last.ready:
        raise Stuck(f"{gauge.queue} was empty before it could be watched: use more messages")
    return Stretch(first, last)
