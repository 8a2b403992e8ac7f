"""Results by id on a real broker, in several processes: kept in each kind of store, written by pools of each kind, and
by workers that are killed between any two steps. Stores on servers are for `make test-stores`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amqptasks import App, GroupResult
from amqptasks.errors import TaskRevoked
from amqptasks.results.address import ENVIRONMENT
from tests.harness.management import Management
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import REPOSITORY, WorkerFactory
from tests.stores.servers import SERVERS, server_of

__all__ = ["server_of"]

SOON = 20.0

SHOP = """
import os, signal
from pathlib import Path
from amqptasks import App
from amqptasks.results.stores import redis, s3, sql, sqlite, stream

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


for kind in (sqlite.SqliteStore, stream.StreamStore, sql.SqlStore, redis.RedisStore, s3.S3Store):
    kill_around(kind)
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


ON_SERVERS = [pytest.param(name, marks=pytest.mark.stores) for name in SERVERS]


@pytest.fixture(params=["sqlite", "stream", *ON_SERVERS])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param in SERVERS:
        url: str = request.getfixturevalue("server_of")(request.param).url
        return url
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
    """What another process reads of this id."""
    return run_elsewhere(READER, worker_process, identity)


def run_elsewhere(program: str, worker_process: WorkerFactory, *arguments: str) -> list[Any]:
    """What another process prints, which knows nothing but the app's module."""
    environment = {**os.environ, "AMQPTASKS_BROKER_URL": worker_process.broker_url, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=worker_process.folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
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


STRANGER = """
import json, sys, threading
from amqptasks import GroupResult, ResultSet
from shop import app

first, second, group, waiting = sys.argv[1:]
seen = []
one = app.AsyncResult(first)
called_back = threading.Event()
one.then(lambda result: (seen.append(result.id), called_back.set()), lambda result: called_back.set())
collected = [(result.id, value) for result, value in one.collect(20)]
found = GroupResult.restore(group, app=app)
both = ResultSet([one, app.AsyncResult(second)])
app.AsyncResult(waiting).revoke()
called_back.wait(20)
told = [collected, seen, one.children[0].parent.id, [result.id for result in found], found.join(20)]
told += [found.completed_count(), both.get(20), sorted(result.id for result in both.iter(20)), both.ready()]
told += [both.successful(), both.failed(), both.waiting()]
told += [[one.ready(), one.successful(), one.failed(), one.status, one.info == one.result, one.traceback]]
print(json.dumps(told))
app.close()
"""


def test_another_process_does_with_results_what_their_caller_does(app: App, worker_process: WorkerFactory) -> None:
    gone = app.send_task("shop.add", (9, 9), queue="default")
    gone.revoke()
    worker_process(SHOP, "-Q", "default", "--pool", "prefork")
    group = GroupResult(results=[app.send_task("shop.grow"), app.send_task("shop.add_async", (1, 1))])
    child = group[0].get(SOON)
    assert group[1].get(SOON) == 2
    with pytest.raises(TaskRevoked):
        gone.get(SOON)
    group.save(app)
    waiting = app.send_task("shop.add", (5, 5), countdown=3600)
    first, second = group[0].id, group[1].id
    collected, seen, parent, ids, *rest = run_elsewhere(STRANGER, worker_process, first, second, group.id, waiting.id)
    assert (collected[0], collected[1][0], seen, parent, ids) == (
        [first, child],
        child,
        [first],
        first,
        [first, second],
    )
    values = [child, 2]
    assert rest == [
        values,
        2,
        values,
        sorted(ids),
        True,
        True,
        False,
        False,
        [True, True, False, "SUCCESS", True, None],
    ]


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
