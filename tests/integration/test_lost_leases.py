"""A lost connection takes back what its worker has not begun: that runs once, where the broker gives it next. A task
that runs goes on, and its redelivery is its new lease."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from amqptasks import App
from tests.harness.proxy import Proxy
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory

SOURCE = """
import asyncio, os, time
from amqptasks import App
app = App("leases", ignore_result=True)

def say(text):
    os.write(1, (text + "\\n").encode())

@app.task(name="hold", bind=True)
def hold(self):
    say(f"began hold {self.request.lease_lost}")
    until = time.monotonic() + 60
    while not self.request.lease_lost and not os.path.exists("gate") and time.monotonic() < until:
        time.sleep(0.01)
    say(f"held {self.request.lease_lost}")
    while not os.path.exists("gate") and time.monotonic() < until:
        time.sleep(0.01)

@app.task(name="ahold", bind=True)
async def ahold(self):
    say(f"began hold {self.request.lease_lost}")
    until = time.monotonic() + 60
    while not self.request.lease_lost and not os.path.exists("gate") and time.monotonic() < until:
        await asyncio.sleep(0.01)
    say(f"held {self.request.lease_lost}")
    while not os.path.exists("gate") and time.monotonic() < until:
        await asyncio.sleep(0.01)

def wait_for_file(name):
    until = time.monotonic() + 60
    while not os.path.exists(name) and time.monotonic() < until:
        time.sleep(0.01)

@app.task(name="steady")
def steady(name):
    say(f"began {name}")
    wait_for_file(name)
    say(f"ended {name}")

@app.task(name="asteady")
async def asteady(name):
    say(f"began {name}")
    await asyncio.to_thread(wait_for_file, name)
    say(f"ended {name}")

@app.task(name="note")
def note(number):
    say(f"ran {number}")

@app.task(name="anote")
async def anote(number):
    say(f"ran {number}")
"""

#: Tasks that wait behind the one that runs: as many as a busy process is sent ahead.
WAITING = 7


@pytest.mark.parametrize(
    "pool",
    ["prefork", "async", pytest.param("threads", marks=pytest.mark.long), pytest.param("solo", marks=pytest.mark.long)],
)
def test_what_had_not_begun_when_the_connection_was_lost_runs_once(
    vhost: Vhost, proxy: Proxy, tmp_path: Path, worker_process: WorkerFactory, pool: str
) -> None:
    prefix = "a" if pool == "async" else ""
    with closing(App("sender", vhost.url, ignore_result=True)) as sender:
        sender.declare()
        sender.send_task(f"{prefix}hold")
        for number in range(WAITING):
            sender.send_task(f"{prefix}note", (number,))
    kind = "threads" if pool == "async" else pool
    concurrency = ("--async-concurrency", "1") if pool == "async" else ()
    worker = worker_process(
        SOURCE, "-P", kind, "-c", "1", *concurrency, "--prefetch", "20", module="leases", broker_url=proxy.url
    )
    worker.wait_for_line("(?m)^began hold False$")
    wait_for(lambda: _held(vhost) == WAITING + 1, 20, lambda: f"{_held(vhost)} are held")
    assert "ran " not in worker.output, "they wait behind the one that runs"
    assert proxy.cut() >= 1
    worker.wait_for_line("deliveries are lost", 20)
    worker.wait_for_line("(?m)^held True$", 20)
    (tmp_path / "gate").touch()

    def ran() -> Counter[str]:
        return Counter(re.findall(r"(?m)^ran \d+$", worker.output))

    wait_for(lambda: len(ran()) == WAITING, 30, lambda: worker.output)
    worker.wait_for_line("(?m)^held ", 30, count=2)
    assert worker.terminate() == 0
    assert ran() == Counter({f"ran {number}": 1 for number in range(WAITING)})


@pytest.mark.parametrize(
    "pool",
    ["prefork", "async", pytest.param("threads", marks=pytest.mark.long), pytest.param("solo", marks=pytest.mark.long)],
)
def test_a_task_that_runs_while_the_connection_is_lost_runs_once(
    vhost: Vhost, proxy: Proxy, tmp_path: Path, worker_process: WorkerFactory, pool: str
) -> None:
    """Its message comes again while it runs, or after its end: its outcome counts."""
    task = "asteady" if pool == "async" else "steady"
    with closing(App("sender", vhost.url, ignore_result=True)) as sender:
        sender.declare()
        kind = "threads" if pool == "async" else pool
        worker = worker_process(SOURCE, "-P", kind, "-c", "1", module="leases", broker_url=proxy.url)
        sender.send_task(task, ("cut",))
        worker.wait_for_line("(?m)^began cut$")
        assert proxy.cut() >= 1
        worker.wait_for_line("delivered again while it runs", 20)
        (tmp_path / "cut").touch()
        worker.wait_for_line(rf"{task}\[\S+\] succeeded", 20)
        sender.send_task(task, ("away",))
        worker.wait_for_line("(?m)^began away$")
        proxy.refuse()
        worker.wait_for_line("deliveries are lost", 20, count=2)
        (tmp_path / "away").touch()
        worker.wait_for_line("(?m)^ended away$", 20)
        proxy.accept()
        worker.wait_for_line(rf"{task}\[\S+\] succeeded", 20, count=2)
    wait_for(lambda: vhost.management.ready("default") == 0 and _held(vhost) == 0, 20, "all is settled")
    assert worker.terminate() == 0
    assert Counter(re.findall(r"(?m)^began \S+$", worker.output)) == Counter({"began cut": 1, "began away": 1})


def _held(vhost: Vhost) -> int:
    found = vhost.management.queue("default") or {}
    return int(found.get("messages_unacknowledged", 0))
