"""Declaring a topology on a real broker, by hand and by command; and the blocking session underneath."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from amqptasks.amqp.session import Session
from amqptasks.capabilities import Capabilities
from amqptasks.cli import main
from amqptasks.entities import Binding, Exchange, Queue
from amqptasks.errors import (
    AccessRefused,
    BrokerUnreachable,
    ConnectionBlocked,
    DeclarationConflict,
    Nacked,
    PublishRejected,
    PublishTimeout,
    Unroutable,
)
from amqptasks.topology.declare import declare, declare_or_check
from amqptasks.topology.expand import Objects, expand
from amqptasks.topology.ladder import ladder_objects
from amqptasks.topology.loader import from_mapping, load
from amqptasks.topology.topology import Topology, default
from amqptasks.transport import Outgoing, Properties
from tests.harness.nodes import StartedBroker
from tests.harness.proxy import Proxy
from tests.harness.vhost import Vhost, new_vhost
from tests.harness.wait import wait_for

READY = Path(__file__).parents[2] / "topology"


@pytest.fixture
def session(vhost: Vhost) -> Iterator[Session]:
    with Session([vhost.url]) as opened:
        yield opened


def _one(**settings: object) -> Topology:
    return from_mapping({"version": 1, "queues": {"q": settings}})


def _declare(topology: Topology, session: Session) -> dict[str, str]:
    return {change.name: change.state for change in declare(expand(topology, session.capabilities), session)}


def _message(queue: str, body: bytes = b"x") -> Outgoing:
    return Outgoing("amqptasks.queues", queue, body, Properties(correlation_id=body.decode()))


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
    assert f"the broker has {error.current}, the topology wants {error.wanted}" in str(error)
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


def test_a_wrong_password_and_a_missing_virtual_host_are_refused_at_once_and_without_the_password(vhost: Vhost):
    host = vhost.url.partition("@")[2]
    with pytest.raises(AccessRefused) as caught:
        Session([f"amqp://guest:hunter2@{host}"], timeout=30).exchange_exists("x")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(AccessRefused, match="virtual host"):
        Session([f"{vhost.url}-missing"], timeout=30).exchange_exists("x")


def test_nobody_at_the_address_is_said_after_the_deadline_and_a_second_address_is_tried(vhost: Vhost):
    nowhere = "amqp://guest:hunter2@127.0.0.1:1/"
    with pytest.raises(BrokerUnreachable, match=r"amqp://guest:\*\*\*@127.0.0.1:1/: nothing listens there"):
        Session([nowhere], timeout=0.5).exchange_exists("x")
    with Session([nowhere, vhost.url]) as session:
        assert session.exchange_exists("amq.topic")


# The session


def test_a_session_says_what_is_there_and_survives_what_closes_its_channel(session: Session):
    assert session.queue_state("q") is None
    assert not session.exchange_exists("e")
    session.declare_exchange(Exchange("e", "topic"))
    session.declare_queue(Queue("q", arguments={"x-queue-type": "quorum"}))
    binding = Binding("e", "q", "a.#")
    session.bind(binding)
    session.publish(Outgoing("e", "a.b", b"1", Properties()))
    wait_for(lambda: session.queue_state("q").messages == 1)  # type: ignore[union-attr]
    session.unbind(binding)
    with pytest.raises(Unroutable):
        session.publish(Outgoing("e", "a.b", b"1", Properties()))
    session.publish(Outgoing("e", "a.b", b"1", Properties(), mandatory=False))
    assert session.purge_queue("q") == 1
    session.delete_queue("q")
    session.delete_exchange("e")
    session.delete_queue("q")  # a second time is no error
    assert session.queue_state("q") is None
    assert not session.exchange_exists("e")


def test_each_way_to_refuse_a_message_has_its_own_error(session: Session):
    _declare(_one(max_length=1), session)
    with pytest.raises(PublishRejected, match="no exchange 'missing'"):
        session.publish(Outgoing("missing", "q", b"", Properties()))
    with pytest.raises(PublishRejected, match="user_id"):
        session.publish(Outgoing("amqptasks.queues", "q", b"", Properties(user_id="somebody")))
    with pytest.raises(Unroutable):
        session.publish(_message("other"))

    def refused() -> bool:
        try:
            session.publish(_message("q"))
        except Nacked:
            return True
        return False

    wait_for(refused)


def test_a_publish_into_silence_ends_at_the_deadline(session: Session, proxy: Proxy):
    declare(expand(default(), session.capabilities), session)
    with Session([proxy.url], timeout=1.0) as through:
        through.publish(_message("default", b"one"))
        proxy.pause()
        with pytest.raises(PublishTimeout) as caught:
            through.publish(_message("default", b"two"))
        assert caught.value.message_id == "two"
        proxy.resume()
        through.publish(_message("default", b"three"))


def test_a_broker_that_is_short_of_memory_is_named_as_the_reason(own_broker: StartedBroker):
    with new_vhost(own_broker) as vhost, Session([vhost.url], timeout=2.0) as session:
        declare(expand(default(), session.capabilities), session)
        session.publish(_message("default", b"one"))
        own_broker.node.rabbitmqctl("set_vm_memory_high_watermark", "0")
        try:
            with pytest.raises(ConnectionBlocked, match="low on memory"):
                session.publish(_message("default", b"two"))
        finally:
            own_broker.node.rabbitmqctl("set_vm_memory_high_watermark", "0.4")
        wait_for(lambda: session.publish(_message("default", b"three")) is None)


def test_a_session_comes_back_after_its_connection_was_cut(session: Session, proxy: Proxy):
    declare(expand(default(), session.capabilities), session)
    with Session([proxy.url]) as through:
        through.publish(_message("default", b"one"))
        proxy.cut()
        with pytest.raises(BrokerUnreachable):
            through.publish(_message("default", b"two"))
        through.publish(_message("default", b"three"))


def test_taking_leaves_messages_in_their_place_until_they_are_acked(session: Session):
    declare(expand(default(), session.capabilities), session)
    dead = "default.dead"
    for number in range(20):
        session.publish(_message(dead, str(number).encode()))
    assert [int(one.body) for one in session.take(dead, 5)] == [0, 1, 2, 3, 4]
    session.give_back()
    taken = list(session.take(dead, 100))
    assert [int(one.body) for one in taken] == list(range(20))
    for one in taken[3:]:
        session.ack(one)
    session.give_back()
    assert [int(one.body) for one in session.take(dead, 100)] == [0, 1, 2]
    session.give_back()
    wait_for(lambda: session.queue_state(dead).messages == 3)  # type: ignore[union-attr]


def test_acking_while_taking_gives_no_more_than_was_asked_for(session: Session):
    declare(expand(default(), session.capabilities), session)
    for number in range(20):
        session.publish(_message("default", str(number).encode()))
    seen = []
    for one in session.take("default", 7):
        seen.append(int(one.body))
        session.publish(_message("default.dead", one.body))
        session.ack(one)
    assert seen == list(range(7))
    session.give_back()
    wait_for(lambda: session.queue_state("default").messages == 13)  # type: ignore[union-attr]
    assert len(list(session.take("default.dead", 100))) == 7


def test_taking_from_an_empty_queue_ends(session: Session):
    declare(expand(default(), session.capabilities), session)
    assert list(session.take("default", 10)) == []


def test_looking_at_dead_letters_many_times_loses_none(session: Session):
    declare(expand(default(), session.capabilities), session)
    session.publish(_message("default.dead", b"keep"))
    for _ in range(25):  # RabbitMQ's default delivery limit is 20
        assert [one.body for one in session.take("default.dead", 10)] == [b"keep"]
        session.give_back()


# The command


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


def test_a_thousand_objects_are_declared_in_reasonable_time(session: Session):
    objects = Objects(exchanges=tuple(Exchange(f"e{number}", "topic") for number in range(500)))
    assert len(declare(objects, session)) == 500
    assert {change.state for change in declare(objects, session)} == {"present"}
