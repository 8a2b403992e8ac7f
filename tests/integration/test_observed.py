"""What is read from a broker is what was put there, on every release."""

from __future__ import annotations

import pika
import pytest

from amqptasks.amqp.blocking.session import Session
from amqptasks.management.client import Management, Unanswered
from amqptasks.topology.broker.identity import binding_key
from amqptasks.topology.broker.observed import Observed, observe
from amqptasks.transport.entities import Binding, Exchange, Limit, Permission, Policy, Queue, TopicPermission, User
from tests.harness.vhost import Vhost

QUEUES = (
    Queue("classic", arguments={"x-queue-type": "classic", "x-max-length": 5}),
    Queue("quorum", arguments={"x-queue-type": "quorum", "x-delivery-limit": 5}),
    Queue("stream", arguments={"x-queue-type": "stream"}),
)
HEADERS = Exchange("h", "headers", arguments={"alternate-exchange": "amq.fanout", "x-own": [1, {"a": True}]})
BINDINGS = (
    Binding("h", "quorum", "", "queue", {"x-match": "any", "n": 1, "t": True, "s": "ü"}),
    Binding("amq.topic", "h", "a.#", "exchange"),
    Binding("amq.topic", "quorum", "a.b"),
)


@pytest.fixture
def seen(vhost: Vhost) -> Management:
    return Management(vhost.management._base.removesuffix("/api"), vhost.url)


def test_exchanges_queues_and_bindings_come_back_as_they_were_declared(seen: Management, session: Session):
    for queue in (*QUEUES, Queue("plain")):
        session.declare_queue(queue)
    session.declare_exchange(HEADERS)
    for binding in BINDINGS:
        session.bind(binding)
    found = observe(seen, ())
    assert found.capabilities.version == session.capabilities.version
    assert tuple(found.queues[queue.name].queue for queue in QUEUES) == QUEUES
    assert [found.queues[queue.name].type for queue in QUEUES] == ["classic", "quorum", "stream"]
    assert found.queues["plain"].type == "classic"  # 4.x writes the type into the arguments, 3.10 does not
    assert found.exchanges["h"] == HEADERS
    assert found.exchanges["amq.topic"].type == "topic"
    assert "" not in found.exchanges
    assert set(found.binding_keys) == {binding_key(binding) for binding in BINDINGS}


def test_a_clients_own_queues_are_known_as_such(seen: Management, session: Session, vhost: Vhost):
    session.declare_queue(Queue("quorum", arguments={"x-queue-type": "quorum"}))
    with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
        channel = connection.channel()
        named_by_server = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_declare("mine", exclusive=True)
        channel.queue_declare("passing", auto_delete=True, durable=True)
        found = observe(seen, ()).queues
    assert {name for name, queue in found.items() if queue.temporary} == {named_by_server, "mine", "passing"}


def test_policies_rights_and_limits_are_read_and_no_password_is_shown(seen: Management, vhost: Vhost):
    name = f"reader-{vhost.name}"
    policy = Policy("bounded", "^c", {"max-length": 3}, "queues", 2)
    seen.put("users", name, body={"password": "hunter2", "tags": "management,policymaker"})
    try:
        seen.put("policies", vhost.name, "bounded", body=_body(policy))
        seen.put("operator-policies", vhost.name, "bounded", body=_body(policy))
        seen.put("permissions", vhost.name, name, body={"configure": "", "write": "^w$", "read": ".*"})
        seen.put("topic-permissions", vhost.name, name, body={"exchange": "amq.topic", "write": "^w", "read": ""})
        seen.put("vhost-limits", vhost.name, "max-queues", body={"value": 10})
        seen.put("user-limits", name, "max-channels", body={"value": 20})
        found = observe(seen)
    finally:
        seen.delete("users", name)
    operator = Policy("bounded", "^c", {"max-length": 3}, "queues", 2, operator=True)
    assert set(map(repr, found.policies)) == {repr(policy), repr(operator)}
    assert found.users[name].user == User(name, ("management", "policymaker"))
    assert found.users[name].password_hash
    assert found.users[name].password_hash not in repr(found)
    assert Permission(name, "", "^w$", ".*") in found.permissions
    assert found.topic_permissions == (TopicPermission(name, "amq.topic", "^w", ""),)
    assert Limit("max-queues", 10) in found.limits
    assert Limit("max-channels", 20, name) in found.limits


def test_a_virtual_host_that_is_not_there_is_empty_and_says_so(seen: Management, vhost: Vhost):
    assert observe(seen, ()).exists
    seen.vhost = f"{vhost.name}-missing"
    found = observe(seen, ())
    assert not found.exists
    assert {"direct", "fanout", "headers", "topic"} <= found.exchange_types
    assert found == Observed(
        f"{vhost.name}-missing",
        found.capabilities,
        sections=frozenset(),
        user="guest",
        exchange_types=found.exchange_types,
    )


def test_a_user_without_the_right_to_look_is_told_which_tag_is_missing(seen: Management, vhost: Vhost):
    name = f"poor-{vhost.name}"
    seen.put("users", name, body={"password": "hunter2", "tags": ""})
    try:
        poor = Management(seen.base, vhost.url.replace("guest:guest", f"{name}:hunter2"))
        with pytest.raises(Unanswered, match="`management` to look") as caught:
            observe(poor, ())
        assert "hunter2" not in str(caught.value)
    finally:
        seen.delete("users", name)


def _body(policy: Policy) -> dict[str, object]:
    return {
        "pattern": policy.pattern,
        "definition": policy.definition,
        "apply-to": policy.apply_to,
        "priority": policy.priority,
    }
