"""Whatever other tools left on a broker comes back: make it, export it, wipe it, declare it, compare by the API."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings

from amqptasks.cli import main
from amqptasks.topology.broker.identity import binding_name, spelled, without_undefined
from amqptasks.topology.broker.observed import binding_of
from amqptasks.untrusted.printable import printable
from tests.harness.foreign import counts, foreign_vhosts, make
from tests.harness.nodes import GivenBroker, StartedBroker
from tests.harness.vhost import Vhost, new_vhost

Broker = GivenBroker | StartedBroker

PLUGINS = ("rabbitmq_consistent_hash_exchange", "rabbitmq_shovel", "rabbitmq_federation")

#: What is there: by kind and name, everything that the API says of it, in one spelling.
Snapshot = dict[tuple[str, str], str]


def seen(vhost: Vhost) -> Snapshot:
    """Without what the broker makes by itself: `amq.*`, and the bindings of the default exchange."""
    asked = vhost.management.request
    found: Snapshot = {}
    for one in asked("GET", "exchanges", vhost.name):
        if one["name"] and not one["name"].startswith("amq."):
            keys = ("type", "durable", "auto_delete", "internal")
            found["exchange", one["name"]] = spelled([one[key] for key in keys] + [one["arguments"] or {}])
    for one in asked("GET", "queues", vhost.name, columns="name,type,durable,auto_delete,arguments"):
        keys = ("durable", "auto_delete")
        arguments = {"x-queue-type": "classic", **(one["arguments"] or {})}  # older releases take it for said
        found["queue", one["name"]] = spelled([one[key] for key in keys] + [arguments])
    for one in asked("GET", "bindings", vhost.name):
        if one["source"]:
            bound = binding_of(one)
            bound = replace(bound, arguments=without_undefined(bound.arguments))
            found["binding", binding_name(bound)] = f"{bound.destination_type} {bound.destination}"
    for section, kind in (("policies", "policy"), ("operator-policies", "operator policy")):
        for one in asked("GET", section, vhost.name):
            keys = ("pattern", "apply-to", "priority", "definition")
            found[kind, one["name"]] = spelled([one[key] for key in keys])
    for one in asked("GET", "parameters"):
        if one["vhost"] == vhost.name and one["component"] in ("shovel", "federation-upstream"):
            found[one["component"], one["name"]] = ""
    return found


@dataclass
class Round:
    """One virtual host, there and back."""

    vhost: Vhost

    def run(self, *words: str) -> str:
        """A command that must do its work; its stderr."""
        base = self.vhost.management._base.removesuffix("/api")
        done = CliRunner().invoke(main, [*words, "--broker", self.vhost.url, "--management", base])
        assert done.exit_code == 0, (words, done.stdout, done.stderr, done.exception)
        return done.stderr

    def wipe(self) -> None:
        management = self.vhost.management
        management.request("DELETE", "vhosts", self.vhost.name)
        management.request("PUT", "vhosts", self.vhost.name)
        rights = {"configure": ".*", "write": ".*", "read": ".*"}
        management.request("PUT", "permissions", self.vhost.name, management.user, body=rights)


#: How a line ends that names what a client made for itself: what is bound to that goes with it.
OF_A_CLIENT = "and it goes by itself"


def _left_out(told: list[str], one: tuple[str, str], what: str) -> bool:
    """Whether a line on stderr names it; or the client's own queue or exchange that a binding leads to."""
    if any(_names(line, *one) for line in told):
        return True
    return one[0] == "binding" and any(
        line.startswith(printable(f"left out: {what}: ")) and line.endswith(OF_A_CLIENT) for line in told
    )


def _names(line: str, kind: str, name: str) -> bool:
    return line.startswith(printable(f"left out: {kind} {name}: "))


def there_and_back(broker: Broker, folder: Path, drawn: dict[str, Any]) -> int:
    """How many objects were left out and named."""
    with new_vhost(broker) as vhost:
        make(drawn, vhost)
        trip = Round(vhost)
        before = seen(vhost)
        file = folder / "exported.yaml"
        file.unlink(missing_ok=True)
        told = trip.run("topology", "export", "-o", str(file)).splitlines()
        trip.run("plan", str(file))
        trip.wipe()
        trip.run("declare", str(file))
        after = seen(vhost)
        text = file.read_text()
        missing = [one for one in before if after.get(one) != before[one]]
        silent = [(one, before[one], after.get(one)) for one in missing if not _left_out(told, one, before[one])]
        assert not silent, (silent, told, text, json.dumps(drawn))
        assert not after.keys() - before.keys(), (after.keys() - before.keys(), text)
        lines = [line for line in told if line.startswith("left out: ")]
        needless = [line for line in lines if not any(_names(line, *one) for one in missing)]
        assert not needless, (needless, missing)
        return len(missing)


def _generated(broker: Broker, folder: Path, plugins: bool, examples: int, most: int) -> tuple[str, int]:
    """What was in them, and how many there were."""
    drawn_ones: list[dict[str, Any]] = []
    left_out = 0

    @settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],  # shrinking would take minutes on a broker
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(foreign_vhosts(plugins, most=most))
    def generated(drawn: dict[str, Any]) -> None:
        nonlocal left_out
        left_out += there_and_back(broker, folder, drawn)
        drawn_ones.append(drawn)

    generated()
    found = counts(drawn_ones)
    said = ", ".join(f"{number} {kind}" for kind, number in sorted(found.items()))
    return f"{len(drawn_ones)} virtual hosts came back: {said}; {left_out} objects left out, each named", len(
        drawn_ones
    )


@pytest.mark.timeout(600)  # two dozen take ten seconds, and on a busy machine minutes
def test_what_other_tools_made_comes_back_from_export(
    broker: Broker, tmp_path: Path, record_property: Callable[[str, object], None]
):
    said, examples = _generated(broker, tmp_path, plugins=False, examples=24, most=3)
    record_property("counted", said)
    assert examples >= 24


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_1000_virtual_hosts_that_other_tools_made_come_back_from_export(
    own_broker: StartedBroker, tmp_path: Path, record_property: Callable[[str, object], None]
):
    own_broker.node.rabbitmq_plugins("enable", *PLUGINS)
    said, examples = _generated(own_broker, tmp_path, plugins=True, examples=1000, most=4)
    record_property("counted", said)
    assert examples >= 1000
    by_http = re.search(r"(\d+) virtual hosts by HTTP", said)
    assert by_http
    assert 400 < int(by_http[1]) < 600
