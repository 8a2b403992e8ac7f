"""Decisions about jobs for which their messages must be read: on threads of its own, never on the link's.

Reading a message may run code of a user (the `loads` of a serializer), and costs what its sender decides: some bytes
become a hundred megabytes. So does making the calls that follow on a job. Here, such a message holds up only others
that are to be decided, and these only for a moment: a thread that takes long gets another one beside it. And each
queue has its turn.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.transport import Link
from amqptasks.transport.guard import described
from amqptasks.worker.job.job import Job
from amqptasks.worker.job.turns import Turns

logger = get_logger(__name__)

#: Seconds for one decision that waits for something, after which another thread begins with those behind it. One thread
#: keeps their order.
LONG = 0.5

#: Seconds for one that computes. Several at once would only keep the link's thread from the interpreter: reading a
#: hundred megabytes lets no other thread run for half a second.
LONG_COMPUTING = 5.0

#: Seconds after which all that is being read is taken for what never ends. The largest message takes some seconds to
#: read.
STUCK = 60.0

#: Threads at most: so many messages that never end can be held up before the others are, too.
MOST_THREADS = 16

#: Seconds that an idle thread waits for more.
IDLE = 30.0


class Decision:
    """`decide` runs on one of the threads, then `then(error)` on the link's; `error` is what `decide` raised."""

    __slots__ = ("before_run", "began", "computed", "decide", "error", "job", "taken_back", "then")

    def __init__(
        self, job: Job, decide: Callable[[], None], then: Callable[[BaseException | None], None], before_run: bool
    ) -> None:
        self.job = job
        self.before_run = before_run
        self.decide = decide
        self.then = then
        self.began = 0.0
        self.computed = 0.0  # seconds of CPU that its thread had used before
        self.error: BaseException | None = None
        self.taken_back = False


class Decisions:
    """Of one worker. Link thread only, but for what it says. `failed` hears of a job whose `then` raised."""

    def __init__(self, link: Link, failed: Callable[[Job, BaseException], None]) -> None:
        self._link = link
        self._failed = failed
        self._waiting: Turns[Decision] = Turns()
        self._arrived = threading.Semaphore(0)
        self._running: dict[int, Decision] = {}  # by thread
        self._threads: set[threading.Thread] = set()
        self._done: deque[Decision] = deque()
        self._telling = self._looking = False

    @property
    def pending(self) -> bool:
        """True while something is to be decided, or was and is not told yet."""
        return bool(self._waiting or self._running or self._done)

    @property
    def reading(self) -> tuple[int, float] | None:
        """How many are to be decided, and since when the latest of them is being read, on the monotonic clock. None
        where none is, and where that has been for so long that none will end. Any thread."""
        running = list(self._running.values())
        latest = max((decision.began for decision in running), default=0.0)
        if not running or monotonic() - latest > STUCK:
            return None
        return len(self._waiting) + len(running), latest

    def ask(
        self,
        job: Job,
        decide: Callable[[], None],
        then: Callable[[BaseException | None], None],
        *,
        before_run: bool = False,
    ) -> None:
        """Decide about `job`; after those of its queue that were asked before. `before_run` says that it has not begun,
        and can be taken back."""
        self._waiting.add([(job.delivery.queue, Decision(job, decide, then, before_run))])
        self._arrived.release()
        if not self._threads:
            self._begin()
        if not self._looking:
            self._looking = True
            self._link.call_later(LONG, self._look)

    def take_back(self) -> list[Job]:
        """The jobs that have not begun, also those whose decision takes long; nobody is told of these any more."""
        asked = [*self._waiting.items(), *list(self._running.values()), *list(self._done)]
        taken = [decision for decision in asked if decision.before_run and not decision.taken_back]
        for decision in taken:
            decision.taken_back = True
        return [decision.job for decision in taken]

    def _begin(self) -> None:
        thread = threading.Thread(target=self._work, name="amqptasks-decide", daemon=True)
        self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError as error:  # no thread can be had: tried again with the next look
            self._threads.discard(thread)
            logger.error("no thread for decisions: %s", error, extra={"action": "decisions_wait"})  # noqa: TRY400

    def _look(self) -> None:
        self._looking = bool(self._waiting or self._running)
        if not self._looking:
            return
        self._link.call_later(LONG, self._look)
        busy = [thread for thread, decision in list(self._running.items()) if _takes_long(thread, decision)]
        if self._waiting and len(busy) >= len(self._threads) < MOST_THREADS:
            self._begin()

    def _tell(self) -> None:
        self._telling = False
        for _ in range(len(self._done)):
            decision = self._done.popleft()
            if decision.taken_back:
                continue
            try:
                decision.then(decision.error)
            except Exception as error:
                self._failed(decision.job, error)

    # The threads

    def _work(self) -> None:
        me = threading.get_ident()
        while self._arrived.acquire(timeout=IDLE) or self._waiting:
            try:
                _, decision = self._waiting.take()
            except IndexError:
                continue
            if decision.taken_back:
                continue
            decision.computed = time.thread_time()
            decision.began = monotonic()
            self._running[me] = decision
            try:
                decision.decide()
            except BaseException as error:
                logger.error("task %s could not be decided about:\n%s", decision.job.task_id, described(error))  # noqa: TRY400
                decision.error = error
            self._done.append(decision)
            del self._running[me]
            if not self._telling:
                self._telling = True
                self._link.call_soon(self._tell)
        self._threads.discard(threading.current_thread())


def _takes_long(thread: int, decision: Decision) -> bool:
    took = monotonic() - decision.began
    try:
        computed = time.clock_gettime(time.pthread_getcpuclockid(thread)) - decision.computed
    except OSError:  # the thread has just ended
        return False
    return took > LONG_COMPUTING or (took > LONG and computed < took / 2)
