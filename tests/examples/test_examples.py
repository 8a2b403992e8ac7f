"""Each example as its first lines say, on a real broker; what it prints is checked."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.harness.vhost import Vhost
from tests.harness.worker_process import REPOSITORY, WorkerFactory

EXAMPLES = REPOSITORY / "examples"

#: An example's folder is on the path of whoever runs it there.
HERE = {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{EXAMPLES}"}

PRINTED = {
    "hello": ["5"],
    "shop": [
        "newsletter for ada@example.org",
        "newsletter for grace@example.org",
        "reset link for alan@example.org",
        "report of 2026-05",
        "order 1: charged 25 on attempt 2",
    ],
    "service": ["prices: [10, 20, 30, 40, 50]", "half a second later: 70"],
    "retries": [
        "https://example.org answered on attempt 3",
        "waited half a second, then one: True",
        "given up: https://example.com does not answer",
        "in default.dead: retries.give_up, builtins.ConnectionError, 2 attempts",
    ],
    "tenants": [f"2026-05 in {tenant}.reports" for tenant in ("acme", "globex", "initech")],
    "from_celery": ["2 + 3 = 5", "attempt 2"],
    "high_availability": [
        *(f"order {number} placed" for number in (1, 2, 3)),
        "3 nodes hold each queue, where there are so many",
    ],
    "many": ["2000 published, each confirmed", f"sum of squares: {sum(number * number for number in range(2000))}"],
}

#: What the examples that need a worker beside them start it with.
WORKERS = {
    "hello": ("-Q", "default", "-c", "4", "-P", "threads"),
    "shop": ("-Q", "emails,payments,reports,stock"),
}


def run(name: str, url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, f"{name}.py"],
        cwd=EXAMPLES,
        env={**os.environ, **HERE, "AMQPTASKS_BROKER_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_example_is_run() -> None:
    assert {file.stem for file in EXAMPLES.glob("*.py")} == PRINTED.keys()


def test_every_ready_topology_is_used_by_an_example() -> None:
    text = "".join(file.read_text() for file in EXAMPLES.glob("*.py"))
    ready = {file.name for file in (REPOSITORY / "topology").glob("*.yaml")}
    assert {name for name in ready if f'"{name}"' not in text} == set()


@pytest.mark.parametrize("name", sorted(PRINTED.keys() - WORKERS.keys()))
def test_an_example_that_brings_its_worker_prints_what_it_should(name: str, vhost: Vhost) -> None:
    ended = run(name, vhost.url)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == PRINTED[name]


@pytest.mark.parametrize("name", sorted(WORKERS))
def test_an_example_with_a_worker_beside_it_prints_what_it_should(
    name: str, vhost: Vhost, worker_process: WorkerFactory
) -> None:
    words = " ".join(("amqptasks", "-A", name, "worker", *WORKERS[name]))
    assert words in (EXAMPLES / f"{name}.py").read_text(), "the example names another command"
    worker = worker_process(None, *WORKERS[name], module=name, environment=HERE)
    ended = run(name, vhost.url)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == PRINTED[name]
    assert worker.terminate() == 0


def test_the_shop_tells_its_fanout(vhost: Vhost, worker_process: WorkerFactory) -> None:
    worker = worker_process(None, *WORKERS["shop"], module="shop", environment=HERE)
    assert run("shop", vhost.url).returncode == 0
    worker.wait_for_line("order 1 placed")
    assert vhost.management.ready("audit") >= 2, "the other program's queue has the payment and the order"
