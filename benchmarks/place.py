"""Where and under which conditions a measured process works: handed to it through its environment."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Conditions:
    """What differs from the usual run.

    `task` is what is called (a name in `tasks.FUNCTIONS`), with `body` more bytes in its arguments and `headers` more
    beside those that every message has. A worker holds `prefetch` messages of each queue, of `queue_type`. A feeder
    keeps `depth` messages waiting. `queues`: so many are consumed, and where `spread`, filled in turn; else the last
    alone. Delayed tasks are due from `delay` to twice as many seconds after their call.
    """

    task: str = "noop"
    body: int = 0
    headers: int = 0
    prefetch: int = 250
    queue_type: str = "quorum"
    depth: int = 0
    queues: int = 1
    spread: bool = False
    delay: float = 10.0

    def more_headers(self) -> dict[str, str]:
        """Short strings, as applications send them."""
        return {f"x-shop-{number:02}": f"value-{number:06}" for number in range(self.headers)}


#: As most runs are.
USUAL = Conditions()


@dataclass(frozen=True, slots=True)
class Place:
    """`url` leads to the run's virtual host, `queue` is the run's own. `samples` is the file that tasks write their
    measurements to, `broker` the process id of the broker's Erlang VM, where it runs on this machine."""

    url: str
    queue: str
    samples: Path
    broker: int | None
    conditions: Conditions = field(default=USUAL)

    @classmethod
    def here(cls) -> Place:
        """As the environment says; a process that only looks at a peer needs none, and gets a place that is nowhere."""
        broker = os.environ.get("BENCHMARK_BROKER")
        return cls(
            os.environ.get("BENCHMARK_URL", "amqp://nowhere.invalid/"),
            os.environ.get("BENCHMARK_QUEUE", "benchmark"),
            Path(os.environ.get("BENCHMARK_SAMPLES", os.devnull)),
            int(broker) if broker else None,
            Conditions(**json.loads(os.environ.get("BENCHMARK_CONDITIONS", "{}"))),
        )

    def environment(self) -> dict[str, str]:
        return {
            "AMQPTASKS_BROKER_URL": self.url,  # it beats an app's own address, and may be set to something else here
            "BENCHMARK_URL": self.url,
            "BENCHMARK_QUEUE": self.queue,
            "BENCHMARK_SAMPLES": str(self.samples),
            "BENCHMARK_BROKER": str(self.broker or ""),
            "BENCHMARK_CONDITIONS": json.dumps(asdict(self.conditions)),
        }

    @property
    def queues(self) -> list[str]:
        """All that a worker consumes, the run's own first."""
        return [self.queue, *(f"{self.queue}-{number}" for number in range(1, self.conditions.queues))]

    @property
    def filled(self) -> list[str]:
        """Those that messages are published to, in turn; of many, the last one, for it is consumed when all others
        are."""
        return self.queues if self.conditions.spread else self.queues[-1:]

    @property
    def queue_arguments(self) -> dict[str, str]:
        return {"x-queue-type": self.conditions.queue_type}
