"""`amqptasks dead` on queues that are not called `NAME.dead`: shared ones, lost delays, and those of others."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from amqptasks import App
from amqptasks.dead_letters import queue as dead_letters
from amqptasks.messages.outgoing import QUEUES_EXCHANGE, Outgoing
from amqptasks.messages.own_headers import UNIQUE
from amqptasks.messages.properties import Properties
from amqptasks.topology.delays import LOST
from amqptasks.transport import Session
from amqptasks.transport.entities import Binding, Queue
from tests.harness.command import run_command
from tests.harness.letters import publish_letters
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory

TOPOLOGY = """
version: 1
exchanges:
  tasks: {type: topic}
queues:
  default: {dead_letter: {queue: trouble}}
  refunds: {dead_letter: {queue: trouble}}
  emails: {bindings: [{exchange: tasks, routing_key: "email.#"}]}
  audit: {dead_letter: false}
  trouble:
routes:
  shop.email: {exchange: tasks, routing_key: email.send}
  shop.refund: {queue: refunds}
"""

SHOP = """
from amqptasks import App

app = App("shop", topology="shop.yaml")

@app.task
def charge(order):
    raise LookupError(f"order {order} is unknown")
"""

NO_ARGUMENTS = b"[[], {}, null]"

Dead = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def shop(tmp_path: Path, vhost: Vhost) -> Iterator[App]:
    """The app of `-A shop`, declared."""
    (tmp_path / "shop.yaml").write_text(TOPOLOGY)
    (tmp_path / "shop.py").write_text(SHOP)
    created = App("shop", vhost.url, topology=tmp_path / "shop.yaml")
    created.declare()
    yield created
    created.close()


@pytest.fixture
def dead(tmp_path: Path, vhost: Vhost) -> Dead:
    return lambda *arguments, **options: run_command("dead", *arguments, url=vhost.url, folder=tmp_path, **options)


def publish(app: App, queue: str, identity: str, **properties: Any) -> None:
    headers = {"task": "shop.refund", "id": identity}
    app.caller.publisher.publish(
        Outgoing(QUEUES_EXCHANGE, queue, NO_ARGUMENTS, Properties(headers=headers, **properties)), 10
    )


def listed(dead: Dead, *arguments: str) -> dict[str, dict[str, Any]]:
    ended = dead("list", *arguments, "--json")
    assert ended.returncode == 0, ended.stderr
    return {letter["id"]: letter for letter in map(json.loads, ended.stdout.splitlines())}


def holds(session: Session, queue: str, *ids: str) -> None:
    """The queue has exactly these. What a command gave back, RabbitMQ 3.10 takes back a moment later."""
    wait_for(
        lambda: Counter(letter.id for letter in dead_letters.letters(session, queue)) == Counter(ids),
        5,
        f"{ids} in {queue}",
    )


def test_letters_of_a_shared_queue_are_told_apart_and_go_back_to_where_each_came_from(
    shop: App, dead: Dead, session: Session, vhost: Vhost, worker_process: WorkerFactory
) -> None:
    worker = worker_process(None, "-Q", "default")
    shop.send_task("shop.charge", [7], task_id="by-a-worker")
    publish(shop, "refunds", "by-the-broker", expiration="1")
    publish(shop, "trouble", "by-hand")
    wait_for(lambda: vhost.management.ready("trouble") == 3, message="three letters in one queue")
    worker.terminate()

    assert listed(dead, "-A", "shop", "default").keys() == {"by-a-worker"}
    assert listed(dead, "-A", "shop", "refunds").keys() == {"by-the-broker"}
    letters = listed(dead, "-A", "shop", "trouble")
    came_from = {name: (letter["reason"], letter["queue"]) for name, letter in letters.items()}
    assert came_from == {
        "by-a-worker": ("failed", "default"),
        "by-the-broker": ("expired", "refunds"),
        "by-hand": ("published", None),
    }
    assert dead("list", "-A", "shop", "refunds").stdout.splitlines()[-1] == "1 letter of refunds in trouble"
    assert "came from   refunds" in dead("show", "-A", "shop", "trouble", "by-the-broker").stdout
    other = dead("show", "-A", "shop", "refunds", "by-a-worker")
    assert (other.returncode, "no letter 'by-a-worker' of refunds" in other.stderr) == (1, True)

    wait_for(lambda: vhost.management.ready("trouble") == 3, message="looking changes nothing")
    rehearsed = dead("replay", "-A", "shop", "trouble", "--all", "--dry-run").stdout
    assert "by-a-worker  shop.charge  ->  default" in rehearsed
    assert "by-hand  shop.refund  ->  it stays: add --to" in rehearsed
    ended = dead("replay", "-A", "shop", "trouble", "--all")
    assert (ended.returncode, ended.stdout) == (1, "2 letters of trouble replayed\n")
    assert "1 letter stayed, nothing says where they came from: name a queue, with --to" in ended.stderr
    holds(session, "default", "by-a-worker")
    holds(session, "refunds", "by-the-broker")
    holds(session, "trouble", "by-hand")
    assert dead("replay", "-A", "shop", "trouble", "by-hand", "--to", "refunds").returncode == 0
    holds(session, "refunds", "by-the-broker", "by-hand")


def test_a_purge_of_a_work_queue_leaves_the_letters_of_others(shop: App, dead: Dead, session: Session) -> None:
    publish_letters(shop, 3, queue="trouble")  # of the queue `default`
    publish(shop, "trouble", "by-hand")
    assert dead("purge", "-A", "shop", "refunds", "--all").stdout == (
        "Nothing to remove: no letter of refunds in trouble fits.\n"
    )
    ended = dead("purge", "-A", "shop", "default", "--all", "--yes")
    assert (ended.returncode, ended.stdout) == (0, "3 letters of default in trouble removed\n")
    holds(session, "trouble", "by-hand")
    assert dead("purge", "-A", "shop", "trouble", "--all", "--yes").stdout == "1 letter of trouble removed\n"
    holds(session, "trouble")


@pytest.mark.usefixtures("shop")
def test_a_name_that_means_no_dead_letters_is_refused_with_the_mend(dead: Dead) -> None:
    for name, words in [
        ("audit", "gives the queue 'audit' no dead-letter queue"),
        ("refunds.dead", "the dead letters of 'refunds' are in 'trouble'"),
        ("refund", "did you mean `refunds`?"),
    ]:
        ended = dead("list", "-A", "shop", name)
        assert (ended.returncode, "Traceback" in ended.stderr) == (1, False)
        assert words in ended.stderr


def test_what_nobody_can_be_sure_of_without_an_app_keeps_its_tasks(
    app: App, dead: Dead, session: Session, vhost: Vhost, worker_process: WorkerFactory
) -> None:
    session.declare_queue(Queue("letters", arguments={"x-queue-type": "quorum"}))
    session.bind(Binding(QUEUES_EXCHANGE, "letters", "letters"))
    publish_letters(app, 2, queue="letters")
    publish(app, "letters", "waits")
    assert listed(dead, "letters").keys() == {"task-0", "task-1", "waits"}
    wait_for(lambda: vhost.management.ready("letters") == 3, message="looking changes nothing")
    assert dead("replay", "letters", "task-0").returncode == 0
    holds(session, "default", "task-0")
    holds(session, "letters", "task-1", "waits")
    assert dead("purge", "letters", "--all", "--yes").stdout == "1 letter of letters removed\n"
    holds(session, "letters", "waits")

    worker_process("from amqptasks import App\napp = App('busy')\n", "-Q", "work", "-P", "threads", module="busy")
    session.delete_queue("work.dead")
    refused = dead("list", "work")
    assert refused.returncode == 1
    assert "is consumed" in refused.stderr
    assert "-A MODULE" in refused.stderr


def test_lost_delays_go_to_where_they_were_meant_to_go(shop: App, dead: Dead, session: Session, vhost: Vhost) -> None:
    shop.send_task("shop.charge", [7], task_id="to-a-queue", countdown=1, unique=True)
    shop.send_task("shop.email", task_id="to-an-exchange", countdown=1)
    shop.send_task("shop.email", task_id="elsewhere", countdown=1)
    session.delete_queue("default")
    session.delete_queue("emails")
    wait_for(lambda: vhost.management.ready(LOST) == 3, 20, "all three are lost")

    lost = listed(dead, LOST)
    assert {letter["reason"] for letter in lost.values()} == {"lost"}
    assert lost["to-a-queue"]["detail"] == "when it was due, this was gone: default"
    assert lost["to-an-exchange"]["detail"].endswith("exchange tasks with routing key 'email.send'")
    assert lost["elsewhere"]["last_time"] is not None
    ended = dead("replay", LOST, "--all", "--json")
    assert ended.returncode == 1
    told = json.loads(ended.stdout)
    assert {name: refused["count"] for name, refused in told["refused"].items()} == {
        "default": 1,
        "exchange tasks with routing key 'email.send'": 2,
    }

    shop.declare()
    assert dead("replay", LOST, "elsewhere", "--to", "refunds").returncode == 0
    assert dead("replay", LOST, "--all").stdout == f"2 letters of {LOST} replayed\n"
    holds(session, "refunds", "elsewhere")
    holds(session, "emails", "to-an-exchange")
    (delivery,) = session.take("default", 1)
    headers = delivery.properties.headers or {}
    assert headers["id"] == "to-a-queue"
    assert [name for name in headers if name.startswith("x-amqptasks-")] == [UNIQUE]
    assert "x-death" not in headers
