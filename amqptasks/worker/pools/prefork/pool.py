"""The pool of processes, on the link's thread: who gets what, who is killed, who is renewed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from amqptasks import logs
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.tasks.outcomes import Outcome
from amqptasks.transport import Watching
from amqptasks.worker.job.job import Job
from amqptasks.worker.pools import Finished
from amqptasks.worker.pools.prefork import wire
from amqptasks.worker.pools.prefork.backlog import Backlog
from amqptasks.worker.pools.prefork.child import INTERRUPT, ChildConfig
from amqptasks.worker.pools.prefork.child_process import ChildProcess
from amqptasks.worker.pools.prefork.children import Children
from amqptasks.worker.pools.prefork.demand import Demand
from amqptasks.worker.pools.prefork.fork_servers import ForkServers
from amqptasks.worker.pools.prefork.losses import lost
from amqptasks.worker.pools.prefork.settings import PreforkSettings
from amqptasks.worker.pools.prefork.slots import Slots

if TYPE_CHECKING:
    from amqptasks.app.app import App

logger = get_logger(__name__)

#: Deaths of processes that had taken a job and not begun it, before the job is taken for the cause.
UNBEGUN = 20

#: SIGKILL, by its number: the module `signal` names it on no other platform.
KILL = 9


class PreforkPool:
    """See `Pool`. Making it starts the fork server, which must be before the process has another thread.

    `conclude` ends a job whose child cannot, `begun` hears of one that is to be acknowledged before it runs."""

    def __init__(
        self,
        app: App,
        link: Watching,
        conclude: Callable[[Job, Outcome], None],
        begun: Callable[[Job], None],
        finished: Finished,
        child_config: Callable[[], ChildConfig],
        size: int,
        settings: PreforkSettings,
    ) -> None:
        self._app = app
        self._link = link
        self._conclude = conclude
        self._begun = begun
        self._finished = finished
        self._settings = settings
        self._slots = Slots()
        self._fork_servers = ForkServers(app, self._slots, settings.start_method)
        self._children = Children(
            link, self._fork_servers, self._slots, child_config, size, self._read, self._died, self._hand_out
        )
        self._child_processes = self._children.children
        self._backlog = Backlog(self._child_processes, self._slots, settings.max_tasks, conclude)
        self._demand = Demand(self, link, settings.most, settings.least)
        self._lacked: dict[str, list[Job]] = {}  # by the task that no child knows
        self._stopping = False
        self._fork_servers.start()

    @property
    def size(self) -> int:
        return self._children.size

    @property
    def running(self) -> int:
        return sum(1 for child in self._child_processes.values() if child.outstanding)

    @property
    def trouble(self) -> str | None:
        if self._lacked:
            return f"its processes lack tasks that the worker has: {', '.join(list(self._lacked)[:5])}"
        return self._children.trouble

    @property
    def begins(self) -> bool:
        return not any(child.lives for child in self._child_processes.values())

    @property
    def is_busy(self) -> bool:
        """True when every child has something to run."""
        return all(child.outstanding for child in self._children.staying)

    @property
    def has_backlog(self) -> bool:
        """True when something waits that no child has begun."""
        return bool(self._backlog)

    @property
    def is_stopping(self) -> bool:
        return self._stopping

    @property
    def pids(self) -> list[int]:
        """The processes of the children."""
        return [child.pid for child in self._child_processes.values() if child.pid is not None]

    def current(self) -> list[Job]:
        found = []
        for child in self._child_processes.values():
            job = child.outstanding.get(self._slots.runs(child.slot)[0])
            if job is not None:
                found.append(job)
        return found

    def started(self, job: Job) -> float:
        child = self._holder(job)
        if child is None:
            return 0.0
        number, since = self._slots.runs(child.slot)
        return since if child.outstanding.get(number) is job else 0.0

    def pid(self, job: Job) -> int | None:
        child = self._holder(job)
        return None if child is None else child.pid

    def start(self) -> None:
        self._link.call_soon(self._begin)

    def submit(self, jobs: Sequence[Job]) -> None:
        self._backlog.add(jobs)
        self._hand_out()

    def take_back(self) -> list[Job]:
        lacked = [job for jobs in self._lacked.values() for job in jobs]
        self._lacked.clear()
        return [*lacked, *self._backlog.take_all()]

    def withdraw(self, job: Job) -> bool:
        for jobs in self._lacked.values():
            if job in jobs:
                jobs.remove(job)
                return True
        child = self._holder(job)
        if child is not None:
            self._backlog.retract(child)
        withdrawn = self._backlog.remove(job)
        self._hand_out()
        return withdrawn

    def lose(self, job: Job) -> bool:
        child = self._holder(job)
        if child is None:
            return False
        numbers = [number for number, one in child.outstanding.items() if not one.ours]
        if (
            numbers and child.outstanding[numbers[-1]] is job
        ):  # those before it have ended, and come back in this moment
            self._slots.lose(child.slot, numbers[-1])
        return True

    def regain(self, job: Job) -> None:
        child = self._holder(job)
        if child is not None:
            self._slots.lose(child.slot, 0)

    def interrupt(self, job: Job, error: BaseException) -> bool:
        child = self._holder(job)
        if child is None:
            return False
        number, _ = self._slots.runs(child.slot)
        if child.outstanding.get(number) is not job:
            return False
        self._slots.interrupt(child.slot, number, type(error))
        self._fork_servers.signal(child, INTERRUPT)
        return True

    def kill(self, job: Job) -> bool:
        child = self._holder(job)
        if child is None:
            return False
        self._backlog.retract(child)  # first: then it can begin nothing else while we look
        number, _ = self._slots.runs(child.slot)
        if child.outstanding.get(number) is not job:
            self._hand_out()
            return False
        del child.outstanding[number]
        child.leaving = True
        self._fork_servers.signal(child, KILL)
        self._children.fill()
        self._hand_out()
        return True

    def resize(self, size: int) -> None:
        self._children.size = size
        if self._stopping:
            return
        staying = sorted(self._children.staying, key=lambda child: len(child.outstanding))  # the idle ones first
        for child in staying[: max(0, len(staying) - size)]:
            self._dismiss(child)
        self._children.fill()
        self._hand_out()

    def restart(self) -> None:
        for child in self._children.staying:
            self._dismiss(child)
        self._children.fill()
        self._hand_out()

    def autoscale(self, most: int, least: int) -> None:
        """Follow the demand between these bounds from now on."""
        self._demand.bound(most, least)

    def log_from(self, level: int) -> None:
        """Each child logs from this level on with its next task, and those to come do. From any thread."""
        self._slots.set_level(level)

    def abort(self) -> None:
        self._stopping = True
        for child in self._child_processes.values():
            child.outstanding.clear()
            child.leaving = True
            self._fork_servers.signal(child, KILL)
        self._children.stop()

    def stop(self, timeout: float) -> None:
        self._link.call_soon(self._end)
        self._children.over.wait(timeout)
        self._fork_servers.end()

    def _begin(self) -> None:
        self.log_from(logs.current_level())
        self._children.begin()

    def _holder(self, job: Job) -> ChildProcess | None:
        for child in self._child_processes.values():
            if job in child.outstanding.values():
                return child
        return None

    def _hand_out(self) -> None:
        if not self._stopping:
            self._backlog.hand_out()
            self._demand.look()

    def _read(self, child: ChildProcess) -> None:
        self._take_results(child)
        self._hand_out()

    def _take_results(self, child: ChildProcess) -> None:
        memory, before = 0, child.done
        for number, planned, (runtime, took), measured in child.results():
            if planned.kind == wire.LIVES:
                self._children.lives(child)
                continue
            if planned.kind == wire.BEGUN:
                if number in child.outstanding:
                    self._begun(child.outstanding[number])
                continue
            if planned.kind == wire.LACKS:
                self._lack(child, number)
                continue
            memory = measured
            child.ended(took)
            job = child.outstanding.pop(number, None)
            if job is not None:  # else it was killed in the moment in which it ended
                job.planned, job.runtime, job.took = planned, runtime, took
                self._finished(job)
        if child.done != before:
            child.since = monotonic()
        self._children.heard(child)
        settings = self._settings
        full = settings.max_tasks is not None and child.done >= settings.max_tasks
        large = settings.max_memory is not None and memory > settings.max_memory
        if (full or large) and not child.leaving and not self._stopping:
            if large:
                logger.info("a child of %d KiB is renewed", memory, extra={"action": "child_renewed"})
            self._dismiss(child)
            self._children.fill()

    def _lack(self, child: ChildProcess, number: int) -> None:
        """A child does not know a task that the worker knows: that is no fault of the message. It is kept until the
        worker ends, and then goes back."""
        job = child.outstanding.get(number)
        if job is None or job.task_name not in self._app.tasks:
            return
        del child.outstanding[number]
        if job.task_name not in self._lacked:
            logger.error(
                "the processes of the pool lack the task %s, which the worker has: its messages wait, and go back when"
                " the worker ends. Make tasks where their module is imported, not later",
                job.task_name,
                extra={"action": "task_lacked"},
            )
        self._lacked.setdefault(job.task_name, []).append(job)

    def _dismiss(self, child: ChildProcess) -> None:
        self._backlog.retract(child)
        child.dismiss()

    def _died(self, child: ChildProcess, how: str) -> None:
        """What it sent counts, what it had not begun goes to others, what it ran is lost. A job that it had taken
        and not begun is not counted."""
        self._take_results(child)
        self._backlog.retract(child)
        _, since = self._slots.runs(child.slot)
        unbegun = []
        for number, job in child.outstanding.items():
            if not self._slots.has_begun(child.slot, number) and not job.acked and job.unbegun < UNBEGUN:
                job.unbegun += 1
                unbegun.append(job)
                continue
            job.started = since
            job.runtime = monotonic() - since if since else 0.0
            self._conclude(job, lost(job, self._app.tasks.get(job.task_name), how))
        self._backlog.add(unbegun)
        self._hand_out()

    def _end(self) -> None:
        self._stopping = True
        for child in self._children.staying:
            child.dismiss()
        self._children.stop()
