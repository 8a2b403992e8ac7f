"""A task that kills its process takes no neighbour along into the dead letters: in the end it runs alone."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import closing

import pytest

from amqptasks import App
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory

SOURCE = """
import asyncio, os, time
from amqptasks import App

app = App("shop", topology="shop.yaml", ignore_result=True)
log = os.open("ran.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

def note(word, number):
    os.write(log, f"{word} {number}\\n".encode())

@app.task(name="poison")
def poison(number):
    note("poison", number)
    os._exit(3)

@app.task(name="nap")
def nap(number, seconds):
    note("began", number)
    time.sleep(seconds)
    note("ended", number)

@app.task(name="apoison")
async def apoison(number):
    poison(number)

@app.task(name="anap")
async def anap(number, seconds):
    note("began", number)
    await asyncio.sleep(seconds)
    note("ended", number)
"""

TOPOLOGY = "version: 1\nqueues:\n  default: {delivery_limit: LIMIT}\n"

#: Seconds without a new line of a task or of its worker that are a failure: a worker that died begins again meanwhile.
STILL = 25.0

#: Of so many poisons one may be a dead letter twice.
TWICE = 5

OPTIONS = {
    "threads": ("-P", "threads", "-c", "4"),
    "async": ("-P", "threads", "-c", "4"),
    "solo": ("-P", "solo"),
    "prefork": ("-P", "prefork", "-c", "2"),
}


def ran(
    vhost: Vhost,
    worker_process: WorkerFactory,
    pool: str,
    *,
    limit: int,
    poisons: int,
    innocents: int,
    seconds: float,
) -> Counter[str]:
    """Have so many tasks of both kinds run to their end; the lines that they wrote, and how often."""
    topology = worker_process.folder / "shop.yaml"
    topology.write_text(TOPOLOGY.replace("LIMIT", str(limit)))
    worker = worker_process(SOURCE, *OPTIONS[pool], "--processes", "2", ready=False)
    worker.wait_for_line("is ready", 40.0, count=2)
    prefix, every = "a" if pool == "async" else "", innocents // poisons
    with closing(App("calls", vhost.url, topology=topology)) as app:
        for number in range(innocents):
            if number % every == every // 2:
                app.send_task(f"{prefix}poison", [number // every])
            app.send_task(f"{prefix}nap", [number, seconds])
    log = worker_process.folder / "ran.log"
    seen, since = (-1, -1), time.monotonic()

    def over() -> bool:
        nonlocal seen, since
        lines = log.read_text().splitlines() if log.exists() else []
        now = len(lines), len(worker.output)
        if now != seen:
            seen, since = now, time.monotonic()
        if time.monotonic() - since > STILL:
            depths = [vhost.management.depth(queue) for queue in ("default", "default.dead")]
            pytest.fail(f"nothing runs any more: {lines}, {depths}\n{worker.output}")
        ended = {line for line in lines if line.startswith("ended")}
        return len(ended) == innocents and vhost.management.ready("default.dead") >= poisons

    wait_for(over, 900.0, lambda: worker.output[-3000:])
    assert worker.terminate() == 0
    wait_for(lambda: (depth := vhost.management.depth("default")) is not None and not depth.total)
    return Counter(log.read_text().splitlines())


def letters(worker_process: WorkerFactory) -> list[dict[str, object]]:
    listed = worker_process.command("dead", "list", "default", "--json")
    assert listed.wait(30.0) == 0
    return [json.loads(line) for line in listed.output.splitlines()]


def judge(found: Counter[str], worker_process: WorkerFactory, *, poisons: int, most_runs: int) -> None:
    """A process that dies after a letter was stored and before its message was acknowledged leaves a second letter. One
    poison can do that to another."""
    dead = letters(worker_process)
    assert {letter["args"][0] for letter in dead} == set(range(poisons))  # type: ignore[index]
    assert len(dead) <= poisons + poisons // TWICE
    assert all(str(letter["task"]).endswith("poison") for letter in dead)
    runs = [found[f"poison {number}"] for number in range(poisons)]
    assert all(1 <= times <= most_runs for times in runs), runs


def test_a_task_that_kills_its_process_is_the_only_dead_letter(vhost: Vhost, worker_process: WorkerFactory) -> None:
    # With a limit of 2, an innocent message may use up both before RabbitMQ 4.3. There it counts a delivery that was on
    # its way to a consumer when that was cancelled, and a worker cancels its consumer before a message runs alone.
    found = ran(vhost, worker_process, "threads", limit=3, poisons=1, innocents=10, seconds=0.3)
    judge(found, worker_process, poisons=1, most_runs=4)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("pool", OPTIONS)
def test_ten_tasks_that_kill_their_process_among_two_hundred_are_the_only_dead_letters(
    vhost: Vhost, worker_process: WorkerFactory, pool: str
) -> None:
    found = ran(vhost, worker_process, pool, limit=3, poisons=10, innocents=200, seconds=0.05)
    judge(found, worker_process, poisons=10, most_runs=5)
    twice = sum(found[f"began {number}"] - 1 for number in range(200))
    print(f"{pool}: {twice} of 200 began once more")


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("limit", [1, 20])
def test_a_neighbour_of_a_poison_task_survives_whatever_the_delivery_limit_is(
    vhost: Vhost, worker_process: WorkerFactory, limit: int
) -> None:
    found = ran(vhost, worker_process, "threads", limit=limit, poisons=1, innocents=12, seconds=0.3)
    judge(found, worker_process, poisons=1, most_runs=max(3, limit + 1))
