"""A settler without a broker: what it publishes waits for the test's answer, and time is turned by hand."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

from amqptasks.messages.outgoing import Outgoing
from amqptasks.topology.topology import QueueSettings
from amqptasks.worker.consume.consumer import ConsumedQueue
from amqptasks.worker.job.job import Job
from amqptasks.worker.job.settlement import settlement
from amqptasks.worker.settle import Settler
from tests.unit.worker.jobs import WORKER, Lease, delivery, job


class FakeLink:
    """Keeps what is published until the test answers, and timers until it turns the clock."""

    blocked: str | None = None
    trouble: str | None = None

    def __init__(self) -> None:
        self.published: list[tuple[Outgoing, Callable[[BaseException | None], None]]] = []
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self.now = 0.0

    def publish(self, outgoing: Outgoing, done: Callable[[BaseException | None], None], timeout: float) -> None:
        self.published.append((outgoing, done))

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        heapq.heappush(self.timers, (self.now + delay, len(self.timers), callback))

    def answer(self, error: BaseException | None) -> Outgoing:
        outgoing, done = self.published.pop(0)
        done(error)
        return outgoing

    def wait(self, seconds: float) -> None:
        self.now += seconds
        while self.timers and self.timers[0][0] <= self.now:
            heapq.heappop(self.timers)[2]()


class FakeSubscription:
    queue = "emails"
    consuming = True
    is_closed = False

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")

    def close(self) -> None:
        self.calls.append("close")

    def resize(self, prefetch: int) -> None:
        self.calls.append(f"resize {prefetch}")


class Scene:
    def __init__(self) -> None:
        self.link = FakeLink()
        self.missing: list[str] = []
        self.settler = Settler(self.link, lambda: self.missing.append("missing"))  # type: ignore[arg-type]
        self.queue = ConsumedQueue(QueueSettings("emails"), 4)
        self.subscription = FakeSubscription()
        self.queue.subscription = self.subscription

    def settle(self, outcome: Any, **properties: Any) -> tuple[Job, Lease]:
        made = job(delivery("shop.work", **properties))
        made.outcome = outcome
        made.planned = settlement(made, outcome, WORKER)
        self.settler.settle(made, self.queue)
        lease = made.delivery.lease
        assert isinstance(lease, Lease)
        return made, lease
