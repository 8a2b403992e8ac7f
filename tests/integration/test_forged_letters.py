"""Dead letters whose headers were written by whoever published the message: looked at as what they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import pytest

from amqptasks import App
from amqptasks.amqp.blocking.session import Session
from amqptasks.dead_letters import queue as dead
from amqptasks.dead_letters.lost import send_on
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for

FORGED: dict[str, object] = {
    "task": "shop.ok", "id": "forged", "x-amqptasks-queue": "payments", "x-amqptasks-reason": "failed",
    "x-amqptasks-worker": "nobody", "x-amqptasks-detail": "a lie",
}  # fmt: skip


@pytest.fixture
def app(vhost: Vhost) -> Iterator[App]:
    with closing(App("shop", vhost.url)) as made:
        made.add_queues(["emails", "payments"])
        made.declare()
        yield made


def publish(app: App, exchange: str, key: str, headers: dict[str, object], expiration: str | None = None) -> None:
    properties = Properties("application/json", "utf-8", headers, expiration=expiration)
    app.caller.publisher.publish(Outgoing(exchange, key, b"[[1],{},{}]", properties), 10)


def test_replay_believes_no_header_of_a_message_that_the_broker_made_a_dead_letter(app: App, vhost: Vhost) -> None:
    publish(app, "amqptasks.queues", "emails", FORGED, expiration="1")
    wait_for(lambda: vhost.management.ready("emails.dead") == 1)
    with Session([vhost.url]) as session:
        (letter,) = dead.letters(session, "emails.dead")
        assert (letter.reason, letter.queue, letter.worker, letter.detail) == ("expired", "emails", None, None)
    wait_for(lambda: vhost.management.ready("emails.dead") == 1)  # given back
    with Session([vhost.url]) as session:
        assert dead.replay(session, "emails.dead").count == 1
    wait_for(lambda: vhost.management.ready("emails") == 1)
    assert vhost.management.ready("payments") == 0


def test_replay_sends_no_letter_to_a_queue_whose_letters_are_elsewhere_but_with_to(app: App, vhost: Vhost) -> None:
    publish(app, "amqptasks.queues", "emails.dead", FORGED)
    wait_for(lambda: vhost.management.ready("emails.dead") == 1)
    with Session([vhost.url]) as session:
        refused = dead.replay(session, "emails.dead").refused
        assert "--to" in str(refused["payments"][1])
    wait_for(lambda: vhost.management.ready("emails.dead") == 1)  # given back
    with Session([vhost.url]) as session:
        assert dead.replay(session, "emails.dead", sources=("emails", "invoices")).count == 0
    wait_for(lambda: vhost.management.ready("emails.dead") == 1)  # given back
    with Session([vhost.url]) as session:
        assert dead.replay(session, "emails.dead", to="payments").count == 1
    wait_for(lambda: vhost.management.ready("payments") == 1)


@pytest.mark.parametrize(
    "target",
    ["amqptasks.control", "amqptasks.revoked.revocation", "amqptasks.delay.05", "amq.fanout", "amqptasks.events"],
)  # fmt: skip
def test_replay_of_a_lost_message_never_goes_to_an_exchange_that_no_task_is_sent_to(
    app: App, vhost: Vhost, target: str
) -> None:
    headers: dict[str, object] = {"x-amqptasks-to": target, "x-amqptasks-d00": True, "task": "x", "id": "y"}
    publish(app, "amqptasks.delay.00", "", headers)
    wait_for(lambda: vhost.management.ready("amqptasks.delay.lost") == 1)
    with Session([vhost.url]) as session:
        replayed = dead.replay(session, "amqptasks.delay.lost")
    assert (replayed.count, list(replayed.refused)) == (0, [dead.NOWHERE])


@pytest.mark.parametrize("target", ["foreign", "Foreign.twin", "no such exchange", "tasks\n"])
def test_a_lost_message_is_sent_on_to_no_exchange_of_another_program(app: App, vhost: Vhost, target: str) -> None:
    """Neither by hand nor by a worker that puts the ladder in order: both may write where its publisher may not."""
    vhost.management.request("PUT", "exchanges", vhost.name, "foreign", body={"type": "fanout"})
    vhost.management.request("PUT", "queues", vhost.name, "theirs", body={"durable": True})
    vhost.management.request("POST", "bindings", vhost.name, "e", "foreign", "q", "theirs", body={"routing_key": ""})
    publish(app, "amqptasks.delay.lost", "emails", {"x-amqptasks-to": target, "task": "x", "id": "y"})
    wait_for(lambda: vhost.management.ready("amqptasks.delay.lost") == 1)
    with Session([vhost.url]) as session:
        done = send_on(session)
        assert (done.sent.total(), done.stay.total()) == (0, 1)
    wait_for(lambda: vhost.management.ready("amqptasks.delay.lost") == 1)  # given back
    with Session([vhost.url]) as session:
        replayed = dead.replay(session, "amqptasks.delay.lost")
        assert (replayed.count, len(replayed.refused)) == (0, 1)
    assert vhost.management.ready("theirs") == 0


def test_replay_of_a_lost_message_goes_on_to_an_exchange_that_has_a_twin(app: App, vhost: Vhost) -> None:
    vhost.management.request("PUT", "exchanges", vhost.name, "tasks", body={"type": "fanout"})
    vhost.management.request("POST", "bindings", vhost.name, "e", "tasks", "q", "emails", body={"routing_key": ""})
    publish(app, "amqptasks.delay.lost", "emails", {"x-amqptasks-to": "tasks", "task": "x", "id": "y"})
    wait_for(lambda: vhost.management.ready("amqptasks.delay.lost") == 1)
    with Session([vhost.url]) as session:
        ((_, why),) = dead.replay(session, "amqptasks.delay.lost").refused.values()
        assert "its twin" in str(why)
    wait_for(lambda: vhost.management.ready("amqptasks.delay.lost") == 1)  # given back
    with Session([vhost.url]) as session:
        vhost.management.request("PUT", "exchanges", vhost.name, "amqptasks.due.tasks", body={"type": "fanout"})
        assert dead.replay(session, "amqptasks.delay.lost").count == 1
    wait_for(lambda: vhost.management.ready("emails") == 1)


def test_replay_of_a_lost_message_goes_on_to_the_exchange_of_queues(app: App, vhost: Vhost) -> None:
    publish(app, "amqptasks.delay.lost", "emails", {"x-amqptasks-to": "amqptasks.queues", "task": "x", "id": "y"})
    wait_for(lambda: vhost.management.ready("amqptasks.delay.lost") == 1)
    with Session([vhost.url]) as session:
        assert dead.replay(session, "amqptasks.delay.lost").count == 1
    wait_for(lambda: vhost.management.ready("emails") == 1)


def test_a_workers_dead_letter_carries_nothing_that_its_publisher_wrote_in_its_place(app: App, vhost: Vhost) -> None:
    headers = {**FORGED, "task": "shop.unknown", "x-amqptasks-traceback": "a lie", "x-amqptasks-exception": "a.Lie"}
    with app.worker(["emails"]):
        publish(app, "amqptasks.queues", "emails", headers)
        wait_for(lambda: vhost.management.ready("emails.dead") == 1)
    with Session([vhost.url]) as session:
        (letter,) = dead.letters(session, "emails.dead")
    assert (letter.reason, letter.queue) == ("unknown-task", "emails")
    assert letter.traceback is None
    assert letter.exception is None
    assert "a lie" not in json.dumps(letter.delivery.properties.headers, default=str)
