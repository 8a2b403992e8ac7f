"""Each role logs in with the rights that the topology gives it, does its work, and is refused everything else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pika
import pytest
from click.testing import CliRunner
from pika import exceptions

from amqptasks import App
from amqptasks.amqp.blocking.session import Session
from amqptasks.cli import main
from amqptasks.errors import AccessRefused, PublishRejected
from amqptasks.events import places
from amqptasks.management.client import Management
from amqptasks.topology.broker.observed import observe
from amqptasks.topology.read.loader import load
from amqptasks.transport.entities import Binding, Exchange, Queue
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory
from tests.integration.test_export import management

SHOP = """
from amqptasks import App

app = App("shop", topology="shop.yaml", events=True)

@app.task
def add(x, y):
    return x + y

@app.task(bind=True, max_retries=3)
def twice(self):
    if self.request.retries == 0:
        raise self.retry(countdown=0.2)
    add.delay(1, 1)
    return self.request.retries
"""

TOPOLOGY = """
version: 1
exchanges:
  tasks: {{type: topic}}
queues:
  orders: {{bindings: [{{exchange: tasks, routing_key: "order.#"}}], max_length: 1000}}
  default:
routes:
  "shop.*": {{exchange: tasks, routing_key: order.new}}
delays: {{max: 1m}}
users:
  {vhost}-publisher: {{password_from: ROLE_PASSWORD, role: publisher}}
  {vhost}-worker: {{password_from: ROLE_PASSWORD, role: worker}}
  {vhost}-declarer: {{password_from: ROLE_PASSWORD, role: declarer}}
  {vhost}-viewer: {{password_from: ROLE_PASSWORD, role: viewer}}
"""

Url = Callable[[str], str]


@pytest.fixture
def file(vhost: Vhost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The topology is declared, and so are the users; something of others is there too."""
    monkeypatch.setenv("ROLE_PASSWORD", "hunter2")
    monkeypatch.chdir(tmp_path)
    written = tmp_path / "shop.yaml"
    written.write_text(TOPOLOGY.format(vhost=vhost.name))
    (tmp_path / "shop.py").write_text(SHOP)
    done = CliRunner().invoke(main, ["declare", str(written), "--broker", vhost.url, "--management", api(vhost)])
    assert done.exit_code == 0, done.output
    with Session([vhost.url]) as session:
        session.declare_queue(Queue("foreign", arguments={"x-queue-type": "classic"}))
        session.declare_exchange(Exchange("foreign", "fanout"))
    yield written
    for role in ("publisher", "worker", "declarer", "viewer"):
        vhost.management.request("DELETE", "users", f"{vhost.name}-{role}")


@pytest.fixture
def url(vhost: Vhost, file: Path) -> Url:
    return lambda role: vhost.url.replace("guest:guest", f"{vhost.name}-{role}:hunter2")


def api(vhost: Vhost) -> str:
    return management(vhost).base


def refused(url: str, *acts: Callable[[Session], object]) -> None:
    """All of them, by the broker."""
    for number, act in enumerate(acts, start=1):
        try:
            with Session([url]) as session:
                act(session)
        except (AccessRefused, PublishRejected) as refusal:
            told = str(refusal)
        else:
            pytest.fail(f"the act number {number} was allowed")
        assert "refused" in told.lower(), f"{number}: {told}"


def consume(queue: str) -> Callable[[Session], object]:
    return lambda session: list(session.take(queue, 1))


def publish(exchange: str, routing_key: str = "k") -> Callable[[Session], object]:
    from amqptasks.messages.outgoing import Outgoing
    from amqptasks.messages.properties import Properties

    return lambda session: session.publish(Outgoing(exchange, routing_key, b"{}", Properties()))


def test_a_publisher_and_a_worker_do_all_that_tasks_need(url: Url, vhost: Vhost, worker_process: WorkerFactory):
    worker = worker_process(None, "-Q", "orders,default", "-E", broker_url=url("worker"))
    with closing(App("shop", broker=url("publisher"), topology="shop.yaml")) as app:
        assert app.send_task("shop.add", (2, 3)).get(timeout=20) == 5
        assert app.send_task("shop.twice", (), countdown=0.2).get(timeout=20) == 1
        assert app.send_task("shop.add", (2, 3), queue="default").get(timeout=20) == 5
        for _ in range(2):  # the worker releases the first
            assert app.send_task("shop.add", (2, 3), unique=True).get(timeout=20) == 5
        app.send_task("shop.nowhere", ())
    wait_for(lambda: vhost.management.ready("orders.dead") == 1, 10, "a dead letter")
    with closing(App("other", broker=vhost.url, topology="shop.yaml")) as app:
        assert len(app.control.ping()) == 1, worker.output
    assert "no remote control" not in worker.output
    assert "refused" not in worker.output.lower(), worker.output
    events = CliRunner().invoke(main, ["events", "--since", "1h", "--json", "--broker", url("viewer")])
    assert "task-succeeded" in events.stdout, events.output
    worker.terminate()


def test_a_publisher_may_only_publish(url: Url):
    refused(
        url("publisher"),
        lambda session: session.declare_queue(Queue("own", arguments={"x-queue-type": "classic"})),
        lambda session: session.declare_exchange(Exchange("own")),
        lambda session: session.delete_queue("orders"),
        lambda session: session.purge_queue("orders"),
        lambda session: session.bind(Binding("tasks", "orders", "more")),
        consume("orders"),
        consume("orders.dead"),
        publish("foreign"),
        publish("", "foreign"),
        publish("tasks", "foreign.key"),
        publish("amqptasks.control"),
        publish("amqptasks.events"),
    )


def test_a_worker_may_touch_nothing_but_its_queues(url: Url):
    refused(
        url("worker"),
        lambda session: session.declare_queue(Queue("own", arguments={"x-queue-type": "classic"})),
        lambda session: session.delete_queue("orders"),
        lambda session: session.delete_exchange("tasks"),
        lambda session: session.bind(Binding("tasks", "orders", "more")),
        lambda session: session.unbind(Binding("tasks", "orders", "order.#")),
        lambda session: session.purge_queue("orders.dead"),
        consume("foreign"),
        consume("orders.dead"),
        consume("amqptasks.delay.03"),
        publish("foreign"),
        publish("tasks", "foreign.key"),
    )


def test_a_declarer_declares_and_plans_and_touches_nothing_of_others(url: Url, vhost: Vhost, file: Path):
    text = file.read_text().partition("users:")[0]
    file.write_text(text.replace("default:", "default: {dead_letter: {queue: trouble}}\n  trouble:"))
    with Session([vhost.url]) as session:
        session.delete_queue("default")
        session.delete_queue("orders.dead")
    # The rights are those of the file as it is now.
    rights = CliRunner().invoke(main, ["topology", "permissions", str(file), "--role", "declarer", "--json"])
    found = json.loads(rights.stdout)["declarer"]
    body = {key: found[key] for key in ("configure", "write", "read")}
    vhost.management.request("PUT", "permissions", vhost.name, f"{vhost.name}-declarer", body=body)
    for _ in range(2):
        done = CliRunner().invoke(main, ["declare", str(file), "--broker", url("declarer"), "--management", api(vhost)])
        assert done.exit_code == 0, done.output
    done = CliRunner().invoke(main, ["plan", str(file), "--broker", url("declarer"), "--management", api(vhost)])
    assert done.exit_code == 0, done.output
    refused(
        url("declarer"),
        lambda session: session.declare_queue(Queue("own", arguments={"x-queue-type": "classic"})),
        lambda session: session.delete_queue("foreign"),
        lambda session: session.delete_exchange("foreign"),
        lambda session: session.bind(Binding("foreign", "orders")),
        lambda session: session.bind(Binding("tasks", "foreign", "k")),
        consume("foreign"),
        publish("foreign"),
        publish("", "orders"),
        publish("tasks", "order.new"),
    )


def test_a_viewer_looks_and_changes_nothing(url: Url, vhost: Vhost):
    with Session([vhost.url]) as session:
        places.prepare(session, has_streams=True)
    refused(
        url("viewer"),
        lambda session: session.declare_queue(Queue("own", arguments={"x-queue-type": "classic"})),
        lambda session: session.bind(Binding("amqptasks.events", "orders", "#")),
        consume("orders"),
        consume("orders.dead"),
        publish("tasks", "order.new"),
        publish("amqptasks.events"),
        publish("", "orders"),
    )
    with pika.BlockingConnection(pika.URLParameters(url("viewer"))) as connection:
        channel = connection.channel()
        with pytest.raises(exceptions.ChannelClosedByBroker):
            channel.queue_delete("amqptasks.events")
    looking = Management(api(vhost), url("viewer"))
    assert "orders" in observe(looking, ("policies",)).queues


def test_rabbitmqctl_lines_are_ready_for_a_shell(file: Path, vhost: Vhost):
    done = CliRunner().invoke(main, ["topology", "permissions", str(file), "--role", "publisher", "--user", "web"])
    first, second = done.stdout.splitlines()
    rights = load(file, environment={"ROLE_PASSWORD": "x"})
    own = "(amqptasks\\.unique(\\..+)?|amqptasks\\.clock\\.[0-9a-f]{32})"
    assert first.startswith(f"rabbitmqctl set_permissions -p / web '^{own}$' '^(tasks|amqptasks\\.queues|")
    assert second == "rabbitmqctl set_topic_permissions -p / web tasks '^order(\\..*)?$' '^$'"
    assert rights.roles[f"{vhost.name}-worker"] == "worker"
    asked = CliRunner().invoke(main, ["topology", "permissions", str(file), "--user", "web"])
    assert asked.exit_code == 2
