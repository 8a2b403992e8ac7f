"""A job: the one value that moves through the steps of a delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amqptasks.messages import protocol
from amqptasks.messages.delivery import Alike, Delivery
from amqptasks.messages.exception_info import ExceptionInfo, let_go_of_frames
from amqptasks.messages.request import Request
from amqptasks.options.retry import RetryPolicy
from amqptasks.tasks.outcomes import Outcome
from amqptasks.tasks.task import Task
from amqptasks.topology.topology import QueueSettings

if TYPE_CHECKING:
    from amqptasks.worker.job.settlement import Settlement
    from amqptasks.worker.pools.time_limits import TimeLimits


class Job:
    """One delivery on its way. `queue` is where it came from, `policy` how its task is retried there, `planned` what
    is to be written because of `outcome`; each step fills in its part. `started` and `runtime` are in seconds, the
    first on the monotonic clock and 0 for a task that never ran. `took` is how many seconds its pool was busy with it,
    also where its task never ran. `acked` says that it was acknowledged before it ran
    (`acks_late=False`), `settled` that nothing is to be written any more. `interruption` is what is raised in the
    task from outside, as long as it may come; `limits` are those that it is held to, None where it has none.
    `unbegun` counts the processes that died before they began it.
    `lapsed` says that its lease was lost while it ran, whether it has another by now or not.

    Once it is planned, settling needs `delivery`, `queue`, `planned`, `acked` and `settled` alone."""

    __slots__ = (
        "_info",
        "acked",
        "delivery",
        "interruption",
        "lapsed",
        "limits",
        "outcome",
        "planned",
        "policy",
        "queue",
        "raised",
        "request",
        "runtime",
        "settled",
        "started",
        "task",
        "took",
        "unbegun",
    )

    def __init__(self, delivery: Delivery, queue: QueueSettings) -> None:
        self.delivery = delivery
        self.queue = queue
        self.request: Request | None = None
        self.task: Task[..., Any] | None = None
        self.policy: RetryPolicy | None = None
        self.outcome: Outcome | None = None
        self.interruption: BaseException | None = None
        self.limits: TimeLimits | None = None
        self.planned: Settlement | None = None
        self.started = 0.0
        self.runtime = 0.0
        self.took = 0.0
        self.acked = False
        self.lapsed = False
        self.settled = False
        self._info: ExceptionInfo | None = None
        self.unbegun = 0
        self.raised: BaseException | None  # set by a task that raises: what it raised, until `let_go`

    @property
    def ours(self) -> bool:
        """True while it is for us to say what becomes of it: the channel lives, or it was acknowledged before."""
        return self.acked or self.delivery.lease.alive

    def info(self, cause: BaseException) -> ExceptionInfo:
        """What made it fail, described once for all who ask."""
        if self._info is None or self._info.exception is not cause:
            self._info = ExceptionInfo(cause)
        return self._info

    def let_go(self) -> None:
        """The job has ended and everybody was told: the local variables of its task go, where an exception has them."""
        for error in (getattr(self.outcome, "cause", None), getattr(self, "raised", None)):
            if isinstance(error, BaseException):
                let_go_of_frames(error)
        self.raised = None

    @property
    def task_name(self) -> str:
        """As the message says; "?" where it does not."""
        return (
            self.request.task if self.request is not None else protocol.task_name(self.delivery.shared_headers) or "?"
        )

    @property
    def task_id(self) -> str:
        """As `task_name`."""
        return self.request.id if self.request is not None else task_id_of(self.delivery)


def task_id_of(delivery: Delivery) -> str:
    """The id that the message carries; "?" where it carries none."""
    if type(delivery) is Alike:
        return delivery.identity
    found = delivery.shared_headers.get("id")
    return found if isinstance(found, str) else "?"
