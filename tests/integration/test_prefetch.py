"""The prefetch of a worker follows its tasks: many short ones are held, and no long one waits in vain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from amqptasks import App
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory

SOURCE = """
import os, time
from amqptasks import App

app = App("shop", ignore_result=True)
log = os.open("ran.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

@app.task(name="noop")
def noop():
    pass

@app.task(name="long")
def long(number):
    os.write(log, f"{os.getpid()} {number}\\n".encode())
    time.sleep(0.5)
"""


@pytest.fixture
def app(vhost: Vhost) -> Iterator[App]:
    created = App("calls", vhost.url, ignore_result=True)
    yield created
    created.close()


@pytest.mark.long
def test_prefetch_grows_with_short_tasks_and_long_ones_behind_them_go_to_idle_workers(
    app: App, vhost: Vhost, worker_process: WorkerFactory
) -> None:
    noop, long = app.task(name="noop")(lambda: None), app.task(name="long")(lambda number: None)
    app.declare()
    noop.publish_many(() for _ in range(20_000))
    long.publish_many((number,) for number in range(24))  # at once behind them, while much is held
    worker = worker_process(SOURCE, "-P", "threads", "-c", "2", "-n", "first")
    biggest = 0

    def grown() -> bool:
        nonlocal biggest
        answers = app.control.active_queues(timeout=2.0)
        biggest = max(biggest, *(queues[0].prefetch for queues in answers.values()), 0) if answers else biggest
        return biggest > 50

    wait_for(grown, 30.0, lambda: f"prefetch {biggest}")
    worker_process(None, "-P", "threads", "-c", "2", "-n", "second")
    log = worker_process.folder / "ran.log"

    def lines() -> list[str]:
        return log.read_text().splitlines() if log.exists() else []

    wait_for(lambda: len({line.split()[1] for line in lines()}) == 24, 90.0, lambda: worker.output[-2000:])
    wait_for(lambda: (depth := vhost.management.depth("default")) is not None and not depth.total)
    shares = Counter(line.split()[0] for line in lines())
    assert len(lines()) == 24, "none ran twice"
    assert len(shares) == 2, shares
    assert min(shares.values()) >= 4, shares
    wait_for(lambda: {queues[0].prefetch for queues in app.control.active_queues(timeout=2.0).values()} == {4}, 20.0)


def test_a_prefetch_in_the_topology_is_fixed_and_the_command_line_comes_before_it(
    vhost: Vhost, worker_process: WorkerFactory
) -> None:
    (worker_process.folder / "shop.yaml").write_text("version: 1\nqueues:\n  a: {prefetch: 7}\n  b: {prefetch: 8}\n")
    source = 'from amqptasks import App\napp = App("shop", topology="shop.yaml")\n'
    worker = worker_process(source, "-Q", "a,b:3", "-c", "1")
    (line,) = worker.wait_for_line(r"is ready: .*")
    assert "a (prefetch 7)" in line
    assert "b (prefetch 3)" in line
    assert worker.terminate() == 0
    other = worker_process(None, "--prefetch", "5", "-Q", "a", "-c", "1")
    assert other.wait_for_line(r"a \(prefetch 5\)")
