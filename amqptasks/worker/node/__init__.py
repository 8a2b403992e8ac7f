"""A node: one process that consumes queues and runs their tasks.

link's thread     deliveries in (`dispatcher`), settlements out (`completions`); what in this file does
                  not name another thread
pools' threads    the tasks
a helper thread   declaring what is missing on the broker, which may block
"""

from __future__ import annotations

import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from amqptasks import signals
from amqptasks.canvas.continuations import Followers
from amqptasks.runtime import log_queue
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.worker import process
from amqptasks.worker.connection.reaching import Reaching
from amqptasks.worker.connection.trouble_log import TroubleLog
from amqptasks.worker.consume.consumer_timeout import ConsumerTimeout
from amqptasks.worker.consume.consumers import Consumers
from amqptasks.worker.consume.dispatcher import Dispatcher
from amqptasks.worker.consume.waits import ALARM, Waits, of_parts
from amqptasks.worker.control.service import ControlService
from amqptasks.worker.execute.decisions import Decisions
from amqptasks.worker.execute.executor import Executor
from amqptasks.worker.execute.lost_runs import LostRuns
from amqptasks.worker.execute.waiting_calls import WaitingCalls
from amqptasks.worker.job.job import Job
from amqptasks.worker.job.recorder import recorder_of
from amqptasks.worker.node import banner
from amqptasks.worker.node.shutdown import GOODBYE, START_GOODBYE, Shutdown
from amqptasks.worker.node.shutdown_stages import StopPlan
from amqptasks.worker.node.standstill import Standstill
from amqptasks.worker.pools.choice import Pools, kind_named
from amqptasks.worker.pools.making import Making
from amqptasks.worker.pools.prefork.settings import PreforkSettings
from amqptasks.worker.pools.time_limits import Limits, TimeLimits
from amqptasks.worker.process.awaiting import ONE_WAIT, awaited
from amqptasks.worker.settle import Settler
from amqptasks.worker.settle.completions import Completions
from amqptasks.worker.settle.storing import Storing
from amqptasks.worker.upkeep.upkeep import Upkeep

if TYPE_CHECKING:
    from amqptasks.app.app import App
    from amqptasks.worker.node.events import WorkerEvents
    from amqptasks.worker.pools.prefork.pool import PreforkPool
    from amqptasks.worker.pools.solo import SoloPool

logger = get_logger(__name__)

#: Seconds to reach the broker when a worker starts within a program: a broker that starts beside it needs some. The
#: command waits without end, where nobody says otherwise. Also for the first consumers, once the broker is there.
START_TIMEOUT = 60.0


class Node:
    """A worker in this process. `queues` are names, names with their prefetch, or None: the `work_queues` of its app.

    `concurrency` is how many plain functions run at once, `async_concurrency` how many `async def` tasks (default: as
    many as the worker holds). `pool` is where plain functions run, `pools` the same by queue; a task's `pool=` comes
    first; `prefork` is for the pool of processes. `limits` hold for tasks and calls that have none of their own.
    `events` says whether events are sent (None: as the app says). `connect_for` is how many seconds `start` waits for
    the broker; None: without end. `control`
    says whether it obeys commands.
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
        connect_for: float | None = START_TIMEOUT,
        control: bool = True,
    ) -> None:
        self.app = app
        self._connect_for = connect_for
        self._trouble_log = TroubleLog()
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        self.concurrency = concurrency
        if queues is not None:
            app.add_queues(queues)
        names = queues if queues is not None else app.topology.work_queues
        wanted: Mapping[str, int | None] = names if isinstance(names, Mapping) else dict.fromkeys(names)
        at_once = (prefork.most if prefork is not None else None) or concurrency
        consumer_timeout = ConsumerTimeout(app, limits.hard if limits is not None else None, concurrency)
        self.consumers = Consumers(self, wanted, prefetch, at_once, consumer_timeout)
        self.queues = self.consumers.queues
        self.link = app.caller.new_link()
        self.waiting_calls = WaitingCalls(app)
        self._settler = Settler(self.link, self.declare_soon, self.name, app.codec)
        self._settler.recorder = recorder_of(app, self.name)
        self.completions = Completions(self, self._settler)
        self.decisions = Decisions(self.link, self.completions.reject)
        self.steps = Executor(
            app.tasks,
            self.name,
            app.caller.delayed,
            app.codec,
            lambda: app.capabilities,
            followers=Followers(app),
            began=self.completions.begun,
            waiting_calls=self.waiting_calls,
            recorder=self._settler.recorder,
            middleware=app.middleware,
        )
        self.lost_runs = LostRuns(self.link, self.completions.drop)
        making = Making(self, self.completions.ack_early, async_concurrency, prefork)
        by_queue = {queue: kind_named(kind) for queue, kind in (pools or {}).items()}
        self.pools = Pools(making.pool, app.tasks, kind_named(pool), by_queue)
        self.limits = Limits(self.link, self.pools, self.completions.end, limits or TimeLimits())
        self.dispatcher = Dispatcher(self)
        self.upkeep = Upkeep(self)
        self._shutdown = Shutdown(self, self._settler, stopping or StopPlan())
        self._begun = threading.Event()  # all queues are consumed, or nobody need wait for that
        self.started = False
        self._logs_beside = False
        #: Why it waits; see there.
        self.waits = Waits()
        self.waits.ask(lambda: of_parts(self))
        if app.results is not None:
            self._settler.storing = Storing(self.link, app.results, self.waits)
        self._standstill = Standstill(self, self.fail)
        #: Why it could go no further; None while it can.
        self.failure: str | None = None
        #: Hears of `failure`, from any thread. In a process of its own, a worker ends it.
        self.on_failure: Callable[[str], None] | None = None
        self.link.when_broken(self.fail)
        self.link.watch_alarms(self._alarmed)
        #: From the moment in which somebody asked for a stop.
        self.told_to_stop = False
        #: Once all queues were consumed.
        self.was_ready = False
        self.control = ControlService(self, listens=control)
        self.events: WorkerEvents | None = None
        if app.events if events is None else events:
            self.send_events()

    def send_events(self) -> None:
        """Send events from now on. Link thread only, once that runs."""
        from amqptasks.worker.node.events import WorkerEvents

        if self.events is None:
            self.events = WorkerEvents(self)
            self._settler.ended = self.events.ended
            if self._begun.is_set():
                self.events.online()
        self.events.emitter.is_on = True

    @property
    def is_stopping(self) -> bool:
        """True from the moment in which nothing more is taken."""
        return self._shutdown.begun

    @property
    def counts(self) -> Counter[str]:
        """How many deliveries ended how, by the name of the outcome."""
        return self._settler.counts

    @property
    def ready(self) -> bool:
        """True while the broker has confirmed our consumer on every queue, but for those that somebody paused, and
        tasks can run. Link thread only."""
        if not self.consumers.ready or self.pools.trouble is not None or self._standstill.trouble is not None:
            return False
        return all(wait.ready for wait in self.waits.current())

    @property
    def trouble(self) -> str | None:
        """Why it is not ready, where somebody knows. Link thread only."""
        waits = (wait.detail for wait in self.waits.current() if not wait.ready)
        return self.link.trouble or self.pools.trouble or self._standstill.trouble or next(waits, None)

    @property
    def is_over(self) -> bool:
        """True once all is settled and the consumers are closed."""
        return self._shutdown.over.is_set()

    @property
    def stop_within(self) -> float | None:
        """Seconds that `stop` gives the tasks; None where they have any time."""
        return self._shutdown.within

    @property
    def goodbye(self) -> float:
        """Seconds for the broker to answer a goodbye."""
        return GOODBYE if self.was_ready else START_GOODBYE

    @property
    def cold(self) -> bool:
        """True once also what runs was given back."""
        return self._shutdown.cold

    # From other threads

    def prepare(self) -> None:
        """Import the tasks, and begin the processes that are forked from this one: before it has another thread, as a
        copy of several threads may hang. `start` does it where nobody did."""
        if not self.pools.prepared:
            signals.worker_init.send(self)
            self.app.import_tasks()
            self.pools.prepare()

    def start(self) -> None:
        """Connect, declare what is missing, and consume. Returns once every queue is consumed, or when it cannot be
        yet. Raises `BrokerUnreachable` where the broker was not there for as long as it was to be waited for,
        `AccessRefused`, `TlsError`, `DeclarationConflict`."""
        self.prepare()
        self._log_beside()
        logger.info("%s", banner.opening(self), extra={"action": "worker_starting"})
        self.link.start()
        Reaching(self.app, self.link, self._trouble_log, self._connect_for).reach()
        self.started = True
        self.link.call_soon(lambda: self.link.watch_trouble(self._trouble_log.tell))
        self._standstill.start()
        self.app.caller.use(self.link)
        process.begin(self.app)
        self.pools.start()
        self.control.start()
        self.link.call_soon(self.upkeep.begin)
        self.link.call_soon(self.consumers.begin)
        ready = awaited(self._begun, START_TIMEOUT, lambda: self.told_to_stop)
        self.control.wait()
        if ready and not self.told_to_stop:
            signals.worker_ready.send(self)

    def stop(self) -> None:
        """Take nothing more, give back what has not begun, and lead what runs through the stages of the plan (see
        `StopPlan`). Returns at once; see `wait`."""
        self.told_to_stop = True
        self.link.call_soon(self._shutdown.leave_warm)  # first: the receivers of a signal may take their time
        signals.worker_shutting_down.send(self, how="warm")

    def stop_now(self) -> None:
        """Cold: everything goes back to its queue, also what runs. Returns at once; see `wait`."""
        self.told_to_stop = True
        self.link.call_soon(self._shutdown.leave_cold)
        signals.worker_shutting_down.send(self, how="cold")

    def fail(self, why: str) -> None:
        """It can go no further: its link has ended, or it stands still. Needs no link; from any thread."""
        if self.failure is not None or self._shutdown.over.is_set():
            return
        self.failure = why
        if self.on_failure is not None:
            self.on_failure(why)
            return
        logger.critical("the worker cannot go on: %s", why, extra={"action": "worker_failed"})
        if self.link.broken is not None:
            self._begun.set()
            self._shutdown.over.set()

    def wait(self, timeout: float | None = None, between: Callable[[], None] = lambda: None) -> bool:
        """Wait until the worker has stopped; False when it has not within `timeout` seconds. Runs the tasks of a
        `solo` pool meanwhile, and calls `between` again and again. Call it from one thread only."""
        deadline = None if timeout is None else monotonic() + timeout
        solo = self.pools.named("solo")
        while not self._shutdown.over.is_set():
            between()
            if deadline is not None and monotonic() >= deadline:
                return False
            if solo is not None and not self.is_stopping:
                cast("SoloPool", solo).work(0.1)
            else:
                self._shutdown.over.wait(ONE_WAIT)  # see there why so short
        self._standstill.stop()
        if not self.cold:
            remaining = self.goodbye if deadline is None else max(0.0, deadline - monotonic())
            self.pools.stop(remaining)
        process.end(self.app)
        signals.worker_shutdown.send(self)
        self.app.caller.leave(self.goodbye)
        logger.info("%s", banner.closing(self.name, self.counts), extra={"action": "worker_stopped"})
        if self._logs_beside:
            self._logs_beside = False
            log_queue.end()
        return True

    def _log_beside(self) -> None:
        """No thread of this worker waits for log handlers from now on: another one runs them."""
        if not self._logs_beside:
            self._logs_beside = True
            log_queue.begin()

    # The link's thread

    def _alarmed(self, reason: str | None) -> None:
        """The broker blocks publishers; None: not any more."""
        if reason is None:
            self.waits.end(ALARM)
            logger.info("the broker takes what is published again", extra={"action": "alarm_over"})
        else:
            self.waits.begin(ALARM, f"the broker blocks publishers (blocked: {reason})", ready=True)
            logger.warning("the broker blocks publishers: %s", reason, extra={"action": "alarm"})
        self._settler.replies.blocked(reason)

    def consuming(self) -> None:
        """The broker has confirmed our consumer on every queue: for the first time, or once more."""
        self.was_ready = True
        if self._begun.is_set():
            logger.info("worker %s consumes again", self.name, extra={"action": "consuming_again"})
            return
        self._begun.set()
        if self.events is not None:
            self.events.online()
        listed = ", ".join(f"{queue.name} (prefetch {queue.prefetch})" for queue in self.queues.values())
        logger.info("worker %s is ready: %s", self.name, listed, extra={"action": "worker_ready"})

    def give_up_starting(self) -> None:
        """`start` need not wait any longer."""
        self._begun.set()

    def declare_soon(self) -> None:
        """Something that we need is not on the broker."""
        if not self.is_stopping:
            self.upkeep.soon()

    # The link's thread: what control and limits ask for

    @property
    def held(self) -> list[Job]:
        """What this worker has from the broker and has not settled: what runs, and what is about to."""
        return [job for queue in self.queues.values() for job in queue.held]

    @property
    def current(self) -> list[Job]:
        """What runs now."""
        return [job for pool in self.pools for job in pool.current()]

    def resize(self, concurrency: int) -> None:
        """Run so many plain functions at once from now on, at least one."""
        self.concurrency = max(1, concurrency)
        self.pools.default.resize(self.concurrency)
        self.consumers.follow(self.concurrency)

    def autoscale(self, pool: PreforkPool, most: int, least: int) -> None:
        """Let `pool` follow the demand between these from now on."""
        pool.autoscale(most, least)
        self.consumers.follow(most)

    def restart_pools(self) -> None:
        """Fresh processes for what comes from now on; what runs is finished in the old ones."""
        for pool in self.pools:
            pool.restart()
