"""Where a measured process works: handed to it through its environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    """`url` leads to the run's virtual host, `queue` is the run's own. `samples` is the file that tasks write their
    measurements to, `broker` the process id of the broker's Erlang VM, where it runs on this machine."""

    url: str
    queue: str
    samples: Path
    broker: int | None

    @classmethod
    def here(cls) -> Place:
        """As the environment says; a process that only looks at a peer needs none, and gets a place that is nowhere."""
        broker = os.environ.get("BENCHMARK_BROKER")
        return cls(
            os.environ.get("BENCHMARK_URL", "amqp://nowhere.invalid/"),
            os.environ.get("BENCHMARK_QUEUE", "benchmark"),
            Path(os.environ.get("BENCHMARK_SAMPLES", os.devnull)),
            int(broker) if broker else None,
        )

    def environment(self) -> dict[str, str]:
        return {
            "AMQPTASKS_BROKER_URL": self.url,  # it beats an app's own address, and may be set to something else here
            "BENCHMARK_URL": self.url,
            "BENCHMARK_QUEUE": self.queue,
            "BENCHMARK_SAMPLES": str(self.samples),
            "BENCHMARK_BROKER": str(self.broker or ""),
        }
