"""One queue that a worker consumes: its subscription, and why it is paused."""

from __future__ import annotations

from amqptasks.incoming import Delivery
from amqptasks.log_queue import get_logger
from amqptasks.topology.topology import QueueSettings
from amqptasks.transport import Subscription
from amqptasks.worker.job import Job

logger = get_logger(__name__)


class ConsumedQueue:
    """Link thread only. Paused while a message of it can go nowhere: taking more would only pile up."""

    def __init__(self, settings: QueueSettings, prefetch: int, *, follows: bool = False) -> None:
        """`follows`: nobody said how many messages to hold, so it may become as many as is usual."""
        self.settings = settings
        self.prefetch = prefetch
        # Not a queue with one active consumer: while it is not ours for a moment, it becomes another's.
        self._follows = follows and not settings.single_active_consumer
        self.subscription: Subscription | None = None
        self.held: set[Job] = set()
        self.recounting = 0  # messages that were sent round to be counted, and are not yet acked for certain
        self.paused = False
        self.cancelled = False
        self._blocking: set[Job] = set()
        self._blocked_by: str | None = None

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def consuming(self) -> bool:
        return self.subscription is not None and self.subscription.consuming

    @property
    def unsettled(self) -> int:
        """Messages that the broker has given and that are not settled, whatever became of them here."""
        return 0 if self.subscription is None else self.subscription.unsettled

    @property
    def blocked_by(self) -> str | None:
        """Why a message of it cannot be moved on now; None where none is held up."""
        return self._blocked_by if self._blocking else None

    @property
    def is_closed(self) -> bool:
        return self.subscription is None or self.subscription.is_closed

    def follow(self, usual: int) -> None:
        """Hold so many at most from now on, unless somebody said how many."""
        if self._follows and usual != self.prefetch:
            self.prefetch = usual
            if self.subscription is not None:
                self.subscription.resize(usual)

    def pause(self) -> None:
        """Take nothing more until `resume`; somebody asked for it."""
        self.paused = True
        if self.subscription is not None:
            self.subscription.pause()

    def resume(self) -> None:
        """Undo `pause`."""
        self.paused = False
        self._go_on()

    def cancel(self) -> None:
        """Consume no more; what is held is still to be settled."""
        self.cancelled = True
        if self.subscription is not None:
            self.subscription.close()

    def hold(self, delivery: Delivery) -> Job:
        """The job for a delivery of this queue; held until it is settled."""
        job = Job(delivery, self.settings)
        self.held.add(job)
        return job

    def _go_on(self) -> None:
        if not self._blocking and not self.paused and self.subscription is not None:
            self.subscription.resume()

    def recounted(self) -> None:
        """One of `recounting` is acked."""
        self.recounting -= 1

    def block(self, job: Job, error: BaseException) -> None:
        """`job` cannot be settled because of `error`; take nothing more until it is."""
        self._blocking.add(job)
        self._blocked_by = str(error)
        if len(self._blocking) == 1:
            logger.error(
                "queue %s is paused: a message cannot be moved on: %s",
                self.name,
                error,
                extra={"action": "queue_paused", "queue": self.name},
            )
            if self.subscription is not None:
                self.subscription.pause()

    def unblock(self, job: Job) -> None:
        """`job` could be settled after all."""
        self._blocking.discard(job)
        if not self._blocking:
            logger.info("queue %s goes on", self.name, extra={"action": "queue_resumed", "queue": self.name})
            self._go_on()

    def forget_lost(self) -> None:
        """What a dead channel delivered is not ours any more."""
        self.held = {job for job in self.held if job.ours}
        was_blocked = bool(self._blocking)
        self._blocking = {job for job in self._blocking if job.ours}
        if was_blocked:
            self._go_on()
