"""What the doctor finds on real brokers that were broken on purpose, and that its lines mend it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pika
import pytest

from amqptasks.amqp.blocking.session import Session
from amqptasks.dev.brokers.private_node import PrivateNode
from amqptasks.doctor.check import chosen
from amqptasks.doctor.examination import Examination, Patient, examine
from amqptasks.doctor.finding import Finding
from amqptasks.management.client import Management
from tests.conftest import start_node
from tests.harness.command import run_command
from tests.harness.nodes import StartedBroker
from tests.harness.vhost import Vhost, new_vhost
from tests.harness.wait import wait_for

#: Seconds until a figure is where the doctor reads it: statistics come every half second, a busy machine takes longer.
SEEN_WITHIN = 30.0

SAFE = {"x-queue-type": "quorum", "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}


@pytest.fixture
def vhost(own_broker: StartedBroker) -> Iterator[Vhost]:
    """On a node of our own: alarms and policies are made with rabbitmqctl."""
    with new_vhost(own_broker) as created:
        yield created


@pytest.fixture
def channel(vhost: Vhost) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
        yield connection.channel()


Look = Callable[..., list[Finding]]


@pytest.fixture
def look(own_broker: StartedBroker, vhost: Vhost) -> Look:
    """What one check finds, without an app."""

    def findings(check: str) -> list[Finding]:
        found = _examined(own_broker, vhost, check)
        assert not found.left_out
        return list(found.findings)

    return findings


def _examined(broker: StartedBroker, vhost: Vhost, *checks: str, url: str | None = None) -> Examination:
    address = url or vhost.url
    with Session([address]) as session:
        api = Management(broker.management_url, address)
        return examine(Patient(session, vhost.name, api), chosen(checks))


def only(look: Look, check: str) -> Finding:
    """The one finding of a check, once it is there."""
    return wait_for(lambda: look(check), SEEN_WITHIN, check, every=0.3)[0]


def told(look: Look, check: str, words: str) -> None:
    """A figure may be on its way to what it will be."""
    wait_for(lambda: any(words in found.problem for found in look(check)), SEEN_WITHIN, words, every=0.3)


def gone(look: Look, check: str) -> None:
    wait_for(lambda: not look(check), SEEN_WITHIN, lambda: str(look(check)), every=0.3)


def fix(line: str, broker: StartedBroker) -> None:
    """Run the rabbitmqctl line that is in a mending line, on this node."""
    command = re.search(r"rabbitmqctl .*", line)
    assert command is not None, line
    broker.node.rabbitmqctl(*shlex.split(command[0])[1:])


def publish(channel: pika.adapters.blocking_connection.BlockingChannel, queue: str, count: int = 1) -> None:
    channel.confirm_delivery()
    for _ in range(count):
        channel.basic_publish("", queue, b"{}", pika.BasicProperties(delivery_mode=2))


def test_a_policy_that_overrides_an_argument(look: Look, own_broker: StartedBroker, vhost: Vhost, channel) -> None:
    channel.exchange_declare("dlx", "fanout", durable=True)
    channel.queue_declare("letters", durable=True)
    channel.queue_bind("letters", "dlx")
    channel.queue_declare("work", durable=True, arguments={**SAFE, "x-dead-letter-exchange": "dlx"})
    assert look("policies") == look("dead-lettering") == []
    vhost.management.set_policy("drop all", ".*", overflow="drop-head")
    found = only(look, "policies")
    assert (
        "its overflow drop-head beats the argument reject-publish; dead-lettering at least once is off" in found.problem
    )
    assert "its overflow is drop-head" in only(look, "dead-lettering").problem
    fix(found.fix, own_broker)
    gone(look, "policies")
    gone(look, "dead-lettering")


def test_dead_lettering_at_most_once(look: Look, own_broker: StartedBroker, channel) -> None:
    channel.queue_declare("a.letters", durable=True)
    arguments = {"x-queue-type": "quorum", "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "a.letters"}
    channel.queue_declare("a.work", durable=True, arguments=arguments)
    found = only(look, "dead-lettering")
    assert (found.level, found.subject, found.check) == ("wrong", "queue a.work", "dead-lettering")
    fix(found.fix, own_broker)
    gone(look, "dead-lettering")


def test_dead_letters_without_a_target_and_messages_that_cannot_leave(look: Look, channel) -> None:
    arguments = {**SAFE, "x-dead-letter-exchange": "gone", "x-message-ttl": 100}
    channel.queue_declare("later", durable=True, arguments=arguments)
    publish(channel, "later", 3)
    found = only(look, "dead-letter-targets")
    assert "the exchange gone for its dead letters does not exist: its dead letters stay in it" in found.problem
    told(look, "delays", "3 messages are due and cannot leave it")
    channel.exchange_declare("gone", "fanout", durable=True)
    assert "nothing is bound to the exchange gone" in look("dead-letter-targets")[0].problem
    channel.queue_declare("work.dead", durable=True)
    channel.queue_bind("work.dead", "gone")
    gone(look, "dead-letter-targets")


def test_queues_without_a_dead_letter_target_and_without_consumers(
    look: Look, own_broker: StartedBroker, channel
) -> None:
    channel.queue_declare("work", durable=True, arguments={"x-queue-type": "quorum"})
    publish(channel, "work", 2)
    found = only(look, "dead-letter-targets")
    assert (found.level, found.subject) == ("note", "queue work")
    channel.queue_declare("work.dead", durable=True, arguments={"x-queue-type": "quorum"})
    fix(found.fix, own_broker)
    gone(look, "dead-letter-targets")
    told(look, "consumers", "2 messages wait")
    assert look("consumers")[0].level == "wrong"
    channel.basic_consume("work", lambda *_: None)
    gone(look, "consumers")


def test_dead_letters_that_grow(look: Look, channel) -> None:
    channel.queue_declare("work.dead", durable=True, arguments={"x-queue-type": "quorum"})
    publish(channel, "work.dead", 1)
    wait_for(lambda: len(look("dead-letters")) == 2, 90, "a sample a minute", every=1)
    waiting, growing = look("dead-letters")
    assert (waiting.level, growing.level) == ("wrong", "note")
    assert "grew by" in growing.problem
    assert waiting.fix == "amqptasks dead list work"


def test_streams_that_nothing_shortens(look: Look, own_broker: StartedBroker, channel) -> None:
    channel.queue_declare("log", durable=True, arguments={"x-queue-type": "stream"})
    found = only(look, "streams")
    fix(found.fix, own_broker)
    gone(look, "streams")


def test_classic_queues_for_their_priorities(look: Look, own_broker: StartedBroker, channel) -> None:
    channel.queue_declare("work", durable=True, arguments={"x-max-priority": 5})
    found = only(look, "priorities")
    assert ("migrate work" in found.fix) == own_broker.version.startswith("4.3")


def test_lost_delays(look: Look, channel) -> None:
    channel.queue_declare("amqptasks.delay.lost", durable=True, arguments={"x-queue-type": "quorum"})
    publish(channel, "amqptasks.delay.lost", 2)
    told(look, "delays", "2 delayed messages found no queue")


def test_clients_without_heartbeat_or_with_many_channels(look: Look, vhost: Vhost) -> None:
    with pika.BlockingConnection(pika.URLParameters(f"{vhost.url}?heartbeat=0")) as connection:
        channels = [connection.channel() for _ in range(201)]
        wait_for(lambda: len(look("connections")) == 2, SEEN_WITHIN, lambda: str(look("connections")), every=0.3)
        silent, wide = look("connections")
        assert "without heartbeat" in silent.problem
        assert "201 channels" in wide.problem
        assert channels
    gone(look, "connections")


def test_what_was_counted(own_broker: StartedBroker, vhost: Vhost, channel) -> None:
    channel.queue_declare("work", durable=True)
    publish(channel, "work", 2)
    channel.basic_consume("work", lambda *_: None)

    def counted() -> bool:
        figures = _examined(own_broker, vhost).figures
        return figures["connections"] >= 1 and figures["channels"] >= 1 and figures["messages"] == 2

    wait_for(counted, SEEN_WITHIN, "the figures", every=0.3)
    figures = _examined(own_broker, vhost).figures
    assert (figures["nodes"], figures["queues"], figures["consumers"]) == (1, 1, 1)
    assert _examined(own_broker, vhost, "nodes").figures == {"nodes": 1}


@pytest.mark.long
def test_connections_near_the_limit_of_the_virtual_host(look: Look, own_broker: StartedBroker, vhost: Vhost) -> None:
    url = pika.URLParameters(vhost.url)
    held = [pika.BlockingConnection(url) for _ in range(4)]
    try:
        own_broker.node.rabbitmqctl("set_vhost_limits", "-p", vhost.name, '{"max-connections": 5}')
        found = wait_for(lambda: look("connections"), SEEN_WITHIN, "connections", every=0.3)[0]
        assert re.search(r"[45] of 5 connections are taken", found.problem)
        fix(found.fix, own_broker)
        gone(look, "connections")
    finally:
        for connection in held:
            connection.close()


def test_transient_queues_are_deprecated(look: Look, own_broker: StartedBroker, channel) -> None:
    if own_broker.version.startswith("3."):
        pytest.skip("RabbitMQ 3.10 knows no deprecated features")
    channel.queue_declare("short", durable=False)
    found = only(look, "deprecated-features")
    assert (found.subject, found.fix) == (
        "deprecated feature transient_nonexcl_queues",
        "declare those queues durable or exclusive",
    )
    channel.queue_delete("short")
    gone(look, "deprecated-features")


@pytest.mark.long
def test_memory_and_disk_near_their_limits(look: Look, own_broker: StartedBroker, vhost: Vhost) -> None:
    node = wait_for(lambda: vhost.management.request("GET", "nodes"), SEEN_WITHIN)[0]
    assert look("nodes") == look("alarms") == look("clock") == []
    try:
        own_broker.node.rabbitmqctl("set_disk_free_limit", str(int(node["disk_free"] / 1.3)))
        assert "MiB of disk are free; publishers stop at" in only(look, "nodes").problem
        own_broker.node.rabbitmqctl("set_disk_free_limit", "50000000")
        gone(look, "nodes")
        own_broker.node.rabbitmqctl("set_vm_memory_high_watermark", "absolute", str(int(node["mem_used"] * 0.5)))
        alarm = only(look, "alarms")
        assert (alarm.level, alarm.subject) == ("wrong", f"node {own_broker.node.name}")
        assert "memory alarm is on" in alarm.problem
        assert look("nodes") == [], "told as an alarm"
        own_broker.node.rabbitmqctl("set_vm_memory_high_watermark", "absolute", str(int(node["mem_used"] * 1.15)))
        near = only(look, "nodes")
        assert (near.level, "MiB at which publishers stop" in near.problem) == ("note", True)
        fix(near.fix, own_broker)
        gone(look, "nodes")
        gone(look, "alarms")
    finally:
        own_broker.node.rabbitmqctl("set_vm_memory_high_watermark", "0.6")
        own_broker.node.rabbitmqctl("set_disk_free_limit", "50000000")


def test_what_a_user_may_not_see_is_left_out_and_named(own_broker: StartedBroker, vhost: Vhost) -> None:
    own_broker.node.rabbitmqctl("add_user", "looker", "very-secret")
    try:
        own_broker.node.rabbitmqctl("set_user_tags", "looker", "management")
        own_broker.node.rabbitmqctl("set_permissions", "-p", vhost.name, "looker", "", "", "")
        url = vhost.url.replace("guest:guest", "looker:very-secret")
        found = _examined(own_broker, vhost, url=url)
        assert {"nodes", "members"} <= found.left_out.keys()
        assert ("feature-flags" in found.left_out) == own_broker.version.startswith("3.")
        assert "policies" not in found.left_out
        assert found.findings[-1].subject == "management API"
        assert "the user 'looker' may not do this" in found.findings[-1].problem
        assert found.findings[-1].fix == "ask as a user who may"
        assert "very-secret" not in repr(found)
    finally:
        own_broker.node.rabbitmqctl("delete_user", "looker")


#: Of the feature flags a new broker has on, only one: as if it had been upgraded, and nobody had looked since.
ONE_FLAG = "[{rabbit, [{forced_feature_flags_on_init, [quorum_queue]}]}]"


@pytest.mark.kills_broker
def test_feature_flags_that_an_upgrade_left_off(request: pytest.FixtureRequest) -> None:
    with start_node("flags", request, advanced=ONE_FLAG) as broker, new_vhost(broker) as vhost:
        if not isinstance(broker.node, PrivateNode):
            pytest.skip("Docker's nodes have no advanced.config")
        found = _examined(broker, vhost, "feature-flags").findings
        old = broker.version.startswith("3.")  # later releases have stream_queue always
        assert [finding.subject for finding in found] == ["feature flag stream_queue"] * old + ["feature flags"]
        assert [finding.level for finding in found] == ["wrong"] * old + ["note"]
        for finding in found:
            fix(finding.fix, broker)
        assert not _examined(broker, vhost, "feature-flags").findings


SHOP = """
from amqptasks import App

app = App("shop", topology="shop.yaml")

@app.task(time_limit=3600)
def render(order): ...
"""


@pytest.fixture
def shop(tmp_path: Path, own_broker: StartedBroker, vhost: Vhost) -> Callable[..., list[dict]]:
    """What the command finds for an app that is declared; `--only` and other options."""
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "shop.yaml").write_text("version: 1\ndelays: false\nqueues: {default: }\n")
    assert run_command("-A", "shop", "declare", url=vhost.url, folder=tmp_path).returncode == 0

    def found(*arguments: str) -> list[dict]:
        api = ("--management", own_broker.management_url)
        ended = run_command("-A", "shop", "doctor", "--json", *api, *arguments, url=vhost.url, folder=tmp_path)
        told = json.loads(ended.stdout)["findings"]
        assert ended.returncode == any(finding["level"] == "wrong" for finding in told)
        return told

    return found


def test_tasks_that_run_longer_than_the_broker_waits(
    shop: Callable[..., list[dict]], own_broker: StartedBroker
) -> None:
    only_this = ("--only", "consumer-timeouts")
    if not own_broker.version.startswith(("3.", "4.0")):
        assert shop(*only_this) == [], "a worker will ask for as long as they may take"
        return
    found = shop(*only_this)[0]
    assert (found["level"], found["subject"]) == ("wrong", "queue default")
    assert found["problem"].startswith("shop.render may run for 1h, and the broker's consumer_timeout")
    if own_broker.version.startswith("3.10"):
        assert found["mend"].endswith("amqptasks doctor --consumer-timeout 2h")
        assert shop(*only_this, "--consumer-timeout", "2h") == []
        return
    fix(found["mend"], own_broker)
    wait_for(lambda: not shop(*only_this), SEEN_WITHIN, "the policy")


def test_objects_that_went_are_back_after_the_mending_line(
    shop: Callable[..., list[dict]], vhost: Vhost, tmp_path: Path
) -> None:
    these = ("--only", "objects", "--only", "bindings", "--only", "dead-letter-targets")
    assert shop(*these) == []
    vhost.management.delete_queue("default.dead")
    found = shop(*these)
    assert {finding["check"] for finding in found} == {"objects", "dead-letter-targets"}
    assert {finding["mend"] for finding in found} == {"amqptasks -A shop declare"}
    ended = run_command(*shlex.split(found[0]["mend"])[1:], url=vhost.url, folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert shop(*these) == []


def test_without_the_management_api_it_says_what_it_left_out(
    shop: Callable[..., list[dict]], vhost: Vhost, tmp_path: Path
) -> None:
    ended = run_command(
        "-A", "shop", "doctor", "--management", "http://127.0.0.1:1", "--strict", url=vhost.url, folder=tmp_path
    )
    assert ended.returncode == 1, "strict, and something is left out"
    assert "rabbitmq-plugins enable rabbitmq_management" in ended.stdout
    assert "Not looked at, or not at everything: alarms, nodes, " in ended.stdout
    assert "objects," not in ended.stdout.partition("Not looked at")[2]
    assert "note: queue default: no worker consumes it" in ended.stdout
