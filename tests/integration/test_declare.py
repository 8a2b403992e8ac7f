"""Declaring a topology on a real broker, by hand and by command; and the blocking session underneath."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from amqptasks.amqp.blocking.session import Session
from amqptasks.cli import main
from amqptasks.errors import (
    AccessRefused,
    DeclarationConflict,
)
from amqptasks.topology.broker.declare import declare, declare_or_check
from amqptasks.topology.expand.expand import Objects, expand
from amqptasks.topology.expand.ladder import ladder_objects
from amqptasks.topology.read.loader import from_mapping, load
from amqptasks.topology.topology import Topology, default
from amqptasks.transport.capabilities import Capabilities
from amqptasks.transport.entities import Exchange
from tests.harness.vhost import Vhost

READY = Path(__file__).parents[2] / "topology"


def _one(**settings: object) -> Topology:
    return from_mapping({"version": 1, "queues": {"q": settings}})


def _declare(topology: Topology, session: Session) -> dict[str, str]:
    return {change.name: change.state for change in declare(expand(topology, session.capabilities), session)}


# The topology


@pytest.mark.parametrize("name", ["minimal.yaml", "shop.yaml"])
def test_a_ready_topology_is_created_and_the_second_time_all_is_there(name: str, session: Session):
    topology = load(READY / name)
    objects = expand(topology, session.capabilities) + ladder_objects(topology, session.capabilities)
    heard: list[str] = []
    first = declare(objects, session, lambda change: heard.append(change.name))
    assert heard == [change.name for change in first]
    assert {change.state for change in first if change.kind != "binding"} == {"created"}
    second = declare(objects, session)
    assert {change.state for change in second if change.kind != "binding"} == {"present"}
    assert {change.state for change in second if change.kind == "binding"} == {"bound"}
    assert len(first) == len(second) == len(objects)


def test_the_broker_has_what_the_shop_says(session: Session, vhost: Vhost):
    _declare(load(READY / "shop.yaml"), session)
    emails = vhost.management.queue("emails")
    assert emails is not None
    newest = session.capabilities.quorum_priorities
    assert emails["arguments"]["x-queue-type"] == ("quorum" if newest else "classic")
    assert emails["arguments"]["x-dead-letter-routing-key"] == "emails.dead"
    payments = vhost.management.queue("payments")
    assert payments is not None
    assert payments["arguments"]["x-delivery-limit"] == 25
    assert payments["arguments"]["x-dead-letter-strategy"] == "at-least-once"
    bound = {(binding["source"], binding["routing_key"]) for binding in vhost.management.bindings("audit")}
    assert bound == {("amqptasks.queues", "audit"), ("events", ""), ("tasks", "payment.*")}


def test_every_kind_of_queue_that_a_file_can_ask_for_is_taken_by_the_broker(session: Session):
    topology = from_mapping(
        {
            "version": 1,
            "exchanges": {
                "h": {"type": "headers", "alternate_exchange": "amq.fanout"},
                "t": {"type": "topic", "auto_delete": True, "durable": False},
                "i": {"internal": True, "bindings": [{"exchange": "t", "routing_key": "i.#"}]},
            },
            "queues": {
                "full": {
                    "bindings": [{"exchange": "h", "arguments": {"x-match": "any", "format": "pdf", "n": 1}}],
                    "max_length": 5,
                    "max_length_bytes": 5_000_000_000,
                    "message_ttl": "3650d",
                    "single_active_consumer": True,
                    "consumer_timeout": "2h",
                    "delivery_limit": 1_000_000_000,
                    "dead_letter": {"ttl": "1ms", "max_length": 1, "max_length_bytes": 1},
                    "expires": "10m",
                    "initial_group_size": 1,
                },
                "classic": {
                    "type": "classic",
                    "max_priority": 255,
                    "max_length": 5,
                    "message_ttl": "1s",
                    "single_active_consumer": True,
                    "queue_mode": "lazy",
                },
                "important": {"max_priority": 31, "consumer_timeout": "1h", "max_length": 3, "message_ttl": "1d"},
                "log": {"type": "stream", "max_length_bytes": 1_000_000, "max_age": "7d"},
                "careless": {"dead_letter": False},
            },
        }
    )
    objects = expand(topology, session.capabilities) + ladder_objects(topology, session.capabilities)
    assert {change.state for change in declare(objects, session)} == {"created", "bound"}
    assert {change.state for change in declare(objects, session)} == {"present", "bound"}


@pytest.mark.parametrize(
    ("before", "after", "argument", "wanted", "current"),
    [
        ({"max_length": 10}, {"max_length": 11}, "x-max-length", "11", "10"),
        ({}, {"message_ttl": "5s"}, "x-message-ttl", "5000", "none"),
        ({"message_ttl": "5s"}, {}, "x-message-ttl", "none", "5000"),
        ({"type": "classic"}, {}, "x-queue-type", "quorum", "classic"),
    ],
)
def test_a_changed_argument_is_a_sentence_with_both_values(
    session: Session, before: dict, after: dict, argument: str, wanted: str, current: str
):
    _declare(_one(**before), session)
    with pytest.raises(DeclarationConflict) as caught:
        _declare(_one(**after), session)
    error = caught.value
    assert (error.kind, error.name) == ("queue", "q")
    # A change of type brings others with it, and the broker names whichever it looks at first.
    if argument != "x-queue-type":
        assert (error.argument, error.wanted, error.current) == (argument, wanted, current)
    assert str(error) == (
        f"queue 'q' exists with another {error.argument}: the broker has {error.current}, the topology wants"
        f" {error.wanted}. It cannot be changed in place: write the broker's value into the file, or"
        f" `amqptasks migrate q FILE` replaces it, with its messages"
    )
    assert session.queue_state("q") is not None


def test_a_changed_exchange_is_a_sentence_with_both_values(session: Session):
    session.declare_exchange(Exchange("it's", "topic"))
    for changed, argument, wanted, current in (
        (Exchange("it's", "fanout"), "type", "fanout", "topic"),
        (Exchange("it's", "topic", durable=False), "durable", "false", "true"),
        (Exchange("it's", "topic", arguments={"alternate-exchange": "x"}), "alternate-exchange", "x", "none"),
    ):
        with pytest.raises(DeclarationConflict) as caught:
            session.declare_exchange(changed)
        error = caught.value
        assert (error.kind, error.name, error.argument) == ("exchange", "it's", argument)
        assert (error.wanted, error.current) == (wanted, current)
        assert str(error).endswith(
            "write the broker's value into the file, or delete it and run `amqptasks declare`, which binds it again;"
            " what is published to it in between is refused (404)"
        )


def test_a_queue_from_before_an_upgrade_of_the_broker_stays_as_it_is(session: Session):
    topology = _one(max_priority=9)
    declare(expand(topology, Capabilities(version=(3, 10, 8))), session)  # as an older release got it
    states = _declare(topology, session)
    newest = session.capabilities.quorum_priorities
    assert states["q"] == ("older" if newest else "present")
    assert states["q.dead"] == "present"


# Rights


@pytest.fixture
def poor(vhost: Vhost) -> Iterator[Session]:
    """A user who may write and read, but not configure."""
    name = f"poor-{vhost.name}"
    vhost.management.request("PUT", "users", name, body={"password": "hunter2", "tags": ""})
    rights = {"configure": "^$", "write": ".*", "read": ".*"}
    vhost.management.request("PUT", "permissions", vhost.name, name, body=rights)
    host = vhost.url.partition("@")[2]
    with Session([f"amqp://{name}:hunter2@{host}"]) as opened:
        yield opened
    vhost.management.request("DELETE", "users", name)


def test_without_the_right_to_configure_what_is_there_will_do(session: Session, poor: Session):
    objects = expand(default(), session.capabilities)
    with pytest.raises(AccessRefused, match="run `amqptasks declare` once"):
        declare_or_check(objects, poor)
    declare(objects, session)
    with pytest.raises(AccessRefused, match="access to exchange"):
        declare(objects, poor)
    states = {change.name: change.state for change in declare_or_check(objects, poor)}
    assert states["default"] == states["default.dead"] == states["amqptasks.queues"] == "present"


def _run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, ["declare", *arguments])
    return done.exit_code, done.stdout, done.stderr


def test_the_command_says_what_it_created_and_what_was_there(vhost: Vhost):
    status, out, _ = _run(str(READY / "shop.yaml"), "--broker", vhost.url)
    assert status == 0
    assert "tasks -> emails [email.#]" in out
    assert "created" in out
    assert "was there" not in out
    status, out, _ = _run(str(READY / "shop.yaml"), "--broker", vhost.url)
    assert status == 0
    assert "was there" in out
    assert "created" not in out


def test_the_command_prints_json_and_leaves_out_the_ladder_if_asked(vhost: Vhost):
    status, out, _ = _run(str(READY / "minimal.yaml"), "--broker", vhost.url, "--json", "--no-delays")
    assert status == 0
    rows = json.loads(out)
    assert {"kind": "queue", "name": "default.dead", "state": "created"} in rows
    assert not [row for row in rows if row["name"].startswith("amqptasks.delay")]


def test_the_command_has_an_exit_status_for_each_kind_of_failure(vhost: Vhost, tmp_path: Path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("version: 1\nqueues:\n  a: {max_lenght: 5}\n")
    status, out, err = _run(str(wrong), "--broker", vhost.url)
    assert (status, out) == (1, "")
    assert f"{wrong}:3: queues.a.max_lenght: unknown key" in err
    assert _run("--broker", vhost.url)[0] == 2
    status, _, err = _run(str(READY / "minimal.yaml"), "--broker", f"{vhost.url}-missing")
    assert status == 3
    assert "no such virtual host" in err
    changed = tmp_path / "changed.yaml"
    changed.write_text("version: 1\nqueues:\n  a: {max_length: 5}\n")
    assert _run(str(changed), "--broker", vhost.url)[0] == 0
    changed.write_text("version: 1\nqueues:\n  a: {max_length: 6}\n")
    status, _, err = _run(str(changed), "--broker", vhost.url)
    assert status == 4
    assert "the broker has 5, the topology wants 6" in err


def test_a_file_that_names_its_virtual_host_is_declared_there(vhost: Vhost, tmp_path: Path):
    file = tmp_path / "there.yaml"
    file.write_text(f"version: 1\nvhost: {vhost.name}\nqueues:\n  here:\n")
    anywhere = vhost.url.rpartition("/")[0]
    assert _run(str(file), "--broker", anywhere, "--no-delays")[0] == 0
    assert vhost.management.ready("here") == 0
    status, _, err = _run(str(file), "--broker", f"{anywhere}/other")
    assert status == 1
    assert "names 'other'" in err


@pytest.mark.long
def test_a_thousand_objects_are_declared_in_reasonable_time(session: Session):
    objects = Objects(exchanges=tuple(Exchange(f"e{number}", "topic") for number in range(500)))
    assert len(declare(objects, session)) == 500
    assert {change.state for change in declare(objects, session)} == {"present"}
