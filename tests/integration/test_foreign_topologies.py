"""Topologies that other tools made, through the management API or with arguments of other types than ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika
import pytest
import yaml
from click.testing import CliRunner

from amqptasks.amqp.blocking.session import Session
from amqptasks.cli import main
from amqptasks.management.client import Management
from amqptasks.transport.entities import Binding, Exchange, Queue
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for

HEADERS = "version: 1\ndelays: false\nexchanges: {h: {type: headers}}\nqueues:\n"


def run(vhost: Vhost, *words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, [*words, "--broker", vhost.url, "--management", base(vhost)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done.exit_code, done.stdout, done.stderr


def base(vhost: Vhost) -> str:
    return vhost.management._base.removesuffix("/api")


def api(vhost: Vhost) -> Management:
    return Management(base(vhost), vhost.url)


def bindings(vhost: Vhost, source: str) -> list[dict[str, Any]]:
    return [one["arguments"] for one in api(vhost).request("GET", "bindings", vhost.name) if one["source"] == source]


def upload(vhost: Vhost, **definitions: Any) -> None:
    """As Terraform or the Kubernetes operator do: every integer becomes one of 64 bits."""
    api(vhost).request("POST", "definitions", vhost.name, body=definitions)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "topology.yaml"
        path.write_text(text)
        return str(path)

    return write


EXCHANGE = {"durable": True, "auto_delete": False, "internal": False, "arguments": {}}


@pytest.mark.parametrize(
    "arguments",
    [
        {"x-match": "all", "tier": 1},
        {"x-match": "any", "size": 2**40, "small": -3},
        {"x-match": "all", "price": 0.5, "deep": {"list": [1, 2.5, "two", True], "text": "x"}},
    ],
    ids=["an-integer", "large-and-negative", "fractions-and-nesting"],
)
def test_prune_removes_a_binding_whose_arguments_came_over_http(
    arguments: dict[str, Any], vhost: Vhost, written: Callable[[str], str]
):
    upload(
        vhost,
        exchanges=[{"name": "h", "type": "headers", **EXCHANGE}],
        queues=[{"name": "orders", "durable": True, "auto_delete": False, "arguments": {"x-queue-type": "quorum"}}],
        bindings=[
            {
                "source": "h",
                "destination": "orders",
                "destination_type": "queue",
                "routing_key": "",
                "arguments": arguments,
            }
        ],
    )
    file = written(HEADERS + "  orders: {exact: true, type: quorum}\n")
    assert run(vhost, "plan", file, "--prune")[0] == 2
    status, out, _ = run(vhost, "declare", file, "--prune", "--yes")
    assert status == 0
    assert "deleted" in out
    assert bindings(vhost, "h") == []


def test_migrate_ends_for_a_queue_whose_bindings_have_64_bit_integers(vhost: Vhost, written: Callable[[str], str]):
    arguments = {"x-match": "all", "tier": 1}
    upload(
        vhost,
        exchanges=[{"name": "h", "type": "headers", **EXCHANGE}],
        queues=[{"name": "orders", "durable": True, "auto_delete": False, "arguments": {}}],
        bindings=[
            {
                "source": "h",
                "destination": "orders",
                "destination_type": "queue",
                "routing_key": "",
                "arguments": arguments,
            }
        ],
    )
    file = written(HEADERS + "  orders: {bindings: [{exchange: h, arguments: {x-match: all, tier: 1}}]}\n")
    status, _, err = run(vhost, "migrate", "orders", file, "--wait", "20s", "--figures-every", "1s")
    assert status == 0, err
    assert bindings(vhost, "h") == [arguments], "bound once, to the new queue"


def test_declare_binds_fractions_and_a_plan_afterwards_is_empty(vhost: Vhost, written: Callable[[str], str]):
    arguments = "{x-match: all, price: 0.5, deep: {list: [1.25, 2]}}"
    file = written(f"{HEADERS}  default: {{bindings: [{{exchange: h, arguments: {arguments}}}]}}\n")
    assert run(vhost, "declare", file)[0] == 0
    assert bindings(vhost, "h") == [{"x-match": "all", "price": 0.5, "deep": {"list": [1.25, 2]}}]
    assert run(vhost, "plan", file)[0] == 0


def test_export_writes_a_void_argument_as_a_void_and_says_so(vhost: Vhost, tmp_path: Path):
    with Session([vhost.url]) as session:
        session.declare_exchange(Exchange("h", "headers"))
        session.declare_queue(Queue("with-id", arguments={"x-queue-type": "quorum"}))
        session.bind(Binding("h", "with-id", arguments={"x-match": "all", "tenant-id": None}))
        file = tmp_path / "exported.yaml"
        status, _, err = run(vhost, "topology", "export", "-o", str(file))
        assert status == 0
        assert "tenant-id" in err
        found = yaml.safe_load(file.read_text())["queues"]["with-id"]["bindings"]
        assert found == [{"exchange": "h", "arguments": {"x-match": "all", "tenant-id": None}}]
        assert run(vhost, "plan", str(file))[0] == 0
        session.delete_queue("with-id")
        assert run(vhost, "declare", str(file))[0] == 0
    with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        headers = pika.BasicProperties(headers={"tenant-id": 5})
        channel.basic_publish("h", "", b"", headers, mandatory=True)  # raises where no queue takes it


def test_prune_leaves_a_live_client_and_what_plugins_keep(vhost: Vhost, written: Callable[[str], str]):
    file = written(
        'version: 1\ndelays: false\nexchanges: {"Shop:Submitted": {type: fanout}}\n'
        'queues: {orders: {exact: true, type: classic, bindings: [{exchange: "Shop:Submitted"}]}}\n'
    )
    assert run(vhost, "declare", file)[0] == 0
    got: list[bytes] = []
    with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
        channel = connection.channel()
        channel.exchange_declare("bus", "fanout", auto_delete=True)
        channel.exchange_bind("bus", "Shop:Submitted", "")
        channel.exchange_declare("news", "fanout", durable=True)  # durable, and a client of this moment listens to it
        channel.queue_declare("bus", auto_delete=True)
        channel.queue_bind("bus", "bus", "")
        channel.queue_bind("bus", "news", "")
        channel.basic_consume("bus", lambda *message: got.append(message[3]), auto_ack=True)
        channel.exchange_declare("upstream", "fanout", internal=True, arguments={"x-internal-purpose": "federation"})
        channel.exchange_bind("upstream", "Shop:Submitted", "")
        channel.queue_declare("stale", durable=True)
        channel.queue_bind("stale", "Shop:Submitted", "")
        status, out, err = run(vhost, "declare", file, "--prune", "--yes", "--json")
        assert status == 0, err
        deleted = {row["name"] for row in json.loads(out) if row["state"] == "deleted"}
        assert deleted == {"stale"}
        for exchange in ("Shop:Submitted", "news"):
            channel.basic_publish(exchange, "", exchange.encode())

        def both() -> bool:
            connection.process_data_events(0.05)
            return len(got) == 2

        wait_for(both, 5, "the client still gets what is published")
    assert sorted(got) == [b"Shop:Submitted", b"news"]


@pytest.mark.parametrize(("argument", "policy"), [("90d", "1s"), ("1s", "90D")], ids=["shorter", "longer"])
def test_a_policy_that_beats_max_age_of_a_stream_is_a_warning(
    argument: str, policy: str, vhost: Vhost, written: Callable[[str], str]
):
    file = written(f"version: 1\ndelays: false\nqueues:\n  log: {{type: stream, max_age: {argument}}}\n")
    assert run(vhost, "declare", file)[0] == 0
    assert "warning" not in run(vhost, "plan", file)[1]
    definition = {"max-age": policy}
    body = {"pattern": "^log$", "apply-to": "queues", "definition": definition, "priority": 0}
    api(vhost).put("policies", vhost.name, "short", body=body)
    said = run(vhost, "plan", file)[1]
    assert f"warning: policy short: its max-age {policy} beats the argument" in said


def test_a_stream_that_differs_is_offered_a_policy_and_no_migrate(vhost: Vhost, written: Callable[[str], str]):
    text = "version: 1\ndelays: false\nqueues:\n  log: {type: stream, max_age: 90d}\n"
    assert run(vhost, "declare", written(text))[0] == 0
    status, said, _ = run(vhost, "plan", written(text.replace("90d", "30d")))
    assert status == 2
    assert '"max_age": "30d"' in said
    assert "amqptasks migrate" not in said


FORGED = "p\noperator_policies: {x: {pattern: '.*', definition: {message_ttl: 1ms}}}\n#"


def test_a_name_with_a_line_break_forges_nothing_in_what_export_and_plan_print(
    vhost: Vhost, tmp_path: Path, written: Callable[[str], str]
):
    body = {"pattern": "^q$", "apply-to": "queues", "definition": {"queue-leader-locator": "x"}, "priority": 0}
    body["definition"] = {"max-age": "7D"}
    api(vhost).put("policies", vhost.name, FORGED, body=body)
    with Session([vhost.url]) as session:
        session.declare_queue(Queue("work", arguments={"x-queue-type": "quorum"}))
    file = tmp_path / "exported.yaml"
    status, _, err = run(vhost, "topology", "export", "-o", str(file))
    assert status == 0
    found = yaml.safe_load(file.read_text())
    assert "operator_policies" not in found
    assert found["policies"][FORGED]["definition"] == {"max_age": "7D"}
    other = written("version: 1\nqueues:\n  default:\npolicies: {o: {pattern: ^x$, definition: {max_length: 5}}}\n")
    said = run(vhost, "plan", other, "--prune")[1]
    assert "p\\noperator_policies" in said
    assert not any(line.startswith("operator_policies") for line in (said + err).splitlines())


ODD = [
    "orders\u00a0",
    " lead",
    "a: b",
    "no",
    "1.0",
    "trail ",
    "${X}",
    "x#y",
    "tab\t",
    "two\u2028lines",
    "next\u0085one",
]


def test_odd_names_come_back_from_export_as_they_are(vhost: Vhost, tmp_path: Path):
    with Session([vhost.url]) as session:
        for name in ODD:
            session.declare_queue(Queue(name, arguments={"x-queue-type": "classic"}))
    file = tmp_path / "exported.yaml"
    assert run(vhost, "topology", "export", "-o", str(file))[0] == 0
    status, said, err = run(vhost, "plan", str(file), "--prune")
    assert status == 0, said + err
    assert set(ODD) <= yaml.safe_load(file.read_text())["queues"].keys() | {"${X}"}


def test_users_whose_names_look_alike_get_a_variable_each(vhost: Vhost, tmp_path: Path):
    users = [f"{vhost.name}-b", f"{vhost.name}_b"]
    try:
        for name in users:
            api(vhost).put("users", name, body={"password": "secret", "tags": ""})
            api(vhost).put("permissions", vhost.name, name, body={"configure": "", "write": "", "read": ".*"})
        with Session([vhost.url]) as session:
            session.declare_queue(Queue("q", arguments={"x-queue-type": "classic"}))
        file = tmp_path / "exported.yaml"
        assert run(vhost, "topology", "export", "-o", str(file))[0] == 0
        found = yaml.safe_load(file.read_text())["users"]
        assert len({found[name]["password_from"] for name in users}) == 2
    finally:
        for name in users:
            api(vhost).delete("users", name)


def test_a_stream_named_default_does_not_keep_export_from_the_rest(vhost: Vhost, tmp_path: Path):
    with Session([vhost.url]) as session:
        session.declare_exchange(Exchange("amqptasks.queues"))
        session.declare_queue(Queue("default", arguments={"x-queue-type": "stream"}))
        session.bind(Binding("amqptasks.queues", "default", "default"))
        session.declare_queue(Queue("other", arguments={"x-queue-type": "classic"}))
    file = tmp_path / "exported.yaml"
    status, _, err = run(vhost, "topology", "export", "-o", str(file))
    assert status == 0, err
    assert {"default", "other"} <= yaml.safe_load(file.read_text())["queues"].keys()


def test_doctor_names_a_policy_that_undercuts_all_queues_once(vhost: Vhost, written: Callable[[str], str]):
    file = written("version: 1\nqueues:\n  default:\n")
    assert run(vhost, "declare", file)[0] == 0
    definition = {"max-length": 100, "overflow": "drop-head"}
    body = {"pattern": ".*", "apply-to": "all", "definition": definition, "priority": 0}
    api(vhost).put("policies", vhost.name, "every thing", body=body)
    findings = json.loads(run(vhost, "doctor", "--json")[1])["findings"]
    caused = [one for one in findings if "every thing" in json.dumps(one) or "set_policy" in one["mend"]]
    assert [one["subject"] for one in caused] == ["policy every thing"]
    assert "clear_policy" in caused[0]["mend"]


def test_the_migrate_line_of_a_plan_works_as_pasted(vhost: Vhost, written: Callable[[str], str]):
    with Session([vhost.url]) as session:
        session.declare_queue(Queue("my jobs", arguments={"x-queue-type": "quorum", "x-max-length": 7}))
    file = written(
        'version: 1\ndelays: false\nqueues:\n  "my jobs": {exact: true, type: quorum, arguments: {x-max-length: 5}}\n'
    )
    _, said, _ = run(vhost, "plan", file)
    line = next(line for line in said.splitlines() if "amqptasks migrate" in line)
    assert f"amqptasks migrate 'my jobs' {file}" in line


def test_a_plan_tells_a_wrong_password_from_a_missing_right(vhost: Vhost, written: Callable[[str], str]):
    file = written("version: 1\nqueues:\n  default:\n")
    wrong = vhost.url.replace(":guest@", ":wrong@")
    done = CliRunner().invoke(main, ["plan", file, "--broker", wrong, "--management", base(vhost)])
    assert done.exit_code == 1
    assert "password" in done.stderr
    assert "tags" not in done.stderr
    nobody = f"{vhost.name}-nobody"
    api(vhost).put("users", nobody, body={"password": "secret", "tags": "management"})
    try:
        foreign = vhost.url.replace("guest:guest@", f"{nobody}:secret@")
        done = CliRunner().invoke(main, ["plan", file, "--broker", foreign, "--management", base(vhost)])
        assert done.exit_code == 1
        assert "does not exist" not in done.stderr
        assert "no permission" in done.stderr
    finally:
        api(vhost).delete("users", nobody)
