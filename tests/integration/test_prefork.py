"""The pool of processes: a task may hang, crash or leak, and nobody else pays for it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from amqptasks import App
from amqptasks.errors import TimeLimitExceeded, WorkerLostError
from tests.harness.command import run_command
from tests.harness.management import Management
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory

SOURCE = """
import ctypes, os, re, signal, subprocess, time
from amqptasks import App
app = App("prefork", topology="prefork.yaml" if os.path.exists("prefork.yaml") else None)

def say(text):
    os.write(1, (text + "\\n").encode())

@app.task(name="pid")
def pid():
    return os.getpid()

@app.task(name="size")
def size(text):
    return text + text

@app.task(name="die", bind=True)
def die(self, how):
    say(f"dies {self.request.delivery_count}")
    time.sleep(0.05)
    os.kill(os.getpid(), getattr(signal, how))

@app.task(name="die-once-for-all", reject_on_worker_lost=False)
def die_once():
    say("dies for all")
    os._exit(3)

@app.task(name="work", bind=True)
def work(self, word, seconds):
    say(f"began {word} {self.request.delivery_count}")
    time.sleep(seconds)
    say(f"ended {word}")
    return self.request.delivery_count

@app.task(name="pause", time_limit=0.5)
def pause():
    while True:
        ctypes.CDLL(None).pause()

@app.task(name="backtrack", time_limit=0.5)
def backtrack():
    re.match(r"(a+)+$", "a" * 60 + "b")

@app.task(name="leaves-another", time_limit=0.5)
def leaves_another():
    process = subprocess.Popen(["sleep", "300"])
    say(f"another {process.pid}")
    process.wait()

hoard = []

@app.task(name="leak")
def leak():
    hoard.append(os.urandom(30_000_000))
    return os.getpid()

@app.task(name="thread")
def thread():
    import threading
    return threading.active_count()

@app.task(name="publishes")
def publishes():
    return work.apply_async(("from a child", 0), countdown=0.1, ignore_result=True).id

@app.task(name="here", pool="threads")
def here():
    return os.getpid()
"""


@pytest.fixture
def app(vhost: Vhost) -> Iterator[App]:
    made = App("sender", vhost.url)
    yield made
    made.close()


def call(app: App, name: str, *args: Any, **options: Any) -> Any:
    return app.send_task(name, args, **options)


def letters(app: App, count: int, queue: str = "default.dead") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def enough() -> bool:
        with app.session() as session:
            for letter in session.take(queue, count - len(found)):
                found.append(dict(letter.properties.headers or {}))
                session.ack(letter)
        return len(found) == count

    wait_for(enough, 20, lambda: f"{len(found)} of {count}", every=0.2)
    return found


def test_tasks_run_in_processes_below_the_node_with_one_thread_each(app: App, worker_process: WorkerFactory) -> None:
    worker = worker_process(SOURCE, "-c", "2", module="prefork")
    pids = {call(app, "pid").get(timeout=10) for _ in range(20)}
    below = {child.pid for child in psutil.Process(worker.pid).children(recursive=True)}
    assert pids <= below
    assert worker.pid not in pids
    assert call(app, "thread").get(timeout=10) == 1
    assert call(app, "here").get(timeout=10) == worker.pid, "its own option says threads"


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_every_start_method_runs_tasks_and_replaces_what_died(
    app: App, worker_process: WorkerFactory, method: str
) -> None:
    worker_process(SOURCE, "-c", "1", "--start-method", method, module="prefork")
    first = call(app, "pid").get(timeout=20)
    with pytest.raises(WorkerLostError, match="ended by itself with status 3"):
        call(app, "die-once-for-all").get(timeout=20)
    assert call(app, "pid").get(timeout=20) != first


def test_arguments_and_results_of_a_megabyte_pass(app: App, worker_process: WorkerFactory) -> None:
    worker_process(SOURCE, "-c", "2", module="prefork")
    results = [call(app, "size", "x" * length) for length in (65_000, 70_000, 1_000_000, 10)]
    assert [len(result.get(timeout=20)) for result in results] == [130_000, 140_000, 2_000_000, 20]


def test_a_task_publishes_from_its_process(app: App, worker_process: WorkerFactory) -> None:
    worker = worker_process(SOURCE, "-c", "2", module="prefork")
    assert call(app, "publishes").get(timeout=20)
    worker.wait_for_line("ended from a child")


@pytest.mark.parametrize("type", ["quorum", "classic"])
def test_a_task_that_kills_its_process_ends_as_a_dead_letter_and_costs_nobody_an_attempt(
    vhost: Vhost, tmp_path: Path, worker_process: WorkerFactory, type: str
) -> None:
    topology = tmp_path / "prefork.yaml"
    topology.write_text(f"version: 1\nqueues: {{default: {{type: {type}, delivery_limit: 3}}}}\n")
    app = App("sender", vhost.url, topology=str(topology))
    worker = worker_process(SOURCE, "-c", "2", "--prefetch", "30", module="prefork")
    deadly = call(app, "die", "SIGSEGV")
    others = [call(app, "work", f"word-{number}", 0.02) for number in range(60)]
    with pytest.raises(WorkerLostError, match="killed by SIGSEGV, in run 3 of 3"):
        deadly.get(timeout=20)
    assert [result.get(timeout=20) for result in others] == [0] * 60, "delivered once each"
    assert worker.output.count("dies ") == 3
    assert worker.output.count("began ") == 60
    (letter,) = letters(app, 1)
    assert letter["x-amqptasks-exception"] == "amqptasks.errors.WorkerLostError"
    assert "SIGSEGV" in letter["x-amqptasks-detail"]
    assert "x-amqptasks-deliveries" not in letter
    app.close()


def test_what_runs_beside_a_crash_goes_on(app: App, worker_process: WorkerFactory) -> None:
    worker = worker_process(SOURCE, "-c", "2", "--prefetch", "10", module="prefork")
    beside = call(app, "work", "beside", 1.5)
    worker.wait_for_line("began beside 0")
    with pytest.raises(WorkerLostError):
        call(app, "die-once-for-all").get(timeout=10)
    assert beside.get(timeout=10) == 0
    assert worker.output.count("dies for all") == 1, "it says itself that it is not to run again"


@pytest.mark.parametrize("name", ["pause", "backtrack"])
def test_a_task_that_hangs_in_c_code_is_killed_within_a_second_of_its_limit(
    app: App, worker_process: WorkerFactory, name: str
) -> None:
    worker_process(SOURCE, "-c", "1", module="prefork")
    call(app, "pid").get(timeout=10)
    began = time.monotonic()
    with pytest.raises(TimeLimitExceeded, match=r"0\.5 s"):
        call(app, name).get(timeout=10)
    assert time.monotonic() - began < 1.5
    (letter,) = letters(app, 1)
    assert letter["x-amqptasks-exception"] == "amqptasks.errors.TimeLimitExceeded"
    assert call(app, "pid").get(timeout=10)


def test_what_a_killed_task_started_dies_with_it(app: App, worker_process: WorkerFactory) -> None:
    worker = worker_process(SOURCE, "-c", "1", module="prefork")
    with pytest.raises(TimeLimitExceeded):
        call(app, "leaves-another").get(timeout=10)
    (line,) = worker.wait_for_line(r"another \d+")
    wait_for(lambda: not alive(int(line.split()[1])), 5)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("who", ["node", "forker"])
def test_no_process_outlives_who_answers_for_it(app: App, worker_process: WorkerFactory, who: str) -> None:
    worker = worker_process(SOURCE, "-c", "2", module="prefork")
    result = call(app, "work", "word", 3.0)
    worker.wait_for_line("began word")
    (fork_server,) = psutil.Process(worker.pid).children()
    children = [child.pid for child in fork_server.children()]
    assert len(children) == 2
    os.kill(worker.pid if who == "node" else fork_server.pid, signal.SIGKILL)
    wait_for(lambda: not any(alive(pid) for pid in children), 5)
    if who == "node":
        assert worker.wait(5) == -signal.SIGKILL
        worker_process(None, "-c", "2", module="prefork")
    assert result.get(timeout=30) >= 1, "somebody else ran it, and it says so"
    assert call(app, "pid").get(timeout=10)


def test_signals_to_the_whole_group_end_no_running_task(app: App, worker_process: WorkerFactory) -> None:
    """As service managers and terminals send them."""
    worker = worker_process(SOURCE, "-c", "2", module="prefork")
    result = call(app, "work", "word", 1.0)
    worker.wait_for_line("began word")
    for process in psutil.Process(worker.pid).children(recursive=True):
        process.terminate()
    assert worker.terminate() == 0
    assert "ended word" in worker.output
    assert result.get(timeout=5) == 0


def test_a_child_is_renewed_after_so_many_tasks(app: App, worker_process: WorkerFactory) -> None:
    worker_process(SOURCE, "-c", "1", "--max-tasks-per-child", "5", "--prefetch", "20", module="prefork")
    results = [call(app, "pid") for _ in range(23)]
    pids = [result.get(timeout=20) for result in results]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [5, 5, 5, 5, 3]


def test_a_child_that_grew_is_renewed(app: App, worker_process: WorkerFactory) -> None:
    worker = worker_process(SOURCE, "-c", "1", "--max-memory-per-child", "100000", module="prefork")
    pids = [call(app, "leak").get(timeout=10) for _ in range(8)]
    assert 2 <= len(set(pids)) <= 4
    assert "is renewed" in worker.output


def test_processes_are_renewed_on_request_and_what_runs_is_finished_in_the_old_one(
    app: App, worker_process: WorkerFactory
) -> None:
    worker = worker_process(SOURCE, "-c", "1", module="prefork")
    old = call(app, "pid").get(timeout=10)
    running = call(app, "work", "beside", 1.0)
    worker.wait_for_line("began beside 0")
    assert list(app.control.pool_restart(timeout=5.0).errors) == []
    assert call(app, "pid").get(timeout=10) != old
    assert running.get(timeout=10) == 0
    wait_for(lambda: not alive(old), 5, "the old one has ended")


def test_a_queue_has_the_pool_that_it_was_given(app: App, worker_process: WorkerFactory) -> None:
    worker = worker_process(SOURCE, "-Q", "default,waits", "--pool-for", "waits=threads", module="prefork")
    assert call(app, "pid", queue="waits").get(timeout=10) == worker.pid
    assert call(app, "pid", queue="default").get(timeout=10) != worker.pid


def test_the_number_of_processes_follows_the_demand(app: App, worker_process: WorkerFactory) -> None:
    worker = worker_process(SOURCE, "--autoscale", "4,1", module="prefork")
    (fork_server,) = psutil.Process(worker.pid).children()
    wait_for(lambda: len(fork_server.children()) == 1)
    results = [call(app, "work", f"word-{number}", 1.0) for number in range(10)]
    wait_for(lambda: len(fork_server.children()) == 4, 10)
    assert [result.get(timeout=20) for result in results] == [0] * 10


@pytest.mark.long
def test_a_worker_is_told_to_follow_the_demand(
    app: App, worker_process: WorkerFactory, vhost: Vhost, tmp_path: Path
) -> None:
    worker = worker_process(SOURCE, "-c", "4", module="prefork")
    (fork_server,) = psutil.Process(worker.pid).children()
    wait_for(lambda: len(fork_server.children()) == 4)
    done = run_command("--broker", vhost.url, "control", "autoscale", "2", "1", url=None, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 to 2 processes" in done.stdout
    wait_for(lambda: len(fork_server.children()) == 2, 10, "there are no more than may be")
    (answer,) = app.control.autoscale(3, 2, timeout=5.0).values()
    assert answer == "2 to 3 processes"
    results = [call(app, "work", f"word-{number}", 1.0) for number in range(8)]
    wait_for(lambda: len(fork_server.children()) == 3, 10, "one more for the demand")
    assert [result.get(timeout=20) for result in results] == [0] * 8
    (grown,) = app.control.pool_grow(1, timeout=5.0).values()
    assert grown == 4
    assert "from 1 to 1024 tasks" in next(iter(app.control.pool_grow(2000, timeout=5.0).errors.values()))
    for most, least in ((1, 2), (0, 0), (5000, 1)):
        assert "from 1 to 1024" in next(iter(app.control.autoscale(most, least).errors.values()))


@pytest.mark.long
def test_a_lost_child_is_replaced_and_everything_runs(
    app: App, worker_process: WorkerFactory, management: Management
) -> None:
    """Children are killed at random while a thousand tasks run: none is lost, and twice runs what was hit."""
    worker = worker_process(SOURCE, "-c", "3", "--prefetch", "60", module="prefork")
    results = [call(app, "work", f"word-{number}", 0.005) for number in range(1000)]
    (fork_server,) = psutil.Process(worker.pid).children()
    kills = kill_children(fork_server, 15)
    for result in results:
        result.get(timeout=60)
    began = worker.output.count("began ")
    assert 1000 <= began <= 1000 + kills
    assert management.ready("default.dead") == 0


def kill_children(fork_server: psutil.Process, times: int) -> int:
    """SIGKILL to one child after the other; how many were hit."""
    hit = 0
    for number in range(times):
        children = fork_server.children()
        if children:
            children[number % len(children)].kill()
            hit += 1
        time.sleep(0.1)
    return hit


@pytest.mark.parametrize("stops", [True, False])
def test_memory_descriptors_and_threads_stay_as_they_are(app: App, worker_process: WorkerFactory, stops: bool) -> None:
    """Hundreds of children that came and went leave nothing behind in the node."""
    worker = worker_process(SOURCE, "-c", "2", "--max-tasks-per-child", "3", "--prefetch", "50", module="prefork")
    for _ in range(20):
        call(app, "pid").get(timeout=20)
    node = psutil.Process(worker.pid)
    before = held(node)
    results = [call(app, "pid") for _ in range(150)]
    pids = {result.get(timeout=30) for result in results}
    assert len(pids) >= 50
    wait_for(lambda: held(node) <= before, 10, lambda: f"{before} before, {held(node)} after")
    if stops:
        assert worker.terminate() == 0
        assert not any(alive(pid) for pid in pids)


def held(process: psutil.Process) -> int:
    return process.num_fds() + process.num_threads()
