"""Remote control and revocations come back by themselves, whatever was deleted or refused on the broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from amqptasks.amqp import exclusive_queue, subscription
from amqptasks.amqp.blocking.session import Session
from amqptasks.control.places import EXCHANGE, NODES, REVOKED
from amqptasks.streams import liveness, reader
from amqptasks.streams.liveness import Comparing
from amqptasks.worker.control import revocation_reader, service
from amqptasks.worker.node import Node
from tests.harness.management import Management
from tests.harness.proxy import Proxy
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.integration.asking import ANSWERS_WITHIN, Told

#: Seconds in which all comes back here, where nobody waits as long as in production.
BACK_WITHIN = 20.0

#: A worker's connections, and how many they are.
ROLES = {"consume", "publish", "listen"}
CONNECTIONS = len(ROLES)

ALL = {"configure": ".*", "write": ".*", "read": ".*"}


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "WATCHDOG", 0.5)
    monkeypatch.setattr(exclusive_queue, "BIND_EVERY", 1.0)
    monkeypatch.setattr(service, "LOOK_EVERY", 0.5)
    monkeypatch.setattr(service, "REFUSED_PAUSE", 0.5)
    monkeypatch.setattr(reader, "REFUSED_PAUSE", 0.5)


@pytest.fixture
def told(vhost: Vhost) -> Iterator[Told]:
    made = Told(vhost.url)
    yield made
    made.barrier.set()
    made.app.close()


@pytest.fixture
def session(vhost: Vhost) -> Iterator[Session]:
    with Session([vhost.url]) as made:
        yield made


def roles(management: Management) -> set[str]:
    """What the connections that the management API lists are for."""
    listed = management.connections()
    return {connection.get("client_properties", {}).get("role", "") for connection in listed}


def answers(told: Told, node: Node) -> bool:
    """Whether the worker answers, and nobody is unknown."""
    pong = told.app.control.ping(timeout=ANSWERS_WITHIN)
    return list(pong) == [node.name] and pong.complete and pong[node.name].ready


def prove_revoking(told: Told) -> None:
    """What is revoked now does not run."""
    told.app.control.revoke("revoked", timeout=ANSWERS_WITHIN)
    told.app.send_task("note", ("revoked",), queue="default", task_id="revoked", ignore_result=True)
    told.send("note", "other")
    wait_for(lambda: "other" in told.ran, BACK_WITHIN)
    wait_for(lambda: not told.app.control.reserved(timeout=1.0).errors, BACK_WITHIN)
    assert "revoked" not in told.ran


def test_control_comes_back_after_its_exchange_was_deleted(told: Told, session: Session) -> None:
    with told.app.worker(["default"]) as node:
        assert answers(told, node)
        session.delete_exchange(EXCHANGE.name)
        wait_for(lambda: answers(told, node), BACK_WITHIN)


def test_control_comes_back_after_its_exchange_was_deleted_and_made_by_somebody_else(
    told: Told, session: Session
) -> None:
    """The binding of its queue is gone, and nobody says so."""
    with told.app.worker(["default"]) as node:
        session.delete_exchange(EXCHANGE.name)
        session.declare_exchange(EXCHANGE)
        wait_for(lambda: answers(told, node), BACK_WITHIN)


@pytest.mark.parametrize("name", [NODES.name, NODES.exchange.name])
def test_control_declares_the_list_of_workers_again(told: Told, session: Session, name: str) -> None:
    with told.app.worker(["default"]) as node:
        if name == NODES.name:
            session.delete_queue(name)
        else:
            session.delete_exchange(name)
        wait_for(lambda: session.queue_state(NODES.name) and session.exchange_exists(NODES.exchange.name), BACK_WITHIN)
        wait_for(lambda: answers(told, node), BACK_WITHIN)


@pytest.mark.parametrize("name", [REVOKED.name, REVOKED.exchange.name])
def test_revocations_come_back_after_their_stream_was_deleted(told: Told, session: Session, name: str) -> None:
    with told.app.worker(["default"]) as node:
        told.app.control.revoke("earlier", timeout=ANSWERS_WITHIN)
        wait_for(lambda: len(node.control.revocations.known) == 1)
        if name == REVOKED.name:
            session.delete_queue(name)
        else:
            session.delete_exchange(name)
        wait_for(
            lambda: session.queue_state(REVOKED.name) and session.exchange_exists(REVOKED.exchange.name), BACK_WITHIN
        )
        wait_for(lambda: node.ready, BACK_WITHIN, lambda: str(node.trouble))
        prove_revoking(told)
        assert node.control.revocations.known.reason("note", "earlier", {}), "what it knew it still knows"


def test_a_worker_that_may_not_read_revocations_any_more_begins_nothing_until_it_may(
    vhost: Vhost, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    management, user = vhost.management, f"poor-{vhost.name}"
    management.request("PUT", "users", user, body={"password": "poor", "tags": ""})
    try:
        management.request("PUT", "permissions", vhost.name, user, body=ALL)
        poor = Told(vhost.url.replace("guest:guest", f"{user}:poor"))
        with poor.app.worker(["default"]) as node:
            blind = {**ALL, "read": r"^(?!amqptasks\.revoked).*"}
            management.request("PUT", "permissions", vhost.name, user, body=blind)
            # The API lists each of them up to seconds after it was opened. One that it does not close goes on reading.
            wait_for(lambda: roles(management) >= ROLES, BACK_WITHIN, lambda: f"connections: {roles(management)}")
            wait_for(lambda: management.close_connections() and not node.ready, BACK_WITHIN)
            wait_for(lambda: node.consumers.ready, BACK_WITHIN, "its queue is consumed")
            wait_for(lambda: "403" in (node.trouble or ""), BACK_WITHIN, lambda: f"trouble: {node.trouble}")
            assert not node.ready
            told.app.control.revoke("revoked", timeout=1.0)
            told.app.send_task("note", ("revoked",), queue="default", task_id="revoked", ignore_result=True)
            told.send("note", "other")
            wait_for(lambda: vhost.management.ready("default") == 0, BACK_WITHIN, "both are here")
            assert poor.ran == []
            management.request("PUT", "permissions", vhost.name, user, body=ALL)
            wait_for(lambda: poor.ran == ["other"], BACK_WITHIN, lambda: f"{poor.ran}, {node.trouble}")
            wait_for(lambda: node.counts["Revoked"] == 1, BACK_WITHIN)
            assert node.ready
        poor.app.close()
        assert caplog.text.count("the revocations cannot be read: ") == 1
    finally:
        management.request("DELETE", "users", user)


def test_revocations_are_read_over_another_address_while_one_does_not_answer(
    vhost: Vhost, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a node does that was cut off from its cluster: its connections stay, and nothing is answered."""
    monkeypatch.setattr(revocation_reader, "Comparing", lambda: Comparing(0.5))
    monkeypatch.setattr(liveness, "LOOK_WITHIN", 0.5)
    other = Proxy(vhost.url)
    here, there = Told([proxy.url, other.url]), Told(vhost.url)
    with here.app.worker(["default"]) as node:
        there.app.control.revoke("before", timeout=ANSWERS_WITHIN)
        wait_for(lambda: len(node.control.revocations.known) == 1)
        assert (proxy.connections, other.connections) == (CONNECTIONS, 0)
        proxy.pause()
        there.app.control.revoke("meanwhile", timeout=0.5)
        wait_for(lambda: len(node.control.revocations.known) == 2, BACK_WITHIN)
        assert other.connections == 1, "that which listens; the others wait"
        proxy.resume()
        wait_for(lambda: node.ready, BACK_WITHIN, lambda: str(node.trouble))
    here.app.close()
    there.app.close()
    other.close()


def test_ping_names_a_worker_that_is_known_and_hears_nothing(
    told: Told, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its queue is not bound to the exchange any more, which it has not noticed yet: nobody gets the command."""
    monkeypatch.setattr(subscription, "WATCHDOG", 60.0)
    monkeypatch.setattr(exclusive_queue, "BIND_EVERY", 60.0)
    with told.app.worker(["default"]) as node:
        assert answers(told, node)
        session.delete_exchange(EXCHANGE.name)
        pong = told.app.control.ping(timeout=1.0)
        assert (dict(pong), pong.missing, pong.complete) == ({}, (node.name,), True)
