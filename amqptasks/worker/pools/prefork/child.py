"""The main function of a child: take a job, run it, send back what is to be written. One thread, the main one."""

from __future__ import annotations

import _socket
import contextlib
import ctypes
import os
import signal
import socket
import sys
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from amqptasks import logs
from amqptasks.canvas.continuations import Followers
from amqptasks.logs import Setup
from amqptasks.runtime import log_queue
from amqptasks.runtime.clock import broker_time, monotonic
from amqptasks.runtime.log_queue import get_logger
from amqptasks.topology.topology import QueueSettings
from amqptasks.transport.capabilities import Capabilities
from amqptasks.worker import process
from amqptasks.worker.execute import executor
from amqptasks.worker.execute.executor import Executor
from amqptasks.worker.execute.lost_runs import NOTHING, was_told
from amqptasks.worker.execute.waiting_calls import WaitingCalls
from amqptasks.worker.job.job import Job
from amqptasks.worker.job.notifications import telling
from amqptasks.worker.job.recorder import recorder_of
from amqptasks.worker.pools.prefork import wire
from amqptasks.worker.pools.prefork.child_lease import ChildLease
from amqptasks.worker.pools.prefork.slots import Slots

if TYPE_CHECKING:
    from amqptasks.app.app import App

logger = get_logger(__name__)

#: Bytes of a datagram; a longer job comes as a file (a descriptor beside a datagram that is its number).
DATAGRAM = 65536

#: The signal by which the node interrupts a task. https://man7.org/linux/man-pages/man2/prctl.2.html for the other.
INTERRUPT = signal.SIGUSR1
PR_SET_PDEATHSIG = 1

#: Status of a child that had no memory left outside of its task: the words of it would need some. No program of the
#: system and no signal ends with this one.
NO_MEMORY = 112

#: Signals that are the node's business: a group of processes gets them all at once, from a terminal or a service
#: manager, and running tasks must not die of them. Handled, not ignored: what a task starts must not inherit that.
NODE_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class ChildConfig:
    """What a child learns from its node. `memory` asks for its size with each result; `logs` is how it is to log,
    unless it is a copy of a process that does already; `ahead` is by how many seconds the broker's clock is ahead."""

    worker: str
    capabilities: Capabilities | None
    memory: bool = False
    logs: Setup | None = None
    ahead: float | None = None


class Child:
    """`jobs` and `results` are its ends of the sockets, `slot` its place in the shared page."""

    def __init__(
        self,
        app: App,
        child_config: ChildConfig,
        jobs: _socket.socket,
        results: _socket.socket,
        slots: Slots,
        slot: int,
    ) -> None:
        self._app = app
        self._child_config = child_config
        self._jobs = jobs
        self._results = results
        self._slots = slots
        self._slot = slot
        self._queues: dict[str, QueueSettings] = {}
        if child_config.capabilities is not None:
            app.caller.inherit(child_config.capabilities)
        broker_time.inherit(child_config.ahead)
        self._steps = Executor(
            app.tasks,
            child_config.worker,
            app.caller.delayed,
            app.codec,
            lambda: app.capabilities,
            followers=Followers(app),
            began=self._on_begun,
            waiting_calls=WaitingCalls(app),
            recorder=recorder_of(app, child_config.worker),
            middleware=app.middleware,
        )
        self._number = 0
        self._level = 0

    def begin(self) -> None:
        """Before anything that may log. The level is the node's of now: what it logs of our tasks, we describe."""
        taught = self._child_config.logs
        if taught is not None:
            logs.configure(taught.level, taught.form)
        self._level = self._slots.level()
        if self._level != logs.current_level():
            logs.change_level(self._level)
        log_queue.begin()
        process.begin(self._app)

    def run(self) -> None:
        """Until the node says so, or is gone."""
        signal.signal(INTERRUPT, self._interrupted)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the node is gone: no job will come
            self._results.sendall(wire.encode_lives())
        slots, slot, execute = self._slots, self._slot, self._steps.execute
        send, measured = self._results.sendall, self._child_config.memory
        lease = ChildLease(slots, slot)
        while True:
            data = self._receive()
            if not data or data == wire.END:
                return
            level = slots.level()
            if level != self._level:  # the node was told another
                self._level = level
                logs.change_level(level)
            number, delivery, acked, limits, ended = wire.decode_job(data, lease)
            queue = self._queue(delivery.queue)
            job = Job(delivery, queue) if ended is None else telling(delivery, queue, *ended)
            job.acked, job.limits = acked, limits
            self._number = number
            began = monotonic()
            slots.begin(slot, number, began)
            try:
                execute(job)
            except BaseException:  # in what is told of a task; what becomes of that is known, and the node waits for it
                if job.planned is None:
                    raise
                logger.exception("a child of the pool goes on", extra={"action": "pool_goes_on"})
            slots.end(slot)
            job.took = monotonic() - began
            if was_told(job):  # the node cannot see it, and may have another lease by now
                job.planned = NOTHING
            try:
                if job.task is None and job.request is not None and ended is None:
                    send(wire.encode_lacks(number))  # the node may have the task: then the message is not at fault
                send(wire.encode_result(number, job, memory_size() if measured else 0))
            except (BrokenPipeError, ConnectionResetError):  # the node is gone
                return

    def _on_begun(self, job: Job) -> None:
        job.acked = True  # as the node has it, once it reads this
        self._results.sendall(wire.encode_begun(self._number))

    def _receive(self) -> bytes:
        data, ancillary, _, _ = self._jobs.recvmsg(DATAGRAM, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
        if not ancillary:
            return data
        descriptor = int.from_bytes(ancillary[0][2][:4], sys.byteorder)
        with open(descriptor, "rb") as file:
            return data + file.read()

    def _queue(self, name: str) -> QueueSettings:
        found = self._queues.get(name)
        if found is None:
            self._app.add_queues([name])  # one that the worker was asked to consume later
            found = self._queues[name] = self._app.topology.queue(name)
        return found

    def _interrupted(self, _signum: int, frame: FrameType | None) -> None:
        """Raise what the node asked for, where the task's own code runs and nowhere else."""
        kind = self._slots.interruption(self._slot)
        while kind is not None and frame is not None:
            if frame.f_code is executor.call.__code__:
                raise kind
            frame = frame.f_back


def blocking_socket(descriptor: int) -> _socket.socket:
    """One that waits. Not what gevent or eventlet make of sockets: theirs do not wait in `recvmsg`, and the end that a
    patched node made does not wait either."""
    made = _socket.socket(fileno=descriptor)
    made.setblocking(True)
    return made


def live(child: Child) -> None:
    """A forked process from its first line to its last; never returns."""
    status = 1
    try:
        try:
            child.begin()
            child.run()
            status = 0
        except BaseException as error:
            if isinstance(error, MemoryError):
                status = NO_MEMORY
            logger.exception("a child of the pool ends over an error of its own")
        with contextlib.suppress(BaseException):
            process.end(child._app)
        with contextlib.suppress(BaseException):
            child._app.close(1.0)
            log_queue.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
    finally:  # where there is no memory, anything above may raise
        os._exit(status)


def prepare_process() -> None:
    """What every process below the node needs: signals that it answers by going on, and a group of its own, so that a
    task is killed with what it started."""
    for number in NODE_SIGNALS:
        signal.signal(number, disregard)
    os.setpgid(0, 0)


def die_with(parent: int) -> None:
    """Let the kernel end this process when `parent`, whose child it is, ends."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def memory_size() -> int:
    """Of this process, resident, in KiB. https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html"""
    with open("/proc/self/statm", "rb", buffering=0) as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def disregard(_signum: int, _frame: FrameType | None) -> None:
    """A signal that changes nothing."""
