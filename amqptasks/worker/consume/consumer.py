"""One queue that a worker consumes: its subscription, and why it is paused."""

from __future__ import annotations

from amqptasks.messages.delivery import Delivery
from amqptasks.runtime.log_queue import get_logger
from amqptasks.topology.topology import QueueSettings
from amqptasks.transport import Subscription
from amqptasks.worker.consume.prefetch import Prefetch
from amqptasks.worker.job.job import Job

logger = get_logger(__name__)

#: Messages of a queue, and bytes of their bodies, that wait in the worker for room in a full delay queue. Then it
#: is paused: what waits here is in memory, and is run again by others if this worker dies.
MOST_WAITING = 1000
MOST_WAITING_BYTES = 64 << 20


class ConsumedQueue:
    """Link thread only. Paused while a message of it can go nowhere: taking more would only pile up."""

    def __init__(self, settings: QueueSettings, prefetch: int, follows: Prefetch | None = None) -> None:
        """`follows`: nobody said how many messages to hold, so it says how many."""
        self.settings = settings
        self.prefetch = prefetch
        # Not a queue with one active consumer: while it is not ours for a moment, it becomes another's.
        self.follows = None if settings.single_active_consumer else follows
        self.subscription: Subscription | None = None
        self.held: set[Job] = set()
        self.recounting = 0  # messages that were sent round to be counted, and are not yet acked for certain
        self.paused = False
        self.cancelled = False
        self.is_aside = False
        self.is_probing = False
        self._blocking: set[Job] = set()
        self._blocked_by: str | None = None
        self._waiting: set[Job] = set()  # for room in a full delay queue
        self._waiting_bytes = 0
        self._room = 0  # added to the prefetch, so that what waits takes nobody's place

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

    def resize(self, prefetch: int) -> None:
        """Hold so many at most from now on."""
        if prefetch != self.prefetch:
            self.prefetch = prefetch
            self._resize()

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

    def stand_aside(self) -> None:
        """Take nothing while a message runs alone in this process."""
        self.is_aside = True
        if self.subscription is not None:
            self.subscription.pause()

    @property
    def is_quiet(self) -> bool:
        """True once no message can come any more, after `stand_aside`."""
        return self.subscription is None or self.subscription.is_quiet

    def come_back(self) -> None:
        """Undo `stand_aside`: take one message, and others once that one was seen (see `take_more`)."""
        self.is_aside, self.is_probing = False, True
        self._resize()
        self._go_on()

    def take_more(self) -> None:
        """Take as many messages as before `stand_aside`."""
        self.is_probing = False
        self._resize()

    def _go_on(self) -> None:
        if not self._blocking and not self.paused and not self.is_aside and self.subscription is not None:
            self.subscription.resume()

    def recounted(self) -> None:
        """One of `recounting` is acked."""
        self.recounting -= 1

    @property
    def waiting(self) -> int:
        """Messages that wait here for room in a full delay queue."""
        return len(self._waiting)

    def wait_for_room(self, job: Job, error: BaseException) -> bool:
        """`job` is to wait in a delay queue, which refuses it with `error`: hold it meanwhile, and go on. False where
        too many are held already."""
        if job in self._waiting:
            return True
        size = len(job.delivery.body)
        most = self.prefetch // 2 if self.settings.single_active_consumer else MOST_WAITING
        if len(self._waiting) >= most or self._waiting_bytes + size > MOST_WAITING_BYTES:
            return False
        if not self._waiting:
            logger.error(
                "queue %s: tasks that are to run later wait in this worker, because a delay queue does not take them:"
                " %s",
                self.name,
                error,
                extra={"action": "delays_refused", "queue": self.name},
            )
        self._waiting.add(job)
        self._waiting_bytes += size
        self._make_room()
        return True

    def has_room(self, job: Job) -> None:
        """`job` waits no more."""
        if job in self._waiting:
            self._waiting.remove(job)
            self._waiting_bytes -= len(job.delivery.body)
            if not self._waiting:
                logger.info(
                    "queue %s: no task waits for a delay queue any more",
                    self.name,
                    extra={"action": "delays_taken", "queue": self.name},
                )
                self._make_room()

    def _make_room(self) -> None:
        """In steps, because another prefetch takes another consumer."""
        if self.settings.single_active_consumer:  # it would become another's meanwhile
            return
        wanted = self._room
        if not self._waiting:
            wanted = 0
        elif 2 * len(self._waiting) > self._room:
            wanted = max(2 * self._room, 2 * self.prefetch)
        if wanted != self._room:
            self._room = wanted
            self._resize()

    def _resize(self) -> None:
        if self.subscription is not None and not self.is_aside:
            self.subscription.resize((1 if self.is_probing else self.prefetch) + self._room)

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
        for job in [job for job in self._waiting if not job.ours]:
            self.has_room(job)
        was_blocked = bool(self._blocking)
        self._blocking = {job for job in self._blocking if job.ours}
        if was_blocked:
            self._go_on()
