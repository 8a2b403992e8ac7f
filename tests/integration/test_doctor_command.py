"""`amqptasks doctor`: it finds what was broken on purpose, and nothing where all is well."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.command import run_command
from tests.harness.nodes import GivenBroker, StartedBroker
from tests.harness.vhost import Vhost, new_vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory

SHOP = """
from amqptasks import App

app = App("shop", topology="shop.yaml")

@app.task
def ship(order):
    raise LookupError(order)
"""

TOPOLOGY = """
version: 1
exchanges:
  tasks: {type: topic}
queues:
  orders:
    bindings: [{exchange: tasks, routing_key: "order.#"}]
  bounded: {max_length: 10}
routes:
  "shop.*": {queue: orders}
"""

Doctor = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def run(
    tmp_path: Path, vhost: Vhost, broker: GivenBroker | StartedBroker
) -> Callable[..., subprocess.CompletedProcess]:
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "shop.yaml").write_text(TOPOLOGY)
    return lambda *arguments: run_command(
        "doctor", *arguments, "--management", broker.management_url, url=vhost.url, folder=tmp_path
    )


@pytest.fixture
def declared(run: object, tmp_path: Path, vhost: Vhost) -> None:
    ended = run_command("-A", "shop", "declare", url=vhost.url, folder=tmp_path)
    assert ended.returncode == 0, ended.stderr


def wrong(ended: subprocess.CompletedProcess) -> dict[str, dict]:
    found = json.loads(ended.stdout)["findings"]
    return {finding["subject"]: finding for finding in found if finding["level"] == "wrong"}


def test_a_broker_alone_is_described(run: Doctor, broker: GivenBroker | StartedBroker) -> None:
    ended = run()
    assert ended.returncode == 0, ended.stdout
    assert f"RabbitMQ {broker.version}" in ended.stdout
    assert "Nothing is wrong." in ended.stdout
    told = json.loads(run("--json").stdout)
    assert told["version"] == broker.version
    assert told["abilities"].keys() == {
        "priorities",
        "delays and retries",
        "long tasks",
        "poison messages",
        "message size",
        "policies by queue type",
    }
    assert ("32 strict levels" in told["abilities"]["priorities"]) == (not broker.version.startswith(("3.", "4.0")))


def test_what_is_not_declared_is_missed(run: Doctor) -> None:
    ended = run("-A", "shop", "--json")
    assert ended.returncode == 1
    missed = wrong(ended)
    assert {"queue orders", "queue orders.dead", "exchange tasks", "delay ladder"} <= missed.keys()
    assert missed["queue orders"]["mend"] == "amqptasks -A shop declare"


@pytest.mark.usefixtures("declared")
def test_all_is_well_once_it_is_declared(run: Doctor) -> None:
    ended = run("-A", "shop")
    assert ended.returncode == 0, ended.stdout
    assert "Nothing is wrong." in ended.stdout
    assert "note: queue orders: no worker consumes it" in ended.stdout


@pytest.mark.usefixtures("declared")
def test_every_kind_of_damage_is_found(
    run: Doctor, vhost: Vhost, tmp_path: Path, worker_process: WorkerFactory
) -> None:
    calls = ("-A", "shop", "call", "shop.ship", "1")
    worker = worker_process(None, "-Q", "orders")
    run_command(*calls, url=vhost.url, folder=tmp_path)
    wait_for(lambda: vhost.management.ready("orders.dead") == 1, message="a dead letter")
    worker.terminate()
    run_command(*calls, url=vhost.url, folder=tmp_path)
    vhost.management.delete_queue("amqptasks.delay.03")
    vhost.management.request(
        "DELETE", "bindings", vhost.name, "e", "amqptasks.queues", "q", "orders.dead", "orders.dead"
    )
    (tmp_path / "shop.yaml").write_text(TOPOLOGY.replace("max_length: 10", "max_length: 11"))

    ended = run("-A", "shop", "--json")
    assert ended.returncode == 1
    found = wrong(ended)
    assert found["queue orders"]["problem"] == "no worker consumes it; 1 message waits"
    assert found["queue orders"]["mend"] == "amqptasks -A shop worker -Q orders"
    assert found["queue orders.dead"]["problem"] == "1 dead letter waits"
    assert found["queue orders.dead"]["mend"] == "amqptasks dead list orders"
    assert "x-max-length is 10 on the broker, 11 in the topology" in found["queue bounded"]["problem"]
    assert "amqptasks.delay.03" in found["delay ladder"]["problem"]
    assert "binding amqptasks.queues -> orders.dead" in found
    assert len(found) == 5
    assert vhost.management.ready("amqptasks.delay.03") == -1, "looking mends nothing"


def test_an_alarm_is_told_with_what_to_free(own_broker: StartedBroker, tmp_path: Path) -> None:
    with new_vhost(own_broker) as own:
        own_broker.node.rabbitmqctl("set_disk_free_limit", "1000000000000000")
        try:
            seen = lambda: wrong(  # noqa: E731
                run_command("doctor", "--json", "--management", own_broker.management_url, url=own.url, folder=tmp_path)
            )
            alarm = wait_for(lambda: list(seen().values()), 30, "the alarm", every=0.5)[0]
            assert "disk" in alarm["problem"]
            assert "alarm is on: publishers are blocked" in alarm["problem"]
            assert alarm["mend"] == "free some disk there"
        finally:
            own_broker.node.rabbitmqctl("set_disk_free_limit", "50000000")


@pytest.mark.parametrize(
    ("url", "words"),
    [("amqp://ada:secret@127.0.0.1:1/", "nothing listens there"), (None, "refused the user or the password")],
)
def test_no_broker_and_a_wrong_password_are_3(tmp_path: Path, vhost: Vhost, url: str | None, words: str) -> None:
    ended = run_command("doctor", url=url or vhost.url.replace("guest:guest@", "guest:secret@"), folder=tmp_path)
    assert ended.returncode == 3
    assert words in ended.stderr
    assert "secret" not in ended.stderr + ended.stdout
