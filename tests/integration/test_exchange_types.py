"""Exchanges of types beyond AMQP's four, on a node with and without the plugins that bring them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from amqptasks import App
from amqptasks.amqp.blocking.session import Session
from amqptasks.cli import main
from amqptasks.errors import BrokerError
from amqptasks.management.client import Management
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.topology.broker.declare import declare_or_check
from amqptasks.topology.delays import room
from amqptasks.topology.expand.expand import expand
from amqptasks.topology.read.loader import from_mapping
from amqptasks.transport.capabilities import from_server_properties
from amqptasks.transport.exchange_types import EXTENSIONS
from tests.harness.nodes import GivenBroker, StartedBroker
from tests.harness.vhost import Vhost, new_vhost
from tests.harness.wait import wait_for

Broker = GivenBroker | StartedBroker

#: What comes with RabbitMQ, as a rule not enabled.
PLUGINS = sorted(one.plugin for one in EXTENSIONS.values() if one.plugin is not None and one.bundled)

#: One exchange of each type, named like it, and what else it says. `x-local-random` is left out before 4.0, and what
#: must be downloaded always.
EXCHANGES: dict[str, dict[str, Any]] = {
    "x-consistent-hash": {"hash_header": "customer"},
    "x-random": {"alternate_exchange": "amq.fanout"},
    "x-recent-history": {"recent_history_length": 3},
    "x-modulus-hash": {},
    "x-jms-topic": {},
    "x-local-random": {},
}


@pytest.fixture
def with_plugins(own_broker: StartedBroker) -> Iterator[Vhost]:
    """On a node of our own: a plugin that is disabled again may leave its exchange type behind."""
    own_broker.node.rabbitmq_plugins("enable", *PLUGINS)
    with new_vhost(own_broker) as created:
        yield created


def version(broker: Broker) -> tuple[int, int, int]:
    return from_server_properties({"version": broker.version}).version


def types(broker: Broker) -> dict[str, dict[str, Any]]:
    return {kind: keys for kind, keys in EXCHANGES.items() if kind != "x-local-random" or version(broker) >= (4, 0, 0)}


def topology(exchanges: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Two queues, both bound to each of the exchanges."""
    bindings = [
        {"exchange": kind, **{"x-consistent-hash": {"weight": 1}, "x-local-random": {}}.get(kind, {"routing_key": "k"})}
        for kind in exchanges
        if kind != "x-jms-topic"  # its bindings are a JMS client's own
    ]
    queues = {name: {"bindings": bindings, "type": "classic"} for name in ("one", "other")}
    declared = {kind: {"type": kind, **keys} for kind, keys in exchanges.items()}
    return {"version": 1, "exchanges": declared, "queues": queues, "delays": {"max": "1s"}}


def written(folder: Path, exchanges: dict[str, dict[str, Any]]) -> str:
    file = folder / "topology.yaml"
    file.write_text(json.dumps(topology(exchanges)))  # which is YAML as well
    return str(file)


def run(broker: Broker, vhost: Vhost, *arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, [*arguments, "--broker", vhost.url, "--management", broker.management_url])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.long
def test_with_its_plugin_every_type_is_declared_planned_exported_and_imported(
    own_broker: StartedBroker, with_plugins: Vhost, tmp_path: Path
):
    vhost = with_plugins
    file = written(tmp_path, types(own_broker))
    status, out, _ = run(own_broker, vhost, "plan", file)
    assert status == 2
    assert "warning" not in out
    status, out, err = run(own_broker, vhost, "declare", file)
    assert status == 0, err
    declared = {one["name"]: one["type"] for one in vhost.management.exchanges()}
    assert {kind: declared.get(kind) for kind in types(own_broker)} == {kind: kind for kind in types(own_broker)}
    assert run(own_broker, vhost, "plan", file, "--prune")[0] == 0
    assert run(own_broker, vhost, "declare", file)[0] == 0, "declared again, all is equal"

    exported = tmp_path / "exported.yaml"
    status, _, err = run(own_broker, vhost, "topology", "export", "-o", str(exported))
    assert (status, err.count("left out")) == (0, 0)
    assert "hash_header: customer" in exported.read_text()
    assert "weight: 1" in exported.read_text()
    status, out, _ = run(own_broker, vhost, "plan", str(exported), "--prune")
    assert status == 0, out

    definitions = ["topology", "definitions", file, "--release", own_broker.version]
    document = json.loads(CliRunner().invoke(main, definitions).stdout)
    with new_vhost(own_broker) as imported:
        Management(own_broker.management_url, imported.url).request("POST", "definitions", imported.name, body=document)
        status, out, _ = run(own_broker, imported, "plan", file, "--prune")
        assert status == 0, out


def test_each_type_leads_where_the_manual_says(own_broker: StartedBroker, with_plugins: Vhost, tmp_path: Path):
    exchanges = types(own_broker)
    assert run(own_broker, with_plugins, "declare", written(tmp_path, exchanges))[0] == 0
    with Session([with_plugins.url]) as session:
        for kind in exchanges:
            for number in range(20):
                headers = {"customer": str(number)}
                if kind != "x-jms-topic":
                    session.publish(Outgoing(kind, f"any.{number}", b"x", Properties(headers=headers)))
            got = [session.purge_queue(queue) for queue in ("one", "other")]
            expected = {"x-jms-topic": 0, "x-recent-history": 40}.get(kind, 20)
            assert sum(got) == expected, kind
            assert all(got) or kind in ("x-jms-topic", "x-local-random"), (kind, got)


def test_a_local_random_goes_with_delays_and_full_queues_and_a_quorum_queue_is_refused_before_anything_is_made(
    broker: Broker, vhost: Vhost, tmp_path: Path
):
    if version(broker) < (4, 0, 0):
        pytest.skip("x-local-random came with 4.0")
    near = {"exchanges": {"near": {"type": "x-local-random"}}, "routes": {"*": {"exchange": "near"}}, "version": 1}
    bound: dict[str, Any] = {"bindings": [{"exchange": "near"}], "max_length": 1}
    file = tmp_path / "topology.yaml"
    file.write_text(json.dumps(near | {"queues": {"one": bound}}))  # quorum, as by default
    status, _, err = run(broker, vhost, "declare", str(file))
    assert (status, "Write `type: classic`" in err) == (1, True), err
    assert "near" not in {one["name"] for one in vhost.management.exchanges()}

    classic = {name: {**bound, "type": "classic"} for name in ("one", "other")}
    file.write_text(json.dumps(near | {"queues": classic, "delays": {"max": "4s"}}))
    status, _, err = run(broker, vhost, "declare", str(file))
    assert status == 0, err
    assert run(broker, vhost, "plan", str(file), "--prune")[0] == 0
    app = App("shop", vhost.url, topology=str(file), ignore_result=True)
    note = app.task(name="note")(lambda: None)
    for _ in range(3):
        note.apply_async(countdown=0.3)

    app.close()

    def depths() -> dict[str, int]:
        found = {one["name"]: one.get("messages", 0) for one in vhost.management.queues()}
        return {name: depth for name, depth in found.items() if depth}

    # The first queue takes one, and is full; its fellows wait before it, and none is lost or there twice.
    wait_for(lambda: depths() == {"one": 1, room("one"): 2}, 20, lambda: str(depths()))


def test_without_the_plugin_plan_and_refusals_say_which_to_enable(broker: Broker, vhost: Vhost, tmp_path: Path):
    known = {one["name"] for one in vhost.management.overview()["exchange_types"]}
    refused = set()
    for kind, keys in types(broker).items():
        file = written(tmp_path, {kind: keys})
        if kind in known:
            assert run(broker, vhost, "declare", file)[0] == 0
            continue
        advice = f"rabbitmq-plugins enable {EXTENSIONS[kind].plugin}"
        status, out, _ = run(broker, vhost, "plan", file)
        assert status == 2
        assert f"warning: exchange type {kind}: this broker does not have it, and refuses {kind}\n" in out
        assert advice in out
        status, _, err = run(broker, vhost, "declare", file)
        assert status == 3
        assert f"the broker has no exchange type {kind}: run `{advice}` on each of its nodes" in err
        with Session([vhost.url]) as session, pytest.raises(BrokerError, match=advice):  # as an app does
            declare_or_check(expand(from_mapping(topology({kind: keys})), session.capabilities), session)
        refused.add(kind)
    if isinstance(broker, StartedBroker):  # whose plugins are known
        by_itself = {"x-local-random"} | ({"x-modulus-hash"} if version(broker) >= (4, 3, 0) else set())
        assert refused == types(broker).keys() - by_itself


def test_a_type_that_nobody_knows_is_told_so(broker: Broker, vhost: Vhost, tmp_path: Path):
    status, _, err = run(broker, vhost, "declare", written(tmp_path, {"x-of-somebody": {}}))
    assert status == 3
    assert "no exchange type x-of-somebody: enable the plugin that has x-of-somebody" in err
