"""The pool of processes when something below it breaks: its fork server dies, does not start, or is busy. No broker:
the pool knows of none."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from amqptasks.amqp.link import Link
from amqptasks.tasks.outcomes import Crashed, Outcome
from amqptasks.worker.job.job import Job
from amqptasks.worker.pools.prefork.backlog import SHORT
from amqptasks.worker.pools.prefork.child import ChildConfig
from amqptasks.worker.pools.prefork.losses import LONGEST_PAUSE, pause_after
from amqptasks.worker.pools.prefork.pool import PreforkPool
from amqptasks.worker.pools.prefork.settings import PreforkSettings
from tests.harness.wait import wait_for
from tests.unit.worker.held import app
from tests.unit.worker.jobs import delivery, job

#: Seconds for a fresh interpreter to import the app, on a machine that is busy.
BEGUN_WITHIN = 60.0


class Running:
    """A pool, and what came back from it."""

    def __init__(self, link: Link, size: int) -> None:
        self.link = link
        self.finished: list[Job] = []
        self.concluded: list[tuple[Job, Outcome]] = []
        self.pool = PreforkPool(
            app,
            link,
            lambda job, outcome: self.concluded.append((job, outcome)),
            lambda _job: None,
            self.finished.append,
            lambda: ChildConfig("worker", None),
            size,
            PreforkSettings(),
        )
        self.pool.start()
        wait_for(lambda: len(self.pool.pids) == size, BEGUN_WITHIN, "its children run")

    @property
    def fork_server(self) -> psutil.Process:
        (fork_server,) = {psutil.Process(pid).ppid() for pid in self.pool.pids}
        return psutil.Process(fork_server)

    def submit(self, *seconds: float) -> None:
        jobs = [job(delivery("held.hold", one, tag=tag), decoded=False) for tag, one in enumerate(seconds)]
        self.link.call_soon(lambda: self.pool.submit(jobs))

    def runs(self, count: int) -> None:
        wait_for(lambda: len(self.pool.current()) == count, 10, f"{count} run")


@pytest.fixture
def running() -> Iterator[Callable[[int], Running]]:
    link = Link(["amqp://localhost:1"])
    link.start()
    made: list[Running] = []

    def make(size: int) -> Running:
        made.append(Running(link, size))
        return made[-1]

    yield make
    for one in made:
        one.pool.stop(10)
    link.stop(5)


@pytest.mark.long
def test_what_ran_and_what_waited_is_settled_though_no_forker_can_be_started_at_first(
    running: Callable[[int], Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = running(1)
    one.submit(100.0, 0.0, 0.0)
    one.runs(1)
    fork_servers, start = one.pool._fork_servers, one.pool._fork_servers.start
    tries = []

    def no_memory() -> None:
        tries.append(time.monotonic())
        if len(tries) < 3:
            raise OSError("cannot allocate memory")
        start()

    monkeypatch.setattr(fork_servers, "start", no_memory)
    os.kill(one.fork_server.pid, signal.SIGKILL)
    wait_for(lambda: len(one.finished) == 2, BEGUN_WITHIN, "what waited runs")
    ((_, outcome),) = one.concluded
    assert isinstance(outcome, Crashed)
    assert len(tries) == 3
    assert tries[2] - tries[1] > tries[1] - tries[0] > 0.4


def test_a_job_of_another_queue_waits_neither_for_the_backlog_nor_for_what_was_sent_ahead(
    running: Callable[[int], Running],
) -> None:
    one = running(1)
    one.submit(*[0.2] * 20)
    one.runs(1)
    other = job(delivery("held.hold", 0.0), decoded=False)
    other.delivery.queue = "other"
    wait_for(lambda: one.pool.current() and time.monotonic() - one.pool.started(one.pool.current()[0]) > SHORT)
    one.link.call_soon(lambda: one.pool.submit([other]))
    wait_for(lambda: other in one.finished, 10)
    assert one.finished.index(other) <= 2
    taken: list[Job] = []
    one.link.call_soon(lambda: taken.extend(one.pool.take_back()))
    wait_for(lambda: taken)
    numbers = [made.delivery.tag for made in taken]
    assert numbers == sorted(numbers)


def test_a_hook_that_would_end_its_process_does_not(running: Callable[[int], Running]) -> None:
    one = running(1)
    (pid,) = one.pool.pids
    jobs = [job(delivery("held.leave_after"), decoded=False), job(delivery("held.hold", 0.0), decoded=False)]
    one.link.call_soon(lambda: one.pool.submit(jobs))
    wait_for(lambda: len(one.finished) == 2, 10, "both came back")
    assert one.finished == jobs
    assert [made.planned.kind for made in jobs if made.planned is not None] == ["Success", "Success"]
    assert (one.pool.pids, one.concluded) == ([pid], [])


@pytest.mark.long
def test_a_pool_that_can_run_nothing_says_why_until_it_can(
    running: Callable[[int], Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = running(2)
    assert one.pool.trouble is None
    fork_servers, start = one.pool._fork_servers, one.pool._fork_servers.start
    room = threading.Event()

    def no_memory() -> None:
        if not room.is_set():
            raise OSError("cannot allocate memory")
        start()

    monkeypatch.setattr(fork_servers, "start", no_memory)
    os.kill(one.fork_server.pid, signal.SIGKILL)
    wait_for(lambda: "cannot allocate memory" in str(one.pool.trouble), 10, lambda: str(one.pool.trouble))
    room.set()
    wait_for(lambda: one.pool.trouble is None, BEGUN_WITHIN, lambda: str(one.pool.trouble))
    assert not one.finished, "it lives, though it ran nothing yet"


def test_a_stop_does_not_wait_for_a_forker_that_died_meanwhile(running: Callable[[int], Running]) -> None:
    one = running(1)
    fork_server = one.fork_server
    one.submit(100.0)
    one.runs(1)
    one.link.call_soon(lambda: one.link.call_later(0.2, fork_server.kill))
    began = time.monotonic()
    one.pool.stop(30)
    assert time.monotonic() - began < 15


def test_children_that_the_forker_has_no_room_to_be_told_of_are_started_later(
    running: Callable[[int], Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = running(1)
    fork_server, control = one.fork_server, one.pool._fork_servers._control
    assert control is not None
    control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the least that the kernel has: a few orders
    fork_server.suspend()
    try:
        one.link.call_soon(lambda: one.pool.resize(20))
        wait_for(lambda: one.pool.size == 20)
        one.submit(*[0.0] * 40)
    finally:
        fork_server.resume()
    wait_for(lambda: len(one.pool.pids) == 20, BEGUN_WITHIN, lambda: f"{len(one.pool.pids)} of 20 children run")
    wait_for(lambda: len(one.finished) == 40, BEGUN_WITHIN, lambda: f"{len(one.finished)} of 40 jobs ran")


@pytest.mark.parametrize("pairs", [0, 1], ids=["the first pair of sockets fails", "the second one fails"])
def test_children_that_no_descriptors_can_be_had_for_are_started_later_and_what_waits_runs(
    pairs: int, running: Callable[[int], Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of descriptors for a second: the child that dies meanwhile is replaced once there are some."""
    one = running(1)
    made, refused = [pairs], []
    real = socket.socketpair

    def socketpair(*arguments: Any) -> Any:
        if made[0]:
            made[0] -= 1
            return real(*arguments)
        refused.append(arguments)
        made[0] = pairs
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socketpair", socketpair)
    (pid,) = one.pool.pids
    psutil.Process(pid).kill()
    one.submit(0.0)
    wait_for(lambda: refused, BEGUN_WITHIN)
    wait_for(lambda: one.pool.trouble, BEGUN_WITHIN)
    assert "its processes cannot be started: [Errno 24] Too many open files" in str(one.pool.trouble)
    monkeypatch.setattr(socket, "socketpair", real)
    wait_for(lambda: one.finished, BEGUN_WITHIN, "it runs")
    assert one.pool.trouble is None


def test_the_pause_before_another_child_has_an_end_however_many_died() -> None:
    assert [pause_after(deaths) for deaths in (0, 1, 2)] == [0.5, 1.0, 2.0]
    assert pause_after(5000) == LONGEST_PAUSE


def test_a_task_that_a_worker_made_after_its_processes_is_kept_and_told_of_as_trouble(
    running: Callable[[int], Running], caplog: pytest.LogCaptureFixture
) -> None:
    one = running(1)
    late = app.task(name="held.late")(lambda: None)
    try:
        jobs = [job(delivery("held.late"), decoded=False), job(delivery("held.hold", 0.0), decoded=False)]
        one.link.call_soon(lambda: one.pool.submit(jobs))
        wait_for(lambda: one.finished == jobs[1:], 10, "the other task runs")
        assert one.pool.trouble == "its processes lack tasks that the worker has: held.late"
        assert "lack the task held.late" in caplog.text
        taken: list[Job] = []
        one.link.call_soon(lambda: taken.extend(one.pool.take_back()))
        wait_for(lambda: taken == jobs[:1], 10, "it goes back")
        assert (one.concluded, one.pool.trouble) == ([], None)
    finally:
        del app.tasks[late.name]


def test_a_job_that_a_process_took_and_did_not_begin_goes_to_another_one_uncounted(
    running: Callable[[int], Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = running(1)
    monkeypatch.setattr(one.pool._slots, "has_begun", lambda _slot, _number: False)
    one.submit(0.5)
    one.runs(1)
    os.kill(one.pool.pids[0], signal.SIGKILL)
    wait_for(lambda: len(one.finished) == 1, BEGUN_WITHIN, "it runs elsewhere")
    assert one.concluded == []
    assert one.finished[0].unbegun == 1
