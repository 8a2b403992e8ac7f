"""Results by id on a real broker, in several processes: kept in a file of SQLite and in streams, written by pools of
each kind, and by workers that are killed between any two steps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from amqptasks import App
from amqptasks.results.address import ENVIRONMENT
from tests.harness.management import Management
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import REPOSITORY, WorkerFactory

SOON = 20.0

SHOP = """
import os, signal
from pathlib import Path
from amqptasks import App
from amqptasks.results.stores import sqlite, stream

app = App("shop")


@app.task(bind=True, track_started=True)
def add(self, x, y):
    with open("ran", "a") as ran:
        ran.write("x")
    self.update_state(state="PROGRESS", meta={"x": x})
    return [x + y, Path("ran").stat().st_size]


@app.task
async def add_async(x, y):
    return x + y


@app.task
def fail():
    raise ValueError("no")


@app.task
def grow():
    return add.delay(1, 1).id


def once(name):
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


KILL = os.environ.get("KILL")


def kill_around(kind):
    write = kind.write

    def killing(self, records):
        final = any(record.final for record in records)
        if final and KILL == "before" and once("killed"):
            os.kill(os.getpid(), signal.SIGKILL)
        write(self, records)
        if final and KILL == "after" and once("killed"):
            os.kill(os.getpid(), signal.SIGKILL)

    kind.write = killing


kill_around(sqlite.SqliteStore)
kill_around(stream.StreamStore)
"""

READER = """
import json, sys
from shop import app
result = app.AsyncResult(sys.argv[1])
value = result.get(timeout=20, propagate=False)
told = [repr(value), result.state, result.name, result.args, result.kwargs, result.retries, result.queue,
        bool(result.date_done), bool(result.worker), [child.id for child in result.children], bool(result.traceback)]
print(json.dumps(told))
app.close()
"""


@pytest.fixture(params=["sqlite", "stream"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return {"sqlite": f"sqlite:///{tmp_path}/results.db", "stream": "stream://?partitions=2"}[request.param]


@pytest.fixture
def app(vhost: Vhost, backend: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    monkeypatch.setenv(ENVIRONMENT, backend)  # for the processes, too
    made = App("caller", vhost.url)
    yield made
    made.close()


def unsettled(management: Management) -> int:
    depth = management.depth("default")
    assert depth is not None
    return depth.ready + depth.unacked


def read_elsewhere(identity: str, worker_process: WorkerFactory) -> list[object]:
    """What another process reads of this id, which knows nothing but the app's module."""
    environment = {**os.environ, "AMQPTASKS_BROKER_URL": worker_process.broker_url, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", READER, identity],
        cwd=worker_process.folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    "pool", ["prefork", pytest.param("threads", marks=pytest.mark.long), pytest.param("solo", marks=pytest.mark.long)]
)
def test_another_process_reads_what_each_pool_stores(app: App, worker_process: WorkerFactory, pool: str) -> None:
    worker_process(SHOP, "-Q", "default", "--pool", pool)
    added = app.send_task("shop.add", (2, 3))
    identity = added.id
    assert added.get(SOON) == [5, 1]
    assert read_elsewhere(identity, worker_process) == [
        "[5, 1]",
        "SUCCESS",
        "shop.add",
        [2, 3],
        {},
        0,
        "default",
        True,
        True,
        [],
        False,
    ]
    failed = read_elsewhere(app.send_task("shop.fail").id, worker_process)
    assert (failed[:3], failed[-1]) == (["ValueError('no')", "FAILURE", "shop.fail"], True)
    assert app.AsyncResult(app.send_task("shop.add_async", (1, 1)).id).get(SOON) == 2
    grown = app.AsyncResult(app.send_task("shop.grow").id)
    assert grown.get(SOON) == grown.children[0].id


@pytest.mark.parametrize(("kill", "runs"), [("before", 2), ("after", 1)])
@pytest.mark.parametrize("pool", ["prefork", pytest.param("threads", marks=pytest.mark.long)])
def test_a_worker_that_is_killed_around_the_write_loses_nothing(
    app: App, worker_process: WorkerFactory, management: Management, kill: str, runs: int, pool: str
) -> None:
    """Killed before the write, the task runs again, and that result is stored. Killed between write and ack, it runs
    again as well, and the first result stays."""
    arguments = ("-Q", "default", "-c", "1", "--pool", pool)
    first = worker_process(SHOP, *arguments, environment={"KILL": kill})
    result = app.AsyncResult(app.send_task("shop.add", (2, 3), task_id="one").id)
    first.wait(SOON)
    worker_process(SHOP, *arguments)
    assert result.get(SOON) == [5, runs]
    wait_for(lambda: (worker_process.folder / "ran").stat().st_size == 2, message="the message came again")
    wait_for(lambda: unsettled(management) == 0, SOON, "it is acknowledged")
    assert app.AsyncResult("one").get(SOON) == [5, runs]
