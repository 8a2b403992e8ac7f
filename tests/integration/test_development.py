"""`worker --watch` runs the new code after a change; `dev` brings all that an app needs; neither leaves a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from amqptasks import App
from amqptasks.dev.brokers import probe
from amqptasks.dev.brokers.installation import find_installation
from amqptasks.dev.watch import STOP_PATIENCE
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory, WorkerProcess

#: Seconds for a change to be seen, a worker to stop and another to be ready, on a busy machine.
AGAIN = 40.0


def shop(answer: str) -> str:
    return f"""
from amqptasks import App
app = App("shop")

@app.task(name="shop.answer")
def answer():
    return {answer}

@app.task(name="shop.sleep")
def sleep():
    import time
    print("asleep", flush=True)
    time.sleep(600)

@app.task(name="shop.nap")
def nap(seconds):
    import time
    print("nodding off", flush=True)
    time.sleep(seconds)
    print("awake", flush=True)
"""


def ask(vhost: Vhost) -> object:
    app = App("asker", vhost.url)
    try:
        return app.send_task("shop.answer").get(timeout=AGAIN)
    finally:
        app.close()


def family(process: WorkerProcess) -> list[psutil.Process]:
    return [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]


def none_is_left(processes: list[psutil.Process]) -> Callable[[], bool]:
    return lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)


def test_a_changed_file_is_run_and_a_broken_one_waited_out(
    vhost: Vhost, worker_process: WorkerFactory, tmp_path: Path
) -> None:
    worker = worker_process(shop("1"), "--watch", "-c", "1")
    assert ask(vhost) == 1
    first = family(worker)[1:]
    (tmp_path / "shop.py").write_text(shop("2"))
    worker.wait_for_line("is ready", AGAIN, count=2)
    assert ask(vhost) == 2
    assert none_is_left(first)()
    (tmp_path / "shop.py").write_text("def broken(:\n")
    worker.wait_for_line("starts again when a file changes", AGAIN)
    (tmp_path / "shop.py").write_text(shop("3"))
    worker.wait_for_line("is ready", AGAIN, count=3)
    assert ask(vhost) == 3
    processes = family(worker)
    assert len(processes) > 2  # watcher, worker, and the worker's own
    worker.signal(signal.SIGINT)
    assert worker.wait(30) == 0
    wait_for(none_is_left(processes), 5, "all have ended")


@pytest.mark.long
def test_many_changes_at_once_are_one_and_files_of_other_kinds_none(
    vhost: Vhost, worker_process: WorkerFactory, tmp_path: Path
) -> None:
    worker = worker_process(shop("1"), "--watch", "-c", "1")
    (tmp_path / "notes.txt").write_text("no program")
    for number in range(30):
        (tmp_path / f"part_{number}.py").write_text("x = 1\n")
    worker.wait_for_line("is ready", AGAIN, count=2)
    assert worker.output.count("starting the worker again") <= 3  # a busy machine may pause between two of the files
    assert "notes.txt" not in worker.output
    assert worker.terminate(30) == 0


@pytest.mark.long
def test_a_task_that_runs_does_not_hold_up_a_restart(
    vhost: Vhost, worker_process: WorkerFactory, tmp_path: Path
) -> None:
    worker = worker_process(shop("1"), "--watch", "-c", "2")
    app = App("asker", vhost.url)
    try:
        app.send_task("shop.sleep")
        worker.wait_for_line("asleep")
    finally:
        app.close()
    (tmp_path / "shop.py").write_text(shop("2"))
    worker.wait_for_line("is ready", AGAIN, count=2)
    assert ask(vhost) == 2
    processes = family(worker)
    worker.signal(signal.SIGINT)
    worker.signal(signal.SIGINT)
    worker.wait(30)
    wait_for(none_is_left(processes), 5, "all have ended")


@pytest.mark.long
@pytest.mark.parametrize("way", ["watch", "dev"])
def test_the_first_ctrl_c_lets_what_runs_end_and_the_second_does_not(
    vhost: Vhost, worker_process: WorkerFactory, way: str
) -> None:
    """What a worker hears once more it takes for a cold stop: it must hear of one Ctrl-C once."""
    app = App("asker", vhost.url, ignore_result=True)

    def nodding_off(seconds: float) -> WorkerProcess:
        (worker_process.folder / "shop.py").write_text(shop("1"))
        options = ["worker", "--watch"] if way == "watch" else ["dev"]
        started = worker_process.command("-A", "shop", *options, "-c", "1", ready=True)
        app.send_task("shop.nap", [seconds], queue="default")
        started.wait_for_line("nodding off")
        return started

    try:
        first = nodding_off(2.0)
        first.signal(signal.SIGINT)
        assert first.wait(30) == 0
        assert "awake" in first.output
        assert vhost.management.ready("default") == 0, "it is acknowledged"
        second = nodding_off(600.0)
        second.signal(signal.SIGINT)
        second.wait_for_line("stopping: 1 task is running")
        began = time.monotonic()
        second.signal(signal.SIGINT)
        assert second.wait(30) == 0
        assert time.monotonic() - began < STOP_PATIENCE - 2
        assert "awake" not in second.output
    finally:
        app.close()


def test_a_wrong_option_ends_the_watch_too(vhost: Vhost, worker_process: WorkerFactory) -> None:
    worker = worker_process(shop("1"), "--watch", "-Q", ",", ready=False)
    assert worker.wait(30) == 2


def test_without_the_extra_it_says_what_to_install(vhost: Vhost, worker_process: WorkerFactory, tmp_path: Path) -> None:
    (tmp_path / "watchfiles.py").write_text("raise ModuleNotFoundError('no watchfiles')\n")
    environment = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    worker = worker_process(shop("1"), "--watch", ready=False, environment=environment)
    assert worker.wait(30) == 1
    assert "pip install 'amqptasks[dev]'" in worker.output


def test_dev_runs_a_worker_that_follows_changes_and_ctrl_c_ends_all(
    vhost: Vhost, worker_process: WorkerFactory, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(shop("1"))
    dev = worker_process.command("-A", "shop", "dev", "-c", "1", ready=True)
    assert "amqptasks | RabbitMQ" in dev.output
    assert ask(vhost) == 1
    (tmp_path / "shop.py").write_text(shop("2"))
    dev.wait_for_line(r"worker    \| .*is ready", AGAIN, count=2)
    assert ask(vhost) == 2
    processes = family(dev)
    assert len(processes) >= 3
    dev.signal(signal.SIGINT)
    assert dev.wait(30) == 0
    wait_for(none_is_left(processes), 5, "all have ended")
    assert dev.output.rstrip().endswith("stopped")
    assert "Traceback" not in dev.output


def test_dev_starts_no_broker_in_place_of_one_that_was_named(worker_process: WorkerFactory, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(shop("1"))
    dev = worker_process.command("-A", "shop", "dev", broker_url="amqp://guest:secret@127.0.0.1:1/")
    assert dev.wait(60) == 3
    assert "does not answer" in dev.output
    assert "secret" not in dev.output


@pytest.mark.long
@pytest.mark.broker
@pytest.mark.kills_broker
@pytest.mark.skipif(find_installation() is None, reason="no rabbitmq-server on this machine")
def test_dev_starts_a_broker_where_there_is_none_and_stops_it(tmp_path: Path) -> None:
    """As on a machine without a server: what others have on localhost is out of sight."""
    (tmp_path / "shop.py").write_text(shop("1"))
    (tmp_path / "alone.py").write_text(
        "import sys\nfrom amqptasks import dial\nfrom amqptasks.dev.brokers import localhost\n"
        "from amqptasks.dev.brokers.running import Absent\n"
        "localhost.find = lambda wish: Absent('localhost', 'out of sight')\n"
        "dial.LOCALHOST = 'amqp://guest:guest@127.0.0.1:1/'\n"
        "from amqptasks.cli import main\nmain()\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "AMQPTASKS_BROKER_URL"}
    environment |= {"XDG_STATE_HOME": str(tmp_path / "state"), "PYTHONUNBUFFERED": "1"}
    dev = WorkerProcess(["-A", "shop", "dev", "-c", "1"], tmp_path, environment, tmp_path / "dev.log", "alone")
    try:
        dev.wait_for_line("is ready", 90)
        (url,) = set(dev.wait_for_line(r"amqp://guest:guest@\S+"))
        probe.version(url)
        processes = family(dev)
        dev.signal(signal.SIGINT)
        assert dev.wait(60) == 0, dev.output
    finally:
        dev.kill()
        subprocess.run([sys.executable, "-m", "amqptasks", "broker", "stop"], env=environment, check=False)
    wait_for(none_is_left(processes), 5, "all have ended")
    with pytest.raises(ConnectionError):
        probe.version(url)
