"""A worker in this process whose tasks tell when they run, and what the broker says of it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amqptasks import App
from amqptasks.worker.node import Node
from tests.harness.management import Management
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for

#: Seconds in which a worker is back after any break: the longest pause between two attempts is five, and the broker
#: may need some for itself.
BACK_WITHIN = 30.0


class Place:
    """A worker on `url`, an app that publishes past any proxy, and the broker's own view."""

    def __init__(self, vhost: Vhost, url: str, topology: str | None, folder: Path) -> None:
        file = None
        if topology is not None:
            file = folder / "topology.yaml"
            file.write_text(f"version: 1\n{topology}")
        self.vhost = vhost
        self.management: Management = vhost.management
        self.app = App("recovery", url, topology=file, ignore_result=True)
        self.sender = App("sender", vhost.url, topology=file, ignore_result=True)
        self.ran: Counter[str] = Counter()
        self.begun: Counter[str] = Counter()
        self.barrier = threading.Event()
        self.node: Node
        self.app.task(name="note")(self._note)
        self.app.task(name="hold")(self._hold)
        self.app.task(name="slow_at_first", bind=True)(self._slow_at_first)
        self.app.task(name="fail")(self._fail)
        self.app.task(name="fail_once", bind=True, max_retries=1, default_retry_delay=0.5)(self._fail_once)

    def _note(self, word: str, seconds: float = 0) -> None:
        self.begun[word] += 1
        time.sleep(seconds)
        self.ran[word] += 1

    def _hold(self, word: str) -> None:
        self.begun[word] += 1
        assert self.barrier.wait(60)
        self.ran[word] += 1

    def _slow_at_first(self, task: Any, word: str, seconds: float) -> None:
        self.begun[word] += 1
        if not task.request.delivery_count:
            time.sleep(seconds)
        self.ran[word] += 1

    def _fail(self, word: str) -> None:
        self.begun[word] += 1
        raise ValueError(word)

    def _fail_once(self, task: Any, word: str) -> None:
        self.begun[word] += 1
        if not task.request.retries:
            task.retry()
        self.ran[word] += 1

    def send(self, task: str, *args: Any, queue: str = "default", **options: Any) -> None:
        self.sender.send_task(task, args, queue=queue, **options)

    def consumes(self, queue: str = "default") -> bool:
        """The broker says so."""
        return self.management.consumer_count(queue) == 1

    def sources(self, queue: str = "default") -> set[str]:
        """The exchanges that it is bound to."""
        return {binding["source"] for binding in self.management.bindings(queue)}

    def wait_lost(self, queue: str = "default") -> None:
        """Wait until the worker itself knows that it does not consume."""
        wait_for(lambda: not self.node.queues[queue].consuming, BACK_WITHIN, "the worker notices")

    def prove_consuming(self, queue: str = "default") -> None:
        """The broker has our consumer, and a task sent now runs; nothing is left unacked."""
        wait_for(
            lambda: self.consumes(queue) and self.node.ready,
            BACK_WITHIN,
            lambda: f"{self.management.consumer_count(queue)} consumers, ready: {self.node.ready}",
        )
        # A queue that the worker makes again is consumed as soon as it is there, and bound a moment later.
        wait_for(lambda: "amqptasks.queues" in self.sources(queue), BACK_WITHIN, f"{queue} is bound")
        word = f"proof-{sum(self.ran.values())}-{time.monotonic()}"
        self.send("note", word, queue=queue)
        wait_for(lambda: self.ran[word], BACK_WITHIN, f"a task runs on {queue}")
        self.prove_settled(queue)

    def prove_settled(self, queue: str = "default") -> None:
        """Nothing is ready, nothing unacked, nothing was dead-lettered."""

        def settled() -> bool:
            depth, dead = self.management.depth(queue), self.management.ready(f"{queue}.dead")
            assert depth is not None
            assert (depth.ready, depth.unacked, depth.total, max(dead, 0)) == (0, 0, 0, 0), f"{depth}, {dead} dead"
            return True

        wait_for(settled, BACK_WITHIN)


@contextmanager
def place(
    vhost: Vhost,
    folder: Path,
    url: str | None = None,
    topology: str | None = None,
    *,
    concurrency: int = 2,
    pool: str = "threads",
    queues: Any = None,
    patient: bool = False,
) -> Iterator[Place]:
    """`patient`: with a task that may run for an hour, so the worker tells a broker of 4.3 how long to wait."""
    made = Place(vhost, url or vhost.url, topology, folder)
    if patient:
        made.app.task(name="long", time_limit=3600)(made._note)
    try:
        with made.app.worker(queues, concurrency=concurrency, pool=pool, stop_timeout=20) as made.node:
            try:
                yield made
            finally:
                made.barrier.set()
    finally:
        made.sender.close()
