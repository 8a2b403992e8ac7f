"""`amqptasks demo` tells the truth, in time, and leaves nothing behind."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import psutil
import pytest

from amqptasks.dev.demo.story import EXPECTED_DEAD, Figures
from tests.harness.command import run_command
from tests.harness.nodes import GivenBroker, StartedBroker
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory

TABLE = [
    r"published +113   each confirmed by the broker",
    r"done +105",
    r"delayed +5   asked for 1\.50 s, took 1\.\d\d to \d\.\d\d s",
    r"retried after a delay +10   asked for 2\.00 s, took [12]\.\d\d to \d\.\d\d s",
    r"dead-lettered +8   3 failed, 2 malformed, 2 unknown-task, 1 rejected",
    r"priorities obeyed +yes   10 urgent letters before 20 that were published earlier",
    r"left in queues +0",
    r"seconds +\d+\.\d",
]


def test_in_a_virtual_host_of_its_own_it_shows_all_and_leaves_nothing(
    broker: GivenBroker | StartedBroker, tmp_path: Path, vhost: Vhost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMQPTASKS_MANAGEMENT_URL", broker.management_url)
    began = time.monotonic()
    ended = run_command("demo", url=broker.url, folder=tmp_path, timeout=100)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert time.monotonic() - began < 60
    for row in TABLE:
        assert re.search(rf"^ +{row}$", ended.stdout, re.MULTILINE), (row, ended.stdout)
    name = re.search(r"amqptasks-demo-[0-9a-f]{8}", ended.stdout)
    assert name is not None
    assert vhost.management.request("GET", "vhosts", name.group()) is None


@pytest.mark.long
def test_in_a_virtual_host_of_others_it_has_queues_of_its_own_and_removes_them(tmp_path: Path, vhost: Vhost) -> None:
    vhost.management.request(
        "PUT", "queues", vhost.name, "theirs", body={"durable": True, "arguments": {"x-queue-type": "quorum"}}
    )
    # A management API that does not answer: none can be made.
    ended = run_command("demo", "--management", "http://127.0.0.1:1", url=vhost.url, folder=tmp_path, timeout=100)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "in queues of its own" in ended.stdout
    left = [queue["name"] for queue in vhost.management.queues() if not queue["name"].startswith("amqptasks.")]
    assert left == ["theirs"]
    assert not [exchange for exchange in vhost.management.exchanges() if "demo" in exchange["name"]]


@pytest.mark.long
def test_interrupted_it_ends_its_workers_and_clears_up(vhost: Vhost, worker_process: WorkerFactory) -> None:
    demo = worker_process.command("demo", "--management", "http://127.0.0.1:1")
    demo.wait_for_line("two worker processes", 20)
    wait_for(lambda: psutil.Process(demo.pid).children(), 30, "its workers")
    workers = psutil.Process(demo.pid).children()
    demo.signal(signal.SIGTERM)
    assert demo.wait(40) != 0
    assert not [worker for worker in workers if worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE]
    assert not [queue for queue in vhost.management.queues() if "demo" in queue["name"]]


def test_on_memory_it_says_so_and_shows_the_same(tmp_path: Path) -> None:
    ended = run_command("demo", url="memory://", folder=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    for row in TABLE:
        assert re.search(rf"^ +{row}$", ended.stdout, re.MULTILINE), (row, ended.stdout)


def test_a_broker_that_was_named_and_is_not_there_is_not_replaced_by_memory(tmp_path: Path) -> None:
    ended = run_command("demo", url="amqp://ada:secret@127.0.0.1:1/", folder=tmp_path)
    assert ended.returncode == 3
    assert ended.stdout == ""
    assert "secret" not in ended.stderr


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"done": 104}, "104 tasks are done, 105 should be"),
        ({"waits": [1.2, 1.5]}, "a countdown of 1.5 s took [1.2, 1.5]"),
        ({"waits": []}, "a countdown"),
        ({"retries": [9.0]}, "a retry of 2 s took [9.0]"),
        ({"dead": {}}, "dead letters are {}"),
        ({"urgent_first": False}, "an ordinary letter"),
        ({"left": 3}, "3 tasks are still in a queue"),
    ],
)
def test_each_figure_that_is_wrong_is_told(changed: dict, words: str) -> None:
    good = {
        "done": 105,
        "waits": [1.5, 1.6],
        "retries": [2.0, 2.3],
        "dead": dict(EXPECTED_DEAD),
        "urgent_first": True,
    }
    assert Figures(**good).problems() == []
    (problem,) = Figures(**{**good, **changed}).problems()
    assert words in problem
