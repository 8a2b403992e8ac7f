"""A node: one process that consumes queues and runs their tasks.

link's thread     deliveries in, settlements out; everything of this file that does not say otherwise
pools' threads    the tasks
a helper thread   declaring what is missing on the broker, which may block
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from amqptasks import dial, message, signals
from amqptasks.errors import AmqptasksError, ConfigurationError
from amqptasks.transport import Delivery, Lease
from amqptasks.worker import process
from amqptasks.worker.awaiting import ONE_WAIT, awaited
from amqptasks.worker.control.service import ControlService
from amqptasks.worker.delivery import Steps
from amqptasks.worker.followers import Followers
from amqptasks.worker.job import Job
from amqptasks.worker.limits.throttle import Throttle
from amqptasks.worker.limits.time_limits import Limits, TimeLimits
from amqptasks.worker.limits.tokens import Tokens
from amqptasks.worker.news import is_wanted, telling
from amqptasks.worker.outcomes import Outcome
from amqptasks.worker.pools import Pool
from amqptasks.worker.pools.choice import ASYNC, Pools, kind_named
from amqptasks.worker.pools.prefork.settings import PreforkSettings
from amqptasks.worker.queues import ConsumedQueue
from amqptasks.worker.settle import Settler
from amqptasks.worker.stopping import Stages, StopPlan

if TYPE_CHECKING:
    from amqptasks.app import App
    from amqptasks.task import Task
    from amqptasks.transport import Watching
    from amqptasks.worker.events import WorkerEvents
    from amqptasks.worker.pools.solo import SoloPool

logger = logging.getLogger(__name__)

#: Prefetch for each task that can run at once: one to run and one that waits, so that no thread idles for a round
#: trip. More only takes work from other workers.
PREFETCH_FACTOR = 2

#: With little concurrency the round trip counts for more: at least so many.
LEAST_PREFETCH = 4

#: Async tasks that run at once unless a number is asked for: what the prefetch lets the worker hold.
UNLIMITED = 65535

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
    """A worker in this process. `queues` are names, names with their prefetch, or None for all of the topology.

    `concurrency` is how many plain functions run at once, `async_concurrency` how many `async def` tasks (default: as
    many as the worker holds). `pool` is where plain functions run, `pools` the same by queue; a task's `pool=` comes
    first; `prefork` is for the pool of processes. `limits` hold for tasks and calls that have none of their own.
    `events` says whether events are sent (None: as the app says).
    """

    def __init__(
        self,
        app: App,
        queues: Sequence[str] | Mapping[str, int | None] | None = None,
        *,
        concurrency: int = 4,
        async_concurrency: int | None = None,
        pool: str = "threads",
        pools: Mapping[str, str] | None = None,
        prefetch: int | None = None,
        limits: TimeLimits | None = None,
        prefork: PreforkSettings | None = None,
        stopping: StopPlan | None = None,
        name: str | None = None,
        events: bool | None = None,
    ) -> None:
        self.app = app
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        self.concurrency = concurrency
        self._settings = prefork or PreforkSettings()
        self._async_concurrency = async_concurrency or UNLIMITED
        if queues is not None:
            app.add_queues(queues)
        names = queues if queues is not None else app.topology.queue_names
        wanted: Mapping[str, int | None] = names if isinstance(names, Mapping) else dict.fromkeys(names)
        self._prefetch = prefetch or max(LEAST_PREFETCH, PREFETCH_FACTOR * concurrency)
        self.queues = {queue: self._consumed(queue, own) for queue, own in wanted.items()}
        self.link = app.new_link()
        self.steps = Steps(
            app.tasks,
            self.name,
            app.delayed,
            app.codec,
            lambda: app.capabilities,
            followers=Followers(app),
            began=self._on_begun,
        )
        by_queue = {queue: kind_named(kind) for queue, kind in (pools or {}).items()}
        self.pools = Pools(self._make_pool, app.tasks, kind_named(pool), by_queue)
        self.limits = Limits(self.link, self.pools, self.end, limits or TimeLimits())
        #: Asked for each delivery, in the link's thread: an outcome ends it there, None lets it run.
        self.refusals: list[Callable[[Delivery], Outcome | None]] = []
        self.throttle = Throttle(
            self.link, self.steps, Tokens(app, self.link), app.topology.longest_delay, self._begin, self._conclude
        )
        self._stages = Stages(self.link, self.pools, stopping or StopPlan(), self._stop_cold)
        self._settler = Settler(self.link, self._declare_soon)
        self.control = ControlService(self)
        self._finished: deque[Job] = deque()
        self._telling: set[Job] = set()  # settled jobs, whose hooks are still to run
        self._settling = False
        self._stopping = False
        self._stopped = threading.Event()
        self._declaring = threading.Lock()
        self._ready = threading.Event()
        self.started = False
        self.cold = False
        self.events: WorkerEvents | None = None
        if app.events if events is None else events:
            self.send_events()

    def _consumed(self, queue: str, prefetch: int | None) -> ConsumedQueue:
        return ConsumedQueue(self.app.topology.queue(queue), prefetch or self._prefetch)

    def _make_pool(self, kind: str) -> Pool:
        if kind == ASYNC:
            from amqptasks.worker.pools.asynchronous import AsyncPool

            return AsyncPool(self.steps, self._on_finished, self._async_concurrency)
        if kind == "solo":
            from amqptasks.worker.pools.solo import SoloPool

            return SoloPool(self.steps, self._on_finished)
        if kind == "prefork":
            return self._prefork()
        from amqptasks.worker.pools.threads import ThreadPool

        return ThreadPool(self.steps, self._on_finished, self.concurrency)

    def _prefork(self) -> Pool:
        if dial.is_memory(self.app.broker):
            raise ConfigurationError("memory:// lives within one process: a prefork pool needs a broker beside it")
        from amqptasks.worker.pools.prefork.child import Upbringing
        from amqptasks.worker.pools.prefork.pool import PreforkPool

        def upbringing() -> Upbringing:
            return Upbringing(self.name, self.app.capabilities, self._settings.max_memory is not None)

        link = cast("Watching", self.link)
        return PreforkPool(
            self.app,
            link,
            self._conclude,
            self._settler.ack_early,
            self._on_finished,
            upbringing,
            self.concurrency,
            self._settings,
        )

    def send_events(self) -> None:
        """Send events from now on. Link thread only, once that runs."""
        from amqptasks.worker.events import WorkerEvents

        if self.events is None:
            self.events = WorkerEvents(self)
            self._settler.ended = self.events.ended
            if self._ready.is_set():
                self.events.online()
        self.events.emitter.is_on = True

    @property
    def is_stopping(self) -> bool:
        return self._stopping

    @property
    def counts(self) -> Counter[str]:
        """How many deliveries ended how, by the name of the outcome."""
        return self._settler.counts

    @property
    def ready(self) -> bool:
        """True while the broker has confirmed our consumer on every queue, but for those that somebody paused."""
        wanted = [queue for queue in self.queues.values() if not (queue.cancelled or queue.paused)]
        return all(queue.consuming for queue in wanted)

    # From other threads

    def prepare(self) -> None:
        """Import the tasks, and begin the processes that are forked from this one: before it has another thread, as a
        copy of several threads may hang. `start` does it where nobody did."""
        if not self.pools.prepared:
            signals.worker_init.send(self)
            self.app.import_tasks()
            self.pools.prepare()

    def start(self) -> None:
        """Declare what is missing, connect and consume. Returns once every queue is consumed, or when it cannot be
        yet. Raises `BrokerUnreachable`, `AccessRefused`, `DeclarationConflict`."""
        self.prepare()
        self.app.declare(timeout=START_TIMEOUT)
        self.started = True
        self.link.start()
        self.app.use(self.link)
        process.begin(self.app)
        self.pools.start()
        self.control.start()
        self.link.call_soon(self._subscribe)
        ready = awaited(self._ready, START_TIMEOUT)
        self.control.wait()
        if ready and not self._stopping:
            signals.worker_ready.send(self)

    def stop(self) -> None:
        """Take nothing more, give back what has not begun, and lead what runs through the stages of the plan (see
        `StopPlan`). Returns at once; see `wait`."""
        signals.worker_shutting_down.send(self, how="warm")
        self.link.call_soon(self._stop_warm)

    def stop_now(self) -> None:
        """Cold: everything goes back to its queue, also what runs. Returns at once; see `wait`."""
        signals.worker_shutting_down.send(self, how="cold")
        self.link.call_soon(self._stop_cold)

    def leave(self) -> bool:
        """Wait until the worker has stopped, and after a cold stop say goodbye to the broker; True then. From any
        thread: a task of a `solo` pool may hold the one that waits."""
        self._stopped.wait()
        if self.cold:
            self.app.close(GOODBYE)
        return self.cold

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the worker has stopped; False when it has not within `timeout` seconds. Runs the tasks of a
        `solo` pool meanwhile. Call it from one thread only."""
        deadline = None if timeout is None else time.monotonic() + timeout
        solo = self.pools.named("solo")
        while not self._stopped.is_set():
            if deadline is not None and time.monotonic() >= deadline:
                return False
            if solo is not None and not self._stopping:
                cast("SoloPool", solo).work(0.1)
            else:
                self._stopped.wait(ONE_WAIT)  # see there why so short
        if not self.cold:
            remaining = GOODBYE if deadline is None else max(0.0, deadline - time.monotonic())
            self.pools.stop(remaining)
        process.end(self.app)
        signals.worker_shutdown.send(self)
        self.app.close(GOODBYE)
        return True

    def _on_finished(self, job: Job) -> None:
        """A pool's thread is done with a job: one wake-up of the link for as many as come in the meantime."""
        self._finished.append(job)
        if not self._settling:
            self._settling = True
            self.link.call_soon(self._settle_finished)

    def _on_begun(self, job: Job) -> None:
        """A pool's thread is about to run a task that is to be acknowledged before."""
        self.link.call_soon(lambda: self._settler.ack_early(job))

    # The link's thread

    def _subscribe(self) -> None:
        for queue in self.queues.values():
            queue.subscription = self.link.subscribe(queue.name, queue.prefetch, self)

    def deliveries(self, batch: list[Delivery]) -> None:
        queue = self.queues[batch[0].queue]
        if queue.recounting and not self._stopping:
            # It may be the counted copy of a message that kills us, and that we have not acked yet: run now, there
            # would be two of it.
            self.link.call_later(STOP_POLL, lambda: self.deliveries(batch))
            return
        held, settings, tasks = queue.held, queue.settings, self.app.tasks
        of, throttle = self.pools.of, self.throttle
        shares: dict[Pool, list[Job]] = {}
        for delivery in batch:
            job = Job(delivery, settings)
            held.add(job)
            if self._stopping or queue.cancelled:
                self._hand_back(job)
                continue
            if self.events is not None:
                self.events.received(job)
            if self.refusals and (refused := self._refused(delivery)) is not None:
                self._conclude(job, refused)
                continue
            task = tasks.get(message.task_name(delivery.properties) or "")
            if task is not None and (task.limits or throttle.rates) and not throttle.admits(job, task):
                continue
            self._watch(job, task)
            shares.setdefault(of(job), []).append(job)
        for pool, jobs in shares.items():
            pool.submit(jobs)

    def _watch(self, job: Job, task: Task[..., Any] | None) -> None:
        limited = self.limits.of(job, job.delivery.properties.headers, None if task is None else task.options)
        if limited is not None:
            self.limits.watch(job, limited)

    def _begin(self, job: Job) -> None:
        """Its limits let a job run that they held for a moment."""
        queue = self.queues[job.delivery.queue]
        if job not in queue.held:  # given back, or its channel is gone
            self.throttle.forget(job)
            return
        if self._stopping or queue.cancelled:
            self._hand_back(job)
        elif (refused := self._refused(job.delivery)) is not None:
            self._conclude(job, refused)
        else:
            self._watch(job, self.app.tasks.get(job.task_name))
            self.pools.of(job).submit([job])

    def _refused(self, delivery: Delivery) -> Outcome | None:
        for refuse in self.refusals:
            outcome = refuse(delivery)
            if outcome is not None:
                return outcome
        return None

    def lost(self, lease: Lease, reason: str) -> None:  # noqa: ARG002 - a listener's signature
        for queue in self.queues.values():
            queue.forget_lost()
        if not self._stopping:
            logger.warning("deliveries are lost, others will get them: %s", reason, extra={"action": "lease_lost"})

    def consuming(self, lease: Lease) -> None:  # noqa: ARG002 - a listener's signature
        if self.ready and not self._ready.is_set():
            self._ready.set()
            if self.events is not None:
                self.events.online()
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
            if job.settled:
                self._told(job)
                continue
            queue = self.queues[job.delivery.queue]
            queue.held.discard(job)
            self._forget(job)
            self._settler.settle(job, queue)

    def _forget(self, job: Job) -> None:
        """It does not run any more."""
        self.limits.forget(job)
        self.throttle.forget(job)

    def _hand_back(self, job: Job) -> None:
        self.queues[job.delivery.queue].held.discard(job)
        self.limits.forget(job)
        if not self.cold:  # then it may still run: its place goes back with the connection, once the process ends
            self.throttle.forget(job)
        self._settler.hand_back(job)

    def _conclude(self, job: Job, outcome: Outcome) -> None:
        """End a job that no pool has. Who wants to know of it is told in a pool, where the user's code may run."""
        if not job.settled:
            self.steps.conclude(job, outcome)
            if is_wanted(job):
                self._tell(job, outcome)
        self._on_finished(job)

    def _tell(self, job: Job, outcome: Outcome) -> None:
        about = telling(job.delivery, job.queue, outcome, job.started, job.runtime)
        self._telling.add(about)
        assert job.task is not None
        limits = self.limits.of(about, job.delivery.properties.headers, job.task.options)
        if limits is not None:
            self.limits.watch(about, TimeLimits(hard=limits.hard))
        self.pools.of(about).submit([about])

    def _told(self, job: Job) -> None:
        """Its hooks have run, or were ended; or it was handed back while it ran."""
        self._telling.discard(job)
        self._forget(job)

    # The link's thread: what control and limits ask for

    @property
    def held(self) -> list[Job]:
        """What this worker has from the broker and has not settled: what runs, and what is about to."""
        return [job for queue in self.queues.values() for job in queue.held]

    @property
    def current(self) -> list[Job]:
        """What runs now."""
        return [job for pool in self.pools for job in pool.current()]

    def end(self, job: Job, outcome: Outcome, *, force: bool) -> bool:
        """End `job` with this outcome. One that has begun is ended only with `force`; False when it has begun, or
        has ended, or cannot be ended by force."""
        pool = self.pools.of(job)
        if pool.withdraw(job):
            self._conclude(job, outcome)
            return True
        started = pool.started(job)
        if not force or not pool.kill(job):
            return False
        if job.settled:  # these were the hooks of one that was ended before
            self._told(job)
            return True
        job.settled = True
        # Whatever still runs may write to the old job: settle another for the same delivery.
        queue = self.queues[job.delivery.queue]
        queue.held.discard(job)
        self._forget(job)
        ended = Job(job.delivery, job.queue)
        ended.started, ended.runtime = started, time.monotonic() - started
        queue.held.add(ended)
        self._conclude(ended, outcome)
        return True

    def interrupt(self, job: Job, error: BaseException) -> bool:
        """Raise `error` in the code of a task that runs; False when it does not run."""
        return self.pools.of(job).interrupt(job, error)

    def resize(self, concurrency: int) -> None:
        """Run so many plain functions at once from now on, at least one. The prefetch stays as it is."""
        self.concurrency = max(1, concurrency)
        self.pools.default.resize(self.concurrency)

    def restart_pools(self) -> None:
        """Fresh processes for what comes from now on; what runs is finished in the old ones."""
        for pool in self.pools:
            pool.restart()

    def pause(self, queue: str) -> None:
        """Take nothing more from a queue until `resume`. Raises `KeyError` for one that is not consumed here."""
        self.queues[queue].pause()

    def resume(self, queue: str) -> None:
        """Undo `pause`."""
        self.queues[queue].resume()

    def consume(self, name: str, prefetch: int | None = None) -> None:
        """Consume one more queue. Raises `TopologyError` for a name that the topology does not have."""
        known = self.queues.get(name)
        if known is not None and not known.cancelled:
            return
        self.app.add_queues([name])
        queue = self._consumed(name, prefetch)
        if known is not None:
            queue.held = known.held  # what came before is still to be settled
        self.queues[name] = queue
        queue.subscription = self.link.subscribe(name, queue.prefetch, self)

    def cancel(self, name: str) -> None:
        """Consume a queue no more: what has not begun goes back to it, what runs is finished. Raises `KeyError`."""
        queue = self.queues[name]
        queue.cancel()
        for job in list(queue.held):
            if self.pools.of(job).withdraw(job):
                self._hand_back(job)

    def _stop_warm(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        self._ready.set()  # `start` need not wait any longer
        for queue in self.queues.values():
            if queue.subscription is not None:
                queue.subscription.close()
        for pool in self.pools:
            for job in pool.take_back():
                if job.settled:
                    pool.submit([job])
                else:
                    self._hand_back(job)
        self._settler.stop()
        logger.info("stopping: %d tasks are running", self.pools.running, extra={"action": "worker_stopping"})
        self._stages.begin()
        self._finish_when_settled()

    def _finish_when_settled(self) -> None:
        if self._stopped.is_set():
            return
        held = sum(len(queue.held) for queue in self.queues.values())
        if held or self._telling or self._finished or self._settler.pending:
            self.link.call_later(STOP_POLL, self._finish_when_settled)
        else:
            self._finish_when_closed(time.monotonic() + GOODBYE)

    def _finish_when_closed(self, deadline: float) -> None:
        """What is on its way until the broker has answered the cancels goes back too; a connection that is closed
        before that would make the broker count it as failed."""
        self.control.stop()
        if self.events is not None:
            self.events.offline()
        closed = all(queue.is_closed for queue in self.queues.values())
        if closed or time.monotonic() > deadline:
            self._stopped.set()
        else:
            self.link.call_later(STOP_POLL, lambda: self._finish_when_closed(deadline))

    def _stop_cold(self) -> None:
        if self._stopped.is_set() or self.cold:
            return
        self._stopping = self.cold = True
        self._ready.set()
        for queue in self.queues.values():
            if queue.subscription is not None:
                queue.subscription.close()  # first: what we give back must not come to us again
        for pool in self.pools:
            pool.abort()  # before anybody else begins what it ran
        for job in self.held:
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
