"""A node: one process that consumes queues and runs their tasks.

link's thread     deliveries in, settlements out; everything of this file that does not say otherwise
pools' threads    the tasks
a helper thread   declaring what is missing on the broker, which may block
"""

from __future__ import annotations

import importlib
import logging
import os
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from amqptasks import message
from amqptasks.errors import AmqptasksError
from amqptasks.transport import Delivery, Lease
from amqptasks.worker import pools
from amqptasks.worker.delivery import Steps
from amqptasks.worker.job import Job
from amqptasks.worker.pools.asynchronous import AsyncPool
from amqptasks.worker.pools.solo import SoloPool
from amqptasks.worker.queues import ConsumedQueue
from amqptasks.worker.settle import Settler

if TYPE_CHECKING:
    from amqptasks.app import App

logger = logging.getLogger(__name__)

#: Prefetch for each task that can run at once: one to run and one that waits, so that no thread idles for a round
#: trip. More only takes work from other workers.
PREFETCH_FACTOR = 2

#: With little concurrency the round trip counts for more: at least so many.
LEAST_PREFETCH = 4

#: Seconds to reach the broker when the worker starts: a broker that starts beside it needs some.
START_TIMEOUT = 60.0

#: Seconds between two looks at what still runs, while stopping.
STOP_POLL = 0.02

#: Seconds between two tries to declare what is missing.
DECLARE_PAUSE = 2.0

#: Seconds to write what is buffered and to say goodbye to the broker.
GOODBYE = 5.0

#: Seconds that a cold stop waits for the broker's answer.
COLD_GOODBYE = 0.5


class Node:
    """A worker in this process. `queues` are names, names with their prefetch, or None for all of the topology."""

    def __init__(
        self,
        app: App,
        queues: Sequence[str] | Mapping[str, int | None] | None = None,
        *,
        concurrency: int = 4,
        pool: str = "threads",
        prefetch: int | None = None,
        name: str | None = None,
    ) -> None:
        self.app = app
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        self.concurrency = concurrency
        if queues is not None:
            app.add_queues(queues)
        names = queues if queues is not None else app.topology.queue_names
        wanted: Mapping[str, int | None] = names if isinstance(names, Mapping) else dict.fromkeys(names)
        default = prefetch or max(LEAST_PREFETCH, PREFETCH_FACTOR * concurrency)
        self.queues = {queue: ConsumedQueue(app.topology.queue(queue), own or default) for queue, own in wanted.items()}
        self.link = app.new_link()
        self._settler = Settler(self.link, self._declare_soon)
        steps = Steps(app.tasks, self.name, app.delayed, app.codec)
        self._pool = pools.make(pool, steps, self._on_finished, concurrency)
        self._async_pool = AsyncPool(steps, self._on_finished)
        self._finished: deque[Job] = deque()
        self._settling = False
        self._stopping = False
        self._stopped = threading.Event()
        self._declaring = threading.Lock()
        self._ready = threading.Event()
        self.started = False
        self.cold = False

    @property
    def counts(self) -> Counter[str]:
        """How many deliveries ended how, by the name of the outcome."""
        return self._settler.counts

    @property
    def ready(self) -> bool:
        """True while the broker has confirmed our consumer on every queue."""
        return all(queue.consuming for queue in self.queues.values())

    # From other threads

    def start(self) -> None:
        """Declare what is missing, connect and consume. Returns once every queue is consumed, or when it cannot be
        yet. Raises `BrokerUnreachable`, `AccessRefused`, `DeclarationConflict`."""
        for module in self.app.include:
            importlib.import_module(module)
        self.app.declare(timeout=START_TIMEOUT)
        self.started = True
        self.link.start()
        self.app.use(self.link)
        self._pool.start()
        self._async_pool.start()
        self.link.call_soon(self._subscribe)
        self._ready.wait(START_TIMEOUT)

    def stop(self) -> None:
        """Warm: take nothing more, give back what has not begun, settle what runs. Returns at once; see `wait`."""
        self.link.call_soon(self._stop_warm)

    def stop_now(self) -> None:
        """Cold: everything goes back to its queue, also what runs. Returns at once; see `wait`."""
        self.link.call_soon(self._stop_cold)

    def leave(self) -> None:
        """Wait until the worker has stopped, and say goodbye to the broker; from any thread. For the cold stop of a
        worker whose waiting thread a task holds."""
        self._stopped.wait()
        self.app.close(GOODBYE)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the worker has stopped; False when it has not within `timeout` seconds. Runs the tasks of a
        `solo` pool meanwhile. Call it from one thread only."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._stopped.is_set():
            if deadline is not None and time.monotonic() >= deadline:
                return False
            # Short waits: a signal's handler runs only between them.
            if isinstance(self._pool, SoloPool) and not self._stopping:
                self._pool.work(0.1)
            else:
                self._stopped.wait(0.2)
        if not self.cold:
            remaining = GOODBYE if deadline is None else max(0.0, deadline - time.monotonic())
            self._pool.stop(remaining)
            self._async_pool.stop(remaining)
        self.app.close(GOODBYE)
        return True

    def _on_finished(self, job: Job) -> None:
        """A pool's thread is done with a job: one wake-up of the link for as many as come in the meantime."""
        self._finished.append(job)
        if not self._settling:
            self._settling = True
            self.link.call_soon(self._settle_finished)

    # The link's thread

    def _subscribe(self) -> None:
        for queue in self.queues.values():
            queue.subscription = self.link.subscribe(queue.name, queue.prefetch, self)

    def deliveries(self, batch: list[Delivery]) -> None:
        plain: list[Job] = []
        asynchronous: list[Job] = []
        queue = self.queues[batch[0].queue]
        if queue.recounting and not self._stopping:
            # It may be the counted copy of a message that kills us, and that we have not acked yet: run now, there
            # would be two of it.
            self.link.call_later(STOP_POLL, lambda: self.deliveries(batch))
            return
        held, settings, tasks = queue.held, queue.settings, self.app.tasks
        for delivery in batch:
            job = Job(delivery, settings)
            held.add(job)
            task = tasks.get(message.task_name(delivery.properties) or "")
            (asynchronous if task is not None and task.is_async else plain).append(job)
        if self._stopping:
            for job in (*plain, *asynchronous):
                self._hand_back(job)
            return
        if plain:
            self._pool.submit(plain)
        if asynchronous:
            self._async_pool.submit(asynchronous)

    def lost(self, lease: Lease, reason: str) -> None:  # noqa: ARG002 - a listener's signature
        for queue in self.queues.values():
            queue.forget_lost()
        if not self._stopping:
            logger.warning("deliveries are lost, others will get them: %s", reason, extra={"action": "lease_lost"})

    def consuming(self, lease: Lease) -> None:  # noqa: ARG002 - a listener's signature
        if self.ready and not self._ready.is_set():
            self._ready.set()
            listed = ", ".join(f"{queue.name} (prefetch {queue.prefetch})" for queue in self.queues.values())
            logger.info("worker %s is ready: %s", self.name, listed, extra={"action": "worker_ready"})
        elif self.ready:
            logger.info("worker %s consumes again", self.name, extra={"action": "consuming_again"})

    def unavailable(self, queue: str, reason: str) -> None:
        logger.warning(
            "queue %s cannot be consumed now: %s", queue, reason, extra={"action": "queue_unavailable", "queue": queue}
        )
        self._declare_soon()

    def _declare_soon(self) -> None:
        """Something that we need is not on the broker."""
        if not self._stopping and self._declaring.acquire(blocking=False):
            threading.Thread(target=self._declare_again, name="amqptasks-declare", daemon=True).start()

    def _settle_finished(self) -> None:
        self._settling = False
        finished = self._finished
        for _ in range(len(finished)):
            job = finished.popleft()
            queue = self.queues[job.delivery.queue]
            queue.held.discard(job)
            self._settler.settle(job, queue)

    def _hand_back(self, job: Job) -> None:
        self.queues[job.delivery.queue].held.discard(job)
        self._settler.hand_back(job)

    def _stop_warm(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        self._ready.set()  # `start` need not wait any longer
        for queue in self.queues.values():
            if queue.subscription is not None:
                queue.subscription.close()
        for job in (*self._pool.take_back(), *self._async_pool.take_back()):
            self._hand_back(job)
        self._settler.stop()
        running = self._pool.running + self._async_pool.running
        logger.info("stopping: %d tasks are running", running, extra={"action": "worker_stopping"})
        self._finish_when_settled()

    def _finish_when_settled(self) -> None:
        if self._stopped.is_set():
            return
        held = sum(len(queue.held) for queue in self.queues.values())
        if held or self._finished or self._settler.pending:
            self.link.call_later(STOP_POLL, self._finish_when_settled)
        else:
            self._finish_when_closed(time.monotonic() + GOODBYE)

    def _finish_when_closed(self, deadline: float) -> None:
        """What is on its way until the broker has answered the cancels goes back too; a connection that is closed
        before that would make the broker count it as failed."""
        closed = all(queue.is_closed for queue in self.queues.values())
        if closed or time.monotonic() > deadline:
            self._stopped.set()
        else:
            self.link.call_later(STOP_POLL, lambda: self._finish_when_closed(deadline))

    def _stop_cold(self) -> None:
        self._stopping = self.cold = True
        self._ready.set()
        for queue in self.queues.values():
            if queue.subscription is not None:
                queue.subscription.close()  # first: what we give back must not come to us again
            for job in list(queue.held):
                self._hand_back(job)
        self._finish_when_closed(time.monotonic() + COLD_GOODBYE)

    # The helper thread

    def _declare_again(self) -> None:
        """A queue is gone: make it again, so that the subscription, which tries by itself, finds it."""
        try:
            time.sleep(DECLARE_PAUSE)  # it may be about to be made anew by whoever deleted it
            self.app.declare()
        except AmqptasksError as error:
            logger.error("declaring again failed: %s", error, extra={"action": "declare_failed"})  # noqa: TRY400
        finally:
            self._declaring.release()
