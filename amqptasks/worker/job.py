"""A job: the one value that moves through the steps of a delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amqptasks.request import Request
from amqptasks.retry import RetryPolicy
from amqptasks.task import Task
from amqptasks.topology.topology import QueueSettings
from amqptasks.transport import Delivery
from amqptasks.worker.outcomes import Outcome

if TYPE_CHECKING:
    from amqptasks.worker.settlement import Settlement

#: Header with our own count of earlier deliveries, for queues that count none.
DELIVERIES = "x-amqptasks-deliveries"


class Job:
    """One delivery on its way. `queue` is where it came from, `policy` how its task is retried there, `planned` what
    is to be written because of `outcome`; each step fills in its part. `started` and `runtime` are in seconds, the
    first on the monotonic clock and 0 for a task that never ran."""

    __slots__ = (
        "delivery",
        "outcome",
        "planned",
        "policy",
        "queue",
        "request",
        "runtime",
        "settled",
        "started",
        "task",
    )

    def __init__(self, delivery: Delivery, queue: QueueSettings) -> None:
        self.delivery = delivery
        self.queue = queue
        self.request: Request | None = None
        self.task: Task[..., Any] | None = None
        self.policy: RetryPolicy | None = None
        self.outcome: Outcome | None = None
        self.planned: Settlement | None = None
        self.started = 0.0
        self.runtime = 0.0
        self.settled = False
