"""Hooks and signals of tasks that could not run them themselves: killed, crashed, given up, revoked before they ran."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from amqptasks import App
from amqptasks.errors import TaskRevoked, TimeLimitExceeded, WorkerLostError
from tests.harness.management import Management
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory

SOURCE = """
import asyncio, os, time
from amqptasks import App, Task, signals

class Told(Task):
    def on_success(self, value, task_id, args, kwargs):
        say(f"on_success {task_id}")
    def on_failure(self, error, task_id, args, kwargs, info):
        say(f"on_failure {task_id} {type(error).__name__} {args} in {os.getpid()}")
    def after_return(self, state, value, task_id, args, kwargs, info):
        say(f"after_return {task_id} {state}")

app = App("told", task_class=Told)

def say(text):
    os.write(1, (text + "\\n").encode())

@signals.task_failure.connect
def failed(sender, task_id, **named):
    say(f"task_failure {task_id} {sender.name}")

@signals.task_revoked.connect
def revoked(sender, request, terminated, **named):
    say(f"task_revoked {request.id} terminated={terminated}")

@app.task(name="hang", time_limit=0.3)
def hang(word):
    say(f"began {word} in {os.getpid()}")
    time.sleep(1.5)
    say(f"ended {word}")

@app.task(name="swallow", time_limit=0.3)
async def swallow(word):
    say(f"began {word} in {os.getpid()}")
    for _ in range(30):
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            pass
    say(f"ended {word}")

@app.task(name="work")
def work(word):
    say(f"began {word} in {os.getpid()}")
    time.sleep(3)

@app.task(name="die", reject_on_worker_lost=False)
def die(word):
    say(f"began {word} in {os.getpid()}")
    os._exit(3)

class Deadly(Told):
    def on_failure(self, *given):
        say("a hook begins")
        os._exit(4)

class Hanging(Told):
    def on_failure(self, *given):
        say(f"a hook begins")
        time.sleep(300)

@app.task(name="deadly", base=Deadly, reject_on_worker_lost=False)
def deadly():
    os._exit(3)

@app.task(name="hanging", base=Hanging, time_limit=0.3)
def hanging():
    time.sleep(300)

@app.task(name="add")
def add(x, y):
    return x + y

@app.task(name="early", acks_late=False)
def early(word, seconds):
    say(f"began {word}")
    time.sleep(seconds)
    say(f"ended {word}")
    return word

@app.task(name="early-die", acks_late=False)
def early_die():
    say("dies")
    os._exit(3)
"""


@pytest.fixture
def app(vhost: Vhost) -> Iterator[App]:
    made = App("sender", vhost.url)
    yield made
    made.close()


def call(app: App, name: str, *args: Any, **options: Any) -> Any:
    return app.send_task(name, args, **options)


def unacked(management: Management) -> int | None:
    depth = management.depth("default")
    return None if depth is None else depth.unacked


@pytest.mark.parametrize(
    ("pool", "name", "error"),
    [
        ("prefork", "hang", TimeLimitExceeded),
        pytest.param("threads", "hang", TimeLimitExceeded, marks=pytest.mark.long),
        ("threads", "swallow", TimeLimitExceeded),
        ("prefork", "die", WorkerLostError),
    ],
)
def test_hooks_of_a_task_that_was_killed_run_elsewhere_and_once(
    app: App, worker_process: WorkerFactory, pool: str, name: str, error: type[Exception]
) -> None:
    worker = worker_process(SOURCE, "-c", "1", "-P", pool, module="told")
    result = call(app, name, "word")
    with pytest.raises(error):
        result.get(timeout=10)
    (failed,) = worker.wait_for_line(rf"on_failure {result.id} {error.__name__} \('word',\) in \d+")
    (began,) = worker.wait_for_line(r"began word in \d+")
    assert (failed.split()[-1] != began.split()[-1]) == (pool == "prefork"), "in a process that is alive"
    worker.wait_for_line(f"task_failure {result.id} {name}")
    worker.wait_for_line(f"after_return {result.id} FAILURE")
    if pool == "threads":
        worker.wait_for_line("ended word")  # given up, it went on: what it returns interests nobody
    assert call(app, "add", 2, 3).get(timeout=10) == 5
    assert worker.terminate() == 0
    assert worker.output.count("after_return " + result.id) == 1
    assert "on_success " + result.id not in worker.output


@pytest.mark.parametrize("pool", ["prefork", pytest.param("threads", marks=pytest.mark.long)])
def test_who_is_revoked_while_it_runs_is_told_of(app: App, worker_process: WorkerFactory, pool: str) -> None:
    worker = worker_process(SOURCE, "-c", "1", "-P", pool, module="told")
    result = call(app, "work", "word")
    worker.wait_for_line("began word")
    (answer,) = app.control.revoke(result.id, terminate=True, signal="KILL").values()
    assert answer == {"dropped": 0, "terminated": 1}
    with pytest.raises(TaskRevoked):
        result.get(timeout=10)
    worker.wait_for_line(f"task_revoked {result.id} terminated=True")
    worker.wait_for_line(f"after_return {result.id} REVOKED")
    assert f"on_failure {result.id}" not in worker.output, "it did not fail"


@pytest.mark.parametrize("pool", ["prefork", pytest.param("threads", marks=pytest.mark.long)])
def test_who_is_revoked_before_it_runs_is_told_of(app: App, worker_process: WorkerFactory, pool: str) -> None:
    worker = worker_process(SOURCE, "-c", "1", "-P", pool, module="told")
    first = call(app, "work", "word")
    worker.wait_for_line("began word")
    waits = call(app, "work", "never")
    later = call(app, "work", "never", task_id="to-come")
    app.control.revoke(waits.id)
    app.control.revoke(first.id, terminate=True, signal="KILL")
    app.control.revoke("known-before")
    known = call(app, "work", "never", task_id="known-before")
    app.control.revoke(later.id, terminate=True, signal="KILL")
    for result in (waits, known, later):
        with pytest.raises(TaskRevoked):
            result.get(timeout=10)
    worker.wait_for_line(f"task_revoked {waits.id} terminated=False")
    worker.wait_for_line("task_revoked known-before terminated=False")
    assert f"after_return {waits.id}" not in worker.output, "it did not run"


def test_a_worker_that_stops_runs_the_hooks_first(app: App, worker_process: WorkerFactory) -> None:
    worker = worker_process(SOURCE, "-c", "1", "--prefetch", "10", module="told")
    busy = call(app, "work", "busy")
    waits = [call(app, "work", "never") for _ in range(3)]
    worker.wait_for_line("began busy")
    for result in waits:
        app.control.revoke(result.id)
    worker.signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert busy.get(timeout=5) is None
    for result in waits:
        assert f"task_revoked {result.id}" in worker.output


@pytest.mark.parametrize("name", ["deadly", "hanging"])
def test_hooks_that_kill_their_process_or_hang_are_ended_and_not_run_again(
    app: App, worker_process: WorkerFactory, name: str
) -> None:
    worker = worker_process(SOURCE, "-c", "1", module="told")
    with pytest.raises((WorkerLostError, TimeLimitExceeded)):
        call(app, name).get(timeout=10)
    worker.wait_for_line("a hook begins")
    assert call(app, "add", 2, 3).get(timeout=10) == 5
    assert worker.terminate() == 0
    assert worker.output.count("a hook begins") == 1


@pytest.mark.parametrize("pool", ["prefork", pytest.param("threads", marks=pytest.mark.long)])
def test_a_task_with_acks_late_false_is_acknowledged_when_it_begins(
    app: App, worker_process: WorkerFactory, management: Management, pool: str
) -> None:
    worker = worker_process(SOURCE, "-c", "1", "-P", pool, "--prefetch", "5", module="told")
    assert call(app, "early", "first", 0).get(timeout=10) == "first"
    call(app, "early", "long", 60)
    worker.wait_for_line("began long")
    call(app, "early", "waits", 0)
    wait_for(lambda: unacked(management) == 1, 10, "what runs is acknowledged, what waits is not")
    worker.kill()
    again = worker_process(None, "-c", "1", "-P", pool, module="told")
    again.wait_for_line("ended waits")
    assert "began long" not in again.output, "it was acknowledged: nobody has it any more"


@pytest.mark.parametrize("pool", ["prefork", pytest.param("threads", marks=pytest.mark.long)])
def test_a_task_with_acks_late_false_that_is_killed_at_its_limit_is_acknowledged_once(
    app: App, worker_process: WorkerFactory, pool: str
) -> None:
    """Twice, and the broker closes the channel, with all that it delivered."""
    worker = worker_process(SOURCE, "-c", "1", "-P", pool, module="told")
    with pytest.raises(TimeLimitExceeded):
        call(app, "early", "long", 1.5, time_limit=0.3).get(timeout=10)
    assert call(app, "add", 2, 3).get(timeout=10) == 5
    assert worker.terminate() == 0
    assert "deliveries are lost" not in worker.output


def test_a_task_with_acks_late_false_whose_process_dies_is_a_dead_letter(
    app: App, worker_process: WorkerFactory, management: Management
) -> None:
    worker = worker_process(SOURCE, "-c", "1", module="told")
    with pytest.raises(WorkerLostError, match="status 3"):
        call(app, "early-die").get(timeout=10)
    assert worker.output.splitlines().count("dies") == 1
    wait_for(lambda: management.ready("default.dead") == 1)
