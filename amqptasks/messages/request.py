"""A request: one call of a task, and for the task that runs, what is known about its delivery and its run."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from amqptasks.messages.delivery import Lease
from amqptasks.messages.ids import made_at
from amqptasks.messages.own_headers import FIRST_TIME
from amqptasks.messages.properties import Headers
from amqptasks.runtime.clock import monotonic


@dataclass
class Request:  # without slots: what has its default is not stored, and a worker makes many of them
    """One call of a task, as it travels.

    `time_limit` and `soft_time_limit` are in seconds, `eta` and `expires` in UTC. `ignore_result` None leaves it to
    the task. `headers` are all that this protocol does not name: ours (`x-amqptasks-*`), Celery's further ones, the
    user's. From `queue` on, the fields are facts of a delivery and of the run: `delivery_count` is how often it was
    delivered before, `hostname` the worker's name, `is_eager` true in `task.apply()`, `started` when the run began, on
    the monotonic clock, `instance` the task that runs it, `lease` the right to settle the delivery,
    `submitted` the calls that it made with `submit` and the broker has not confirmed, `loss_seen` whether somebody has
    read `lease_lost` as true, `children` the ids of the calls that it made, where its app has a result store.
    """

    task: str
    id: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    retries: int = 0
    root_id: str | None = None
    parent_id: str | None = None
    group: str | None = None
    eta: datetime | None = None
    expires: datetime | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    origin: str | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    shadow: str | None = None
    ignore_result: bool | None = None
    reply_to: str | None = None
    correlation_id: str | None = None
    priority: int | None = None
    callbacks: list[Any] | None = None
    errbacks: list[Any] | None = None
    chain: list[Any] | None = None
    chord: dict[str, Any] | None = None
    headers: Headers = field(default_factory=dict)
    queue: str | None = None
    exchange: str | None = None
    routing_key: str | None = None
    redelivered: bool = False
    delivery_count: int = 0
    hostname: str | None = None
    is_eager: bool = False
    started: float = 0.0
    instance: Any = field(default=None, compare=False, repr=False)
    lease: Lease | None = field(default=None, compare=False, repr=False)
    submitted: set[Any] | None = field(default=None, compare=False, repr=False)
    verified: bool = field(default=False, compare=False, repr=False)
    signature: object = field(default=None, compare=False, repr=False)
    loss_seen: bool = field(default=False, init=False, compare=False, repr=False)
    children: list[str] | None = field(default=None, init=False, compare=False, repr=False)

    def noted(self) -> dict[str, Any]:
        """The values by which a worker settles, when its task is about to run: it may change its own request, see
        `restored`."""
        values = self.__dict__.copy()
        for name in _SENT_ON:
            if name in values and (known := values[name]):
                values[name] = known.copy()
        return values

    def restored(self, noted: dict[str, Any]) -> Request:
        """This request with the values that were noted, and what became of the run since. Itself where a task changed
        nothing, as nearly all do."""
        now = self.__dict__
        try:
            if now == noted:  # each value is the same object, or is asked: on the thread that runs the task
                return self
        except Exception:  # of what a task has put there
            now = dict(now)
        copy = object.__new__(Request)
        copy.__dict__.update(noted)
        for name in _OF_RUN:
            if name in now:
                copy.__dict__[name] = now[name]
        return copy

    @property
    def called_directly(self) -> bool:
        """True where nothing was sent: the function was simply called."""
        return not self.id

    @property
    def lease_lost(self) -> bool:
        """True while the worker has lost the connection that this delivery came by, before it was acknowledged. The
        broker delivers the message again. If that is here, this run goes on with the new delivery and its outcome
        counts; so this is false again. A run that has read true is not given another chance: its outcome is dropped,
        and the message runs once more. Always false where nothing can be lost."""
        lease, task = self.lease, self.instance
        if lease is None or not lease.lost or (task is not None and not task.acks_late):
            return False
        self.loss_seen = True
        return True

    @property
    def attempt(self) -> int:
        """Counted from 1."""
        return self.retries + 1

    @property
    def timelimit(self) -> tuple[float | None, float | None]:
        """Celery's name for both limits, the hard one first."""
        return self.time_limit, self.soft_time_limit

    @property
    def delivery_info(self) -> dict[str, Any]:
        """As Celery has it."""
        return {
            "exchange": self.exchange,
            "routing_key": self.routing_key,
            "priority": self.priority,
            "redelivered": self.redelivered,
            "is_eager": self.is_eager,
        }

    @property
    def first_published(self) -> datetime | None:
        """When the call was made, to the millisecond: our ids tell. For another id, when its first attempt came to a
        worker, if this is a later one; else None."""
        moment: object = made_at(self.id)
        if moment is None:
            moment = self.headers.get(FIRST_TIME)
        return datetime.fromtimestamp(moment, UTC) if isinstance(moment, int | float) else None

    def remaining(self) -> float | None:
        """Seconds until the first of its limits, soft or hard, below 0 once that has passed; None without a limit."""
        limits = [limit for limit in (self.time_limit, self.soft_time_limit) if limit]
        if not limits or not self.started:
            return None
        return self.started + min(limits) - monotonic()


#: Fields that are sent on with what follows on a task, and can be changed in place.
_SENT_ON = ("callbacks", "errbacks", "chain", "headers")

#: Fields that change while a task runs, and not by it.
_OF_RUN = ("children", "lease", "loss_seen", "submitted")

#: The request that this thread, or this asyncio task, is running.
current_request: ContextVar[Request | None] = ContextVar("amqptasks_request", default=None)
