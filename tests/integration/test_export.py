"""`amqptasks topology export`: what it writes is what is on the broker, whoever put it there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings

from amqptasks.amqp.blocking.session import Session
from amqptasks.cli import main
from amqptasks.management.client import Management
from amqptasks.topology.broker.observed import observe
from amqptasks.topology.broker.steps import Plan
from amqptasks.topology.expand.expand import Objects, expand
from amqptasks.topology.expand.ladder import ladder_objects
from amqptasks.topology.export.export import Exported, export
from amqptasks.topology.plan.apply import apply
from amqptasks.topology.plan.plan import plan
from amqptasks.topology.read.loader import from_mapping, load
from amqptasks.topology.topology import Topology
from amqptasks.transport.entities import Binding, Exchange, Queue
from tests.harness.nodes import GivenBroker, StartedBroker
from tests.harness.topologies import topologies
from tests.harness.vhost import Vhost, new_vhost

#: The same topologies in every run: a failure is one for all. Shrinking would take minutes on a broker.
SAME = settings(
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

Broker = GivenBroker | StartedBroker

OURS = """
version: 1
exchanges:
  events: {type: topic, alternate_exchange: lost}
  lost: {type: fanout}
queues:
  emails:
    bindings: [{exchange: events, routing_key: "email.#"}]
    dead_letter: {ttl: 14d, max_length: 100000}
    retry: {delays: [5s, 1h 30m], queues: true}
    delivery_limit: 5
  payments: {dead_letter: {queue: trouble}, max_length: 1000, consumer_timeout: 2h}
  orders: {dead_letter: {queue: trouble}, delivery_limit: false, overflow: drop-head, max_length: 5}
  trouble: {message_ttl: 90d}
  lost: {bindings: [{exchange: lost}], dead_letter: false}
  log: {type: stream, max_age: 30d, bindings: [{exchange: events, routing_key: "#"}]}
  urgent: {type: classic, max_priority: 5}
  plain:
delays: {max: 1h}
policies:
  bounded: {pattern: ^none$, apply_to: queues, definition: {max_length: 10, message_ttl: 1d 1ms}}
"""


def write(vhost: Vhost, topology: Topology, *, delays: bool = True) -> None:
    """Declare it."""
    seen = management(vhost)
    with Session([vhost.url]) as session:
        wanted = objects(topology, session)
        wanted = wanted if delays else expand(topology, session.capabilities)
        before = observe(seen)
        apply(plan(wanted, before), before, session, seen, {})


def objects(topology: Topology, session: Session) -> Objects:
    return expand(topology, session.capabilities) + ladder_objects(topology, session.capabilities)


def management(vhost: Vhost) -> Management:
    return Management(vhost.management._base.removesuffix("/api"), vhost.url)


def exported(vhost: Vhost, folder: Path) -> tuple[Exported, Topology]:
    """What is written, and what it says when it is read again."""
    found = export(observe(management(vhost)))
    file = folder / "exported.yaml"
    file.write_text(found.text)
    return found, load(file, environment={})


def planned(vhost: Vhost, topology: Topology) -> Plan:
    with Session([vhost.url]) as session:
        return plan(objects(topology, session), observe(management(vhost)))


@settings(SAME, max_examples=25)
@given(mapping=topologies(2))
def test_what_is_exported_plans_nothing(
    broker: Broker, tmp_path_factory: pytest.TempPathFactory, mapping: dict[str, Any]
):
    _there_and_back(broker, tmp_path_factory.mktemp("export"), mapping, delays=False)


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(SAME, max_examples=200)
@given(mapping=topologies(8))
def test_what_is_exported_of_200_larger_topologies_plans_nothing(
    broker: Broker, tmp_path_factory: pytest.TempPathFactory, mapping: dict[str, Any]
):
    _there_and_back(broker, tmp_path_factory.mktemp("export"), mapping, delays=True)


def _there_and_back(broker: Broker, folder: Path, mapping: dict[str, Any], *, delays: bool) -> None:
    with new_vhost(broker) as vhost:
        write(vhost, from_mapping(mapping), delays=delays)
        found, topology = exported(vhost, folder)
        assert not found.left_out
        assert ("delays: false" in found.text) == (not delays)
        again = planned(vhost, topology)
        assert again.empty, ([step for step in again.steps if step.action != "leave"], found.text)
        assert not again.drift, (again.drift, found.text)


def test_it_is_written_as_a_person_would(vhost: Vhost, tmp_path: Path):
    """Of what the broker can know nothing is lost, and nothing is added."""
    topology = from_mapping(_yaml(OURS), {})
    write(vhost, topology)
    found, again = exported(vhost, tmp_path)
    assert planned(vhost, again).empty
    assert not planned(vhost, again).drift
    assert again.queues == topology.queues
    assert again.exchanges == topology.exchanges
    assert again.policies == topology.policies
    said = found.text.partition("queues:")[2]
    for line in (
        "dead_letter: {ttl: 14d, max_length: 100000}",
        "retry: {delays: [5s, 1h 30m], queues: true}",
        "log: {type: stream, max_age: 30d, bindings: [{exchange: events, routing_key: '#'}]}",
        "\n  plain:\n",
        "delays: {max: 1h}",
    ):
        assert line in said
    assert "exact" not in said
    assert "x-" not in said
    assert ".dead" not in said
    assert ".due" not in said


def test_a_broker_of_others_is_written_as_it_stands(vhost: Vhost, tmp_path: Path):
    with Session([vhost.url]) as session, pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
        channel = connection.channel()
        _as_celery_does(channel)
        mine = channel.queue_declare("", exclusive=True).method.queue
        for exchange in (
            Exchange("feed", "topic", durable=False, arguments={"alternate-exchange": "amq.fanout", "x-own": ["a", 1]}),
            Exchange("inner", "fanout", internal=True),
            Exchange("${HOME}", "headers"),
        ):
            session.declare_exchange(exchange)
        for queue in (
            Queue("odd", arguments={"x-max-priority": 200, "x-dead-letter-exchange": "gone", "x-own": True}),
            Queue("frail", durable=False, arguments={"x-message-ttl": 0, "x-overflow": "drop-head"}),
            Queue("quorum", arguments={"x-queue-type": "quorum", "x-max-length": 7}),
            Queue("quorum.dead", arguments={"x-queue-type": "quorum"}),
            Queue("default", arguments={"x-queue-type": "classic"}),
            Queue("stream", arguments={"x-queue-type": "stream", "x-max-age": "7D"}),
            Queue('a "name", [of] ünusual: kind #1', arguments={"x-queue-type": "classic"}),
        ):
            session.declare_queue(queue)
        for binding in (
            Binding("feed", "odd", "a.*.#"),
            Binding("feed", "inner", "", "exchange"),
            Binding("inner", "frail", "ignored"),
            Binding("${HOME}", "quorum", "", "queue", {"x-match": "any", "n": 1, "t": True, "s": "${PATH}"}),
            Binding("amq.topic", 'a "name", [of] ünusual: kind #1', "7"),
        ):
            session.bind(binding)
        found, topology = exported(vhost, tmp_path)
        assert not found.left_out, found.left_out
        assert "delays: false" in found.text
        assert mine not in topology.queues
        assert mine in found.text.partition("version: 1")[0]
        again = planned(vhost, topology)
    assert again.empty, [step for step in again.steps if step.action != "leave"]
    assert not again.drift
    assert {"celery", "odd", "frail", "quorum", "quorum.dead", "default", "stream"} < set(topology.queues)
    assert topology.default_queue is None, "the queue `default` is another program's"
    assert all(queue.exact for queue in topology.queues.values())


def _as_celery_does(channel: Any) -> None:
    """The queues, exchanges and bindings of a Celery worker with priorities, remote control and events."""
    channel.exchange_declare("celery", "direct", durable=True)
    channel.queue_declare("celery", durable=True, arguments={"x-max-priority": 10})
    channel.queue_bind("celery", "celery", "celery")
    channel.exchange_declare("celery.pidbox", "fanout", durable=False)
    channel.queue_declare("celery@host.celery.pidbox", auto_delete=True, arguments={"x-expires": 10000})
    channel.queue_bind("celery@host.celery.pidbox", "celery.pidbox", "")
    channel.exchange_declare("celeryev", "topic", durable=True)
    channel.queue_declare("celeryev.5a1d", auto_delete=True, arguments={"x-expires": 60000, "x-message-ttl": 5000})
    channel.queue_bind("celeryev.5a1d", "celeryev", "worker.#")


def test_what_the_file_cannot_say_is_left_out_with_the_reason(vhost: Vhost, tmp_path: Path):
    with Session([vhost.url]) as session:
        session.declare_exchange(Exchange("hopeless", "fanout", arguments={"alternate-exchange": "not there"}))
        session.declare_exchange(Exchange("fine", "direct"))
        session.declare_queue(Queue("kept", arguments={"x-queue-type": "classic"}))
        session.bind(Binding("hopeless", "kept"))
        session.bind(Binding("fine", "kept", "k"))
        vhost.management.set_policy("perl", r"^a\Kb", max_length=5)
        found, topology = exported(vhost, tmp_path)
    assert {one.partition(":")[0] for one in found.left_out} == {
        "exchange hopeless",
        "binding hopeless -> kept",
        "policy perl",
    }
    assert "- exchange hopeless: alternate_exchange: there is no exchange `not there`" in found.text
    assert [*topology.exchanges] == ["fine"]
    again = planned(vhost, topology)
    assert again.empty
    assert {step.name for step in again.drift} == {"hopeless", "perl"}


def test_a_ladder_that_is_not_whole_is_none(vhost: Vhost, tmp_path: Path):
    write(vhost, from_mapping({"version": 1, "queues": {"full": {"max_length": 5}}, "delays": {"max": "1s"}}))
    with Session([vhost.url]) as session:
        session.declare_exchange(Exchange("later", "fanout"))  # its twin for delayed messages is missing
    found, topology = exported(vhost, tmp_path)
    assert "ladder on the broker is not the one that amqptasks would make" in found.text
    assert topology.longest_delay == 0
    again = planned(vhost, topology)
    assert again.empty
    assert not again.drift


@pytest.fixture
def users(vhost: Vhost) -> Iterator[list[str]]:
    names = [f"{vhost.name}-{name}" for name in ("odd", "runs", "looks")]
    yield names
    for name in names:
        vhost.management.request("DELETE", "users", name)


def test_users_are_written_without_passwords_and_with_the_role_that_they_have(
    vhost: Vhost, tmp_path: Path, users: list[str], monkeypatch: pytest.MonkeyPatch
):
    odd, runs, looks = users
    monkeypatch.setenv("SECRET", "hunter2")
    mapping = _yaml(OURS) | {
        "vhost": {"name": vhost.name, "limits": {"max_queues": 500}, "description": "the shop"},
        "users": {
            odd: {
                "password_from": "SECRET",
                "tags": ["monitoring"],
                "permissions": {"write": "^e"},
                "topic_permissions": {"events": {"write": "^a"}},
                "limits": {"max_channels": 5},
            },
            runs: {"password_from": "SECRET", "role": "worker"},
            looks: {"role": "viewer"},
        },
    }
    seen = management(vhost)
    with Session([vhost.url]) as session:
        before = observe(seen)
        apply(plan(objects(from_mapping(mapping), session), before), before, session, seen, {"SECRET": "hunter2"})
    found, topology = exported(vhost, tmp_path)
    variable = f"{odd.upper().replace('-', '_')}_PASSWORD"
    assert f"password_from: {variable}" in found.text
    for secret in ("hunter2", observe(seen).users[odd].password_hash):
        assert secret not in found.text
    assert topology.roles == {runs: "worker", looks: "viewer"}
    assert topology.permissions == from_mapping(mapping).permissions
    assert topology.topic_permissions == from_mapping(mapping).topic_permissions
    assert set(topology.limits) == set(from_mapping(mapping).limits)
    assert topology.vhost == vhost.name
    again = planned(vhost, topology)
    assert again.empty, [step for step in again.steps if step.action != "leave"]
    assert not again.drift


def test_the_command_writes_a_file_that_plan_takes_and_overwrites_none(vhost: Vhost, tmp_path: Path):
    write(vhost, from_mapping({"version": 1, "queues": {"one": None}}), delays=False)
    file, api = tmp_path / "out.yaml", ("--management", management(vhost).base, "--broker", vhost.url)
    run = lambda *arguments: CliRunner().invoke(main, [*arguments, *api])  # noqa: E731
    assert run("topology", "export", "-o", str(file)).exit_code == 0
    assert run("plan", str(file), "--prune").exit_code == 0
    refused = run("topology", "export", "-o", str(file))
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    assert run("topology", "export", "-o", str(file), "--force").exit_code == 0
    assert run("topology", "export").stdout == file.read_text()
    nowhere = run("topology", "export", "-o", "/nonexistent/out.yaml")
    assert (nowhere.exit_code, "/nonexistent/out.yaml cannot be written" in nowhere.stderr) == (1, True)
    missing = run("topology", "export", "--vhost", "not-there")
    assert missing.exit_code == 1
    assert "no virtual host 'not-there'" in missing.stderr


def test_who_is_no_administrator_gets_the_rest(vhost: Vhost, users: list[str]):
    write(vhost, from_mapping({"version": 1, "queues": {"one": None}}), delays=False)
    name = users[0]
    vhost.management.request("PUT", "users", name, body={"password": "hunter2", "tags": "management"})
    rights = {"configure": "", "write": "", "read": ""}
    vhost.management.request("PUT", "permissions", vhost.name, name, body=rights)
    url = vhost.url.replace("guest:guest", f"{name}:hunter2")
    arguments = ["topology", "export", "--management", management(vhost).base, "--broker", url]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.stderr
    assert "that takes an administrator" in done.stdout
    assert "\n  one:\n" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


def _yaml(text: str) -> dict[str, Any]:
    import yaml

    found = yaml.safe_load(text)
    assert isinstance(found, dict)
    return found
