"""The plan as a pure function: what differs, what is drift, which policy counts."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from hashlib import sha256

import pytest

from amqptasks.topology.broker.observed import Observed, ObservedQueue, ObservedUser
from amqptasks.topology.broker.steps import Difference
from amqptasks.topology.expand.expand import Objects
from amqptasks.topology.plan.differences import same_password
from amqptasks.topology.plan.drift import keeping
from amqptasks.topology.plan.plan import OLDER, plan, sections_for
from amqptasks.topology.plan.policies import applied
from amqptasks.transport.capabilities import Capabilities
from amqptasks.transport.entities import Binding, Exchange, Limit, Permission, Policy, Queue, User, VirtualHost

QUORUM = Queue("q", arguments={"x-queue-type": "quorum", "x-max-length": 5})


def _there(queue: Queue = QUORUM, kind: str = "quorum", messages: int = 0) -> Observed:
    queues = {queue.name: ObservedQueue(queue, kind, messages)}
    return Observed("v", Capabilities(), VirtualHost(), {}, queues)


def _actions(wanted: Objects, observed: Observed) -> list[tuple[str, str, str]]:
    return [(step.kind, step.name, step.action) for step in plan(wanted, observed).steps]


def test_true_and_1_and_text_are_three_different_values():
    asked = {"x-queue-type": "quorum", "x-single-active-consumer": True}
    for current in (1, "true"):
        found = plan(
            Objects(queues=(Queue("q", arguments=asked),)),
            _there(Queue("q", arguments={**asked, "x-single-active-consumer": current})),
        )
        (step,) = found.conflicts
        assert step.differences == (Difference("x-single-active-consumer", True, current),)


def test_a_queue_declared_without_a_type_is_the_same_as_one_with_the_type_it_got():
    wanted = Objects(queues=(Queue("q", arguments={"x-queue-type": "classic"}),))
    assert plan(wanted, _there(Queue("q"), "classic")).empty
    assert plan(wanted, _there(Queue("q"), "quorum")).conflicts


def test_a_queue_that_an_older_release_made_is_left_and_said_to_be_one():
    wanted = Objects(queues=(QUORUM,), older={"q": (Queue("q", arguments={"x-queue-type": "classic"}),)})
    (step,) = plan(wanted, _there(Queue("q"), "classic")).left
    assert step.reason == OLDER


@pytest.mark.parametrize(
    ("wanted", "current", "by_policy"),
    [
        (5, None, True),  # nothing is in the way of the policy
        (5, 10, True),  # the smaller counts
        (10, 5, False),
        (None, 5, False),  # nothing takes an argument away
    ],
)
def test_a_policy_is_a_way_out_only_where_it_would_have_the_effect(
    wanted: int | None, current: int | None, by_policy: bool
):
    def of(length: int | None) -> Queue:
        more = {} if length is None else {"x-max-length": length}
        return Queue("q", arguments={"x-queue-type": "quorum", **more})

    (step,) = plan(Objects(queues=(of(wanted),)), _there(of(current), messages=3)).conflicts
    assert step.ways_out[0].startswith("amqptasks migrate q")
    assert any("policy" in way for way in step.ways_out) is by_policy
    assert step.reason == "it holds 3 messages"


def test_drift_spares_the_brokers_own_the_clients_own_and_what_topologies_share():
    names = ("amq.topic", "amqptasks.delay.29", "amqptasks.due.other", "amqptasks.events", "mine")
    exchanges = {name: Exchange(name) for name in names} | {"passing": Exchange("passing", auto_delete=True)}
    queues = {
        queue.name: ObservedQueue(queue, "classic")
        for queue in (Queue("amq.gen-1", exclusive=True), Queue("reply", auto_delete=True), Queue("extra"))
    }
    bindings = (
        Binding("amqptasks.delay.29", "amqptasks.delay.29"),
        Binding("amqptasks.due.other", "elsewhere"),
        Binding("amq.topic", "reply", "a"),
        Binding("amq.topic", "extra", "a"),
        Binding("amq.topic", "q", "a"),
    )
    observed = replace(_there(), exchanges=exchanges, queues={**_there().queues, **queues}, bindings=bindings)
    found = plan(Objects(queues=(QUORUM,)), observed)
    assert [(step.kind, step.name) for step in found.drift] == [
        ("binding", "amq.topic -> q [a]"),
        ("queue", "extra"),
        ("exchange", "mine"),
    ]
    assert found.clients_own == ("queue amq.gen-1", "queue reply", "exchange passing")
    kept = plan(Objects(queues=(QUORUM,)), observed, kept=keeping(["ex*", "m?ne", "amq.topic"]))
    assert not kept.drift


def test_a_stale_binding_of_delayed_messages_is_drift_and_so_is_the_twin_of_a_drifted_exchange():
    twin = Exchange("amqptasks.due.events")
    observed = replace(
        _there(),
        exchanges={
            "amqptasks.due.events": twin,
            "old": Exchange("old"),
            "amqptasks.due.old": Exchange("amqptasks.due.old"),
        },
        bindings=(Binding("amqptasks.due.events", "q", "gone"),),
    )
    found = plan(Objects(exchanges=(twin,), queues=(QUORUM,)), observed)
    assert {step.name for step in found.drift} == {"amqptasks.due.events -> q [gone]", "old", "amqptasks.due.old"}
    without_delays = plan(Objects(queues=(QUORUM,)), observed)
    assert "amqptasks.due.events -> q [gone]" not in {step.name for step in without_delays.drift}


def test_rights_and_limits_are_drift_only_where_the_file_has_some_and_never_those_of_who_looks():
    observed = replace(
        _there(),
        permissions=(Permission("guest"), Permission("other")),
        limits=(Limit("max-queues", 5),),
        policies=(Policy("p", "."),),
        user="guest",
    )
    silent = plan(Objects(queues=(QUORUM,)), observed)
    assert [step.kind for step in silent.drift] == ["policy"]
    assert not silent.prunable  # the file has no policies: they are somebody else's
    wanted = Objects(queues=(QUORUM,), permissions=(Permission("api"),), limits=(Limit("max-connections", 1),))
    assert [(step.kind, step.name) for step in plan(wanted, observed).prunable] == [
        ("permission", "other"),
        ("limit", "max-queues"),
    ]


def test_a_password_is_compared_with_the_brokers_salted_hash_and_never_shown():
    salt = b"\x01\x02\x03\x04"
    kept = b64encode(salt + sha256(salt + b"hunter2").digest()).decode()
    user = ObservedUser(User("u"), kept, "rabbit_password_hashing_sha256")
    assert same_password("hunter2", user)
    assert not same_password("hunter3", user)
    observed = replace(_there(), users={"u": user})
    wanted = Objects(users=(User("u", (), "SECRET"),))
    assert plan(wanted, observed, {"SECRET": "hunter2"}).empty
    (step,) = plan(wanted, observed, {"SECRET": "hunter3"}).changes
    assert "hunter" not in repr(step)
    assert kept not in repr(step)
    (unknown,) = plan(wanted, observed, {}).left
    assert "was not compared: the variable SECRET is not set" in str(unknown.reason)


def test_of_several_policies_the_one_of_the_highest_priority_counts_and_only_for_its_kind():
    low, high = Policy("low", "^q", priority=1), Policy("high", "q$", apply_to="quorum_queues", priority=2)
    assert applied([low, high], "q", "quorum") is high
    assert applied([low, high], "q", "classic") is low
    assert applied([low, high], "x", "quorum") is None
    assert applied([replace(low, operator=True)], "q", "quorum") is None
    assert applied([Policy("pcre", "(?<n>q)")], "q", "quorum") is None  # no expression of Python's


def test_only_what_is_needed_is_read():
    assert sections_for(Objects()) == {"policies"}
    assert sections_for(Objects(users=(User("u"),), limits=(Limit("x", 1),))) == {"policies", "users", "limits"}


def test_a_default_queue_type_is_ignored_with_a_warning_where_there_is_none():
    wanted = Objects(queues=(QUORUM,), vhost=VirtualHost(default_queue_type="quorum"))
    observed = replace(_there(), capabilities=Capabilities(version=(3, 10, 8)))
    found = plan(wanted, observed)
    assert found.empty
    assert "no default queue type" in found.warnings[0].problem
    assert ("vhost", "v", "change") in _actions(wanted, _there())


def test_an_exchange_type_that_the_broker_lacks_is_a_warning_with_what_to_do():
    wanted = Objects(
        (
            *(Exchange(f"e{number}", "x-random") for number in range(5)),
            Exchange("amqptasks.due.e0", "x-random"),
            Exchange("t", "topic"),
            Exchange("m", "x-modulus-hash"),
            Exchange("o", "x-of-somebody"),
        )
    )
    observed = replace(_there(), exchange_types=frozenset({"direct", "topic"}))
    found = {warning.subject: (warning.problem, warning.fix) for warning in plan(wanted, observed).warnings}
    problem, fix = found.pop("exchange type x-random")
    assert problem == "this broker does not have it, and refuses e0, e1, e2 and 2 more"
    assert fix == "run `rabbitmq-plugins enable rabbitmq_random_exchange` on each of its nodes"
    assert "rabbitmq_sharding` on each of its nodes (RabbitMQ 4.3" in found.pop("exchange type x-modulus-hash")[1]
    assert "enable the plugin that has x-of-somebody" in found.pop("exchange type x-of-somebody")[1]
    assert not found
    assert not plan(wanted, _there()).warnings, "nothing is known of its types"
