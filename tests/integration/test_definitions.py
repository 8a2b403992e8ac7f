"""`amqptasks topology definitions`: what RabbitMQ imports is what the topology says."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings

from amqptasks.amqp.blocking.session import Session
from amqptasks.cli import main
from amqptasks.dev.brokers.installation import inside
from amqptasks.dev.brokers.private_node import PrivateNode
from amqptasks.management.client import Management
from amqptasks.topology.broker.observed import observe
from amqptasks.topology.expand.definitions import definitions, hashed
from amqptasks.topology.expand.expand import expand
from amqptasks.topology.expand.ladder import ladder_objects
from amqptasks.topology.plan.plan import plan
from amqptasks.topology.read.loader import from_mapping
from amqptasks.transport.capabilities import Capabilities
from tests.harness.nodes import GivenBroker, StartedBroker
from tests.harness.topologies import topologies
from tests.harness.vhost import Vhost, new_vhost
from tests.integration.test_export import OURS, SAME, management, planned

Broker = GivenBroker | StartedBroker

WITH_USERS = """
operator_policies: {{ceiling: {{pattern: ^none$, definition: {{max_length: 9}}}}}}
vhost: {{name: {vhost}, description: a shop, limits: {{max_queues: 500}}}}
users:
  {vhost}-api:
    password_from: API_PASSWORD
    tags: [monitoring]
    permissions: {{write: ^e}}
    topic_permissions: {{events: {{write: ^a}}}}
    limits: {{max_channels: 7}}
  {vhost}-runs: {{password_from: RUNS_PASSWORD, role: worker}}
"""


def with_users(vhost: str) -> str:
    return OURS + WITH_USERS.format(vhost=vhost)


@settings(SAME, max_examples=25)
@given(mapping=topologies(2))
def test_what_the_management_api_imports_plans_nothing(broker: Broker, mapping: dict[str, Any]):
    _import_then_plan(broker, mapping, delays=False)


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(SAME, max_examples=200)
@given(mapping=topologies(8))
def test_what_the_management_api_imports_of_200_larger_topologies_plans_nothing(
    broker: Broker, mapping: dict[str, Any]
):
    _import_then_plan(broker, mapping, delays=True)


def _import_then_plan(broker: Broker, mapping: dict[str, Any], *, delays: bool) -> None:
    topology = from_mapping(mapping)
    with new_vhost(broker) as vhost, Session([vhost.url]) as session:
        seen = Management(broker.management_url, vhost.url)
        wanted = expand(topology, session.capabilities)
        if delays:
            wanted += ladder_objects(topology, session.capabilities)
        found = definitions(wanted, "another", session.capabilities, {})
        seen.request("POST", "definitions", vhost.name, body=found.document)
        made = plan(wanted, observe(seen, ("policies",)))
        assert made.empty, [step for step in made.steps if step.action != "leave"]
        assert not made.drift


def test_users_with_their_passwords_and_limits_come_with_the_whole_broker(
    broker: Broker, vhost: Vhost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file, json_file = tmp_path / "shop.yaml", tmp_path / "shop.json"
    file.write_text(with_users(vhost.name))
    monkeypatch.setenv("API_PASSWORD", "hunter2")
    arguments = ["topology", "definitions", str(file), "-o", str(json_file), "--release", _release(broker)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert f"the user {vhost.name}-runs gets no password" in done.stderr
    assert "hunter2" not in json_file.read_text()
    assert stat.S_IMODE(json_file.stat().st_mode) == 0o600
    try:
        management(vhost).request("POST", "definitions", body=json.loads(json_file.read_text()))
        topology = from_mapping(_yaml(with_users(vhost.name)))
        with Session([vhost.url]) as session:
            can = session.capabilities
            wanted = expand(topology, can) + ladder_objects(topology, can)
        made = plan(wanted, observe(management(vhost)), {"API_PASSWORD": "hunter2"})
        assert made.empty, [step for step in made.steps if step.action != "leave"]
        assert not made.drift
        assert planned(vhost, topology).empty
        api = Management(management(vhost).base, vhost.url.replace("guest:guest", f"{vhost.name}-api:hunter2"))
        assert api.request("GET", "whoami")["name"] == f"{vhost.name}-api"
    finally:
        for name in ("api", "runs"):
            vhost.management.request("DELETE", "users", f"{vhost.name}-{name}")


@pytest.mark.long
def test_rabbitmqctl_imports_it_into_a_broker_that_has_nothing(own_broker: StartedBroker, tmp_path: Path):
    node = own_broker.node
    file = tmp_path / "shop.yaml"
    file.write_text(with_users("imported"))
    done = CliRunner().invoke(main, ["topology", "definitions", str(file), "--release", _release(own_broker)])
    if not isinstance(node, PrivateNode):
        pytest.skip("the node's file system is not ours to write into")
    written = node.folder / "definitions.json"
    written.write_text(done.stdout)
    node.rabbitmqctl("import_definitions", str(inside(written, node.installation.root)))
    node.rabbitmqctl("set_permissions", "-p", "imported", "guest", ".*", ".*", ".*")
    seen = Management(own_broker.management_url, own_broker.url.rstrip("/") + "/imported")
    topology = from_mapping(_yaml(with_users("imported")))
    can = observe(seen).capabilities
    made = plan(expand(topology, can) + ladder_objects(topology, can), observe(seen))
    assert made.empty, [step for step in made.steps if step.action != "leave"]
    assert not made.drift


def test_a_password_is_hashed_with_another_salt_each_time():
    """The example of https://www.rabbitmq.com/docs/passwords, and two of the same."""
    assert hashed("test12", bytes.fromhex("908DC60A")) == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
    assert hashed("same") != hashed("same")


def test_what_a_release_does_not_know_is_not_said():
    topology = from_mapping({"version": 1, "queues": {"q": None}, "vhost": {"default_queue_type": "quorum"}})
    for version, known in (((3, 10, 0), False), ((4, 3, 0), True)):
        can = Capabilities(version=version)
        (vhost,) = definitions(expand(topology, can), "/", can, {}).document["vhosts"]
        assert ("default_queue_type" in vhost) == known


def _release(broker: Broker) -> str:
    return broker.version


def _yaml(text: str) -> dict[str, Any]:
    import yaml

    found = yaml.safe_load(text)
    assert isinstance(found, dict)
    return found
