"""The pool of processes, on the link's thread: who gets what, who is lost, who is renewed."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from amqptasks.errors import WorkerLostError
from amqptasks.transport import Watching
from amqptasks.worker.admission import failed_deliveries
from amqptasks.worker.job import Job
from amqptasks.worker.outcomes import LOST, Crashed, Failure, Outcome
from amqptasks.worker.pools import Finished
from amqptasks.worker.pools.prefork import slots as slots_module
from amqptasks.worker.pools.prefork import wire
from amqptasks.worker.pools.prefork.child import INTERRUPT, Upbringing
from amqptasks.worker.pools.prefork.child_process import ChildProcess
from amqptasks.worker.pools.prefork.forkers import Forkers
from amqptasks.worker.pools.prefork.settings import PreforkSettings
from amqptasks.worker.pools.prefork.slots import Slots

if TYPE_CHECKING:
    from amqptasks.app import App

logger = logging.getLogger(__name__)

#: SIGKILL, by its number: the module `signal` names it on no other platform.
KILL = 9

#: Jobs that are sent ahead to a child that is busy with short tasks: enough that it never waits for the node.
AHEAD = 8

#: Seconds that its task may have run for a child to get more ahead: then it is long, and others will be faster.
SHORT = 0.01

#: Seconds before a child is started in place of one that died before it did anything, doubled up to the second figure.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0

#: Seconds between two looks at the demand, and without any of it, before a child leaves.
GROW_EVERY, IDLE_FOR = 0.5, 30.0


class PreforkPool:
    """See `Pool`. Making it starts the forker, which must be before the process has another thread.

    `conclude` ends a job whose child cannot, `begun` hears of one that is to be acknowledged before it runs."""

    def __init__(
        self,
        app: App,
        link: Watching,
        conclude: Callable[[Job, Outcome], None],
        begun: Callable[[Job], None],
        finished: Finished,
        upbringing: Callable[[], Upbringing],
        size: int,
        settings: PreforkSettings,
    ) -> None:
        self._app = app
        self._link = link
        self._conclude = conclude
        self._begun = begun
        self._finished = finished
        self._upbringing = upbringing
        self._settings = settings
        self._size = size
        self._slots = Slots()
        self._free = deque(range(slots_module.COUNT))
        self._numbers = itertools.count(1)
        self._names = itertools.count(1)
        self._waiting: deque[tuple[int, Job, bytes]] = deque()
        self._children: dict[int, ChildProcess] = {}
        self._stillborn = 0
        self._stopping = False
        self._all_ended = threading.Event()
        self._looking = False
        self._idle_since = time.monotonic()
        self._most, self._least = settings.most, settings.least
        self._forkers = Forkers(app, self._slots, settings.start_method)
        self._forkers.start()

    @property
    def size(self) -> int:
        return self._size

    @property
    def running(self) -> int:
        return sum(1 for child in self._children.values() if child.outstanding)

    @property
    def pids(self) -> list[int]:
        """The processes of the children."""
        return [child.pid for child in self._children.values() if child.pid is not None]

    def current(self) -> list[Job]:
        found = []
        for child in self._children.values():
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

    def start(self) -> None:
        self._link.call_soon(self._begin)

    def submit(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            number = next(self._numbers)
            self._waiting.append((number, job, wire.encode_job(number, job)))
        self._hand_out()

    def take_back(self) -> list[Job]:
        taken = [entry for child in self._children.values() for entry in child.retract()]
        taken.extend(self._waiting)
        self._waiting.clear()
        return [job for _, job, _ in sorted(taken, key=lambda entry: entry[0])]

    def withdraw(self, job: Job) -> bool:
        child = self._holder(job)
        if child is not None:
            self._waiting.extendleft(reversed(child.retract()))
        for entry in self._waiting:
            if entry[1] is job:
                self._waiting.remove(entry)
                self._hand_out()
                return True
        self._hand_out()
        return False

    def interrupt(self, job: Job, error: BaseException) -> bool:
        child = self._holder(job)
        if child is None:
            return False
        number, _ = self._slots.runs(child.slot)
        if child.outstanding.get(number) is not job:
            return False
        self._slots.interrupt(child.slot, number, type(error))
        self._forkers.signal(child, INTERRUPT)
        return True

    def kill(self, job: Job) -> bool:
        child = self._holder(job)
        if child is None:
            return False
        self._waiting.extendleft(reversed(child.retract()))  # first: then it can begin nothing else while we look
        number, _ = self._slots.runs(child.slot)
        if child.outstanding.get(number) is not job:
            self._hand_out()
            return False
        del child.outstanding[number]
        child.leaving = True
        self._forkers.signal(child, KILL)
        self._fill()
        self._hand_out()
        return True

    def resize(self, size: int) -> None:
        self._size = size
        if self._stopping:
            return
        staying = [child for child in self._children.values() if not child.leaving]
        staying.sort(key=lambda child: len(child.outstanding))  # the idle ones first
        for child in staying[: max(0, len(staying) - size)]:
            self._dismiss(child)
        self._fill()
        self._hand_out()

    def restart(self) -> None:
        for child in list(self._children.values()):
            if not child.leaving:
                self._dismiss(child)
        self._fill()
        self._hand_out()

    def autoscale(self, most: int, least: int) -> None:
        """Follow the demand between these bounds from now on."""
        self._most, self._least = most, least
        self.resize(min(max(self._size, least), most))

    def abort(self) -> None:
        self._stopping = True
        for child in self._children.values():
            child.outstanding.clear()
            child.leaving = True
            self._forkers.signal(child, KILL)

    def stop(self, timeout: float) -> None:
        self._link.call_soon(self._end)
        self._all_ended.wait(timeout)
        self._forkers.end()

    def _begin(self) -> None:
        self._link.watch(self._forkers.descriptor, self._hear)
        self._forkers.bring_up(self._upbringing())
        self._fill()

    def _fill(self) -> None:
        """Start what is missing."""
        staying = sum(1 for child in self._children.values() if not child.leaving)
        for _ in range(0 if self._stopping else self._size - staying):
            child = ChildProcess(next(self._names), self._free.popleft())
            self._slots.clear(child.slot)
            self._children[child.number] = child
            self._link.watch(child.descriptor, partial(self._read, child))
            child.watched = True
            self._forkers.bear(child)

    def _holder(self, job: Job) -> ChildProcess | None:
        for child in self._children.values():
            if job in child.outstanding.values():
                return child
        return None

    def _hand_out(self) -> None:
        """Give each job that waits to a child that is idle, or ahead to one whose tasks are short; what was sent ahead
        to a busy child goes to an idle one when nothing else waits."""
        if self._stopping:
            return
        staying = [child for child in self._children.values() if not child.leaving]
        idle = [child for child in staying if not child.outstanding]
        if idle and len(self._waiting) < len(idle):
            for busy in staying:
                if len(busy.outstanding) > 1:
                    self._waiting.extendleft(reversed(busy.retract()))
        now = time.monotonic()
        for child in idle:
            if not self._give(child, now):
                break
        if self._waiting:
            for child in staying:
                if now - child.since < SHORT:
                    while len(child.outstanding) < AHEAD and self._give(child, now):
                        pass
        if self._most is not None and not self._looking and self._backlog:
            self._looking = True
            self._link.call_later(GROW_EVERY, self._follow_demand)

    @property
    def _backlog(self) -> bool:
        """Whether something waits, here or in the socket of a child that is busy."""
        return bool(self._waiting) or any(len(child.outstanding) > 1 for child in self._children.values())

    def _give(self, child: ChildProcess, now: float) -> bool:
        """The next job that is still ours, to this child; False when none was given."""
        limit = self._settings.max_tasks
        while self._waiting:
            number, job, data = self._waiting[0]
            if not (job.ours or job.settled):
                self._waiting.popleft()
                self._conclude(job, LOST)
                continue
            if (limit is not None and child.given >= limit) or not child.give(number, job, data):
                return False
            self._waiting.popleft()
            if len(child.outstanding) == 1:
                child.since = now
            return True
        return False

    def _read(self, child: ChildProcess) -> None:
        self._take_results(child)
        self._hand_out()

    def _unwatch(self, child: ChildProcess) -> None:
        if child.watched:
            child.watched = False
            self._link.unwatch(child.descriptor)

    def _take_results(self, child: ChildProcess) -> None:
        memory = 0
        for number, planned, runtime, measured in child.results():
            if planned.kind == wire.BEGUN:
                if number in child.outstanding:
                    self._begun(child.outstanding[number])
                continue
            memory = measured
            child.done += 1
            job = child.outstanding.pop(number, None)
            if job is not None:  # else it was killed in the moment in which it ended
                job.planned, job.runtime = planned, runtime
                self._finished(job)
        child.since = time.monotonic()
        if child.gone:
            self._unwatch(child)  # it would be readable for ever
        else:
            self._stillborn = 0
        settings = self._settings
        full = settings.max_tasks is not None and child.done >= settings.max_tasks
        large = settings.max_memory is not None and memory > settings.max_memory
        if (full or large) and not child.leaving and not self._stopping:
            if large:
                logger.info("a child of %d KiB is renewed", memory, extra={"action": "child_renewed"})
            self._dismiss(child)
            self._fill()

    def _dismiss(self, child: ChildProcess) -> None:
        self._waiting.extendleft(reversed(child.retract()))
        child.dismiss()

    def _hear(self) -> None:
        """Notices of the forker."""
        descriptor = self._forkers.descriptor
        notices = self._forkers.notices()
        for notice in notices or ():
            match notice:
                case ("started", int(number), int(pid)) if number in self._children:
                    self._children[number].pid = pid
                case ("ended", int(number), str(how)) if number in self._children:
                    self._ended(self._children.pop(number), how)
                case ("failed", str(text)):
                    logger.error("the app cannot be imported by the pool's processes:\n%s", text)
        if notices is None:
            self._link.unwatch(descriptor)
            self._orphaned()

    def _orphaned(self) -> None:
        """The forker is gone, and with it all children."""
        children = list(self._children.values())
        self._children.clear()
        self._forkers.end()
        if not self._stopping:
            logger.error("the forker of the pool is gone: starting another", extra={"action": "forker_lost"})
            self._forkers.start()
            self._link.watch(self._forkers.descriptor, self._hear)
            self._forkers.bring_up(self._upbringing())
        for child in children:
            self._ended(child, "lost with the process that started it")

    def _ended(self, child: ChildProcess, how: str) -> None:
        """A child is dead: what it sent counts, what it had not begun goes to others, what it ran is lost."""
        self._take_results(child)
        self._waiting.extendleft(reversed(child.retract()))
        _, since = self._slots.runs(child.slot)
        for job in child.outstanding.values():
            job.started = since
            job.runtime = time.monotonic() - since if since else 0.0
            self._conclude(job, self._lost(job, how or "ended by itself"))
        self._unwatch(child)
        child.close()
        self._free.append(child.slot)
        if self._stopping:
            self._end_if_empty()
            return
        if child.leaving:
            return
        if child.done or child.outstanding:
            logger.warning("a child of the pool was lost: %s", how, extra={"action": "child_lost"})
            self._renew()
        else:
            pause = min(FIRST_PAUSE * 2**self._stillborn, LONGEST_PAUSE)
            self._stillborn += 1
            logger.error("a child of the pool died unused: %s; the next in %.1f s", how, pause)
            self._link.call_later(pause, self._renew)

    def _renew(self) -> None:
        self._fill()
        self._hand_out()

    def _lost(self, job: Job, how: str) -> Outcome:
        """Run it again as often as its queue's delivery limit allows, where its task does not say otherwise."""
        task = self._app.tasks.get(job.task_name)
        again = task is None or task.options.get("reject_on_worker_lost", True)
        times, limit = failed_deliveries(job.delivery) + 1, job.queue.delivery_limit
        if again and not job.acked and (limit <= 0 or times < limit):
            return Crashed(how)
        count = f", in run {times} of {limit}" if again and not job.acked else ""
        return Failure(WorkerLostError(f"its process was {how}{count}"))

    def _follow_demand(self) -> None:
        """One more child for each look that finds work waiting; one less after a while without."""
        self._looking = False
        if self._stopping or self._most is None:
            return
        staying = [child for child in self._children.values() if not child.leaving]
        now = time.monotonic()
        if self._backlog or all(child.outstanding for child in staying):
            self._idle_since = now
            if self._backlog and self._size < self._most:
                self.resize(self._size + 1)
        elif now - self._idle_since > IDLE_FOR and self._size > self._least:
            self._idle_since = now
            self.resize(self._size - 1)
        if self._size > self._least or self._backlog:
            self._looking = True
            self._link.call_later(GROW_EVERY, self._follow_demand)

    def _end(self) -> None:
        self._stopping = True
        for child in self._children.values():
            if not child.leaving:
                child.dismiss()
        self._end_if_empty()

    def _end_if_empty(self) -> None:
        if not self._children and not self._all_ended.is_set():
            self._link.unwatch(self._forkers.descriptor)
            self._all_ended.set()
