"""`amqptasks topology graph --live`: what the queues of a broker hold, in the picture."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from amqptasks import dial
from amqptasks.cli import main
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.topology.broker.declare import declare
from amqptasks.topology.expand.expand import expand
from amqptasks.topology.read.loader import load
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for


def test_a_live_graph_has_what_the_queues_hold(vhost: Vhost, broker, tmp_path: Path) -> None:
    file = tmp_path / "live.yaml"
    file.write_text("version: 1\nqueues:\n  mails: {max_priority: 5}\n")
    session = dial.session([vhost.url])
    declare(expand(load(file), session.capabilities), session)
    for _ in range(3):
        session.publish(Outgoing("amqptasks.queues", "mails", b"{}", Properties()))
    is_quorum = session.capabilities.quorum_priorities
    session.close()

    def drawn() -> dict | None:
        """The queue's node, once the management API has counted."""
        arguments = ["--broker", vhost.url, "--management", broker.management_url, "--format", "json"]
        done = CliRunner().invoke(main, ["topology", "graph", str(file), "--live", *arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        nodes = {node["id"]: node for node in json.loads(done.stdout)["nodes"]}
        node: dict = nodes["queue:mails"]
        return node if node["figures"] and node["figures"]["ready"] == 3 else None

    node = wait_for(drawn, 30)
    assert node["type"] == ("quorum" if is_quorum else "classic")
    assert (node["figures"]["unacked"], node["figures"]["consumers"]) == (0, 0)


def test_a_live_graph_without_a_management_api_says_how_to_get_one(vhost: Vhost, tmp_path: Path) -> None:
    file = tmp_path / "live.yaml"
    file.write_text("version: 1\nqueues:\n  mails:\n")
    arguments = ["--broker", vhost.url, "--management", "http://127.0.0.1:9"]
    done = CliRunner().invoke(main, ["topology", "graph", str(file), "--live", *arguments])
    assert done.exit_code == 3
    assert "the management API does not tell" in done.stderr
