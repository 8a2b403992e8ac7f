"""For topologies that nobody wrote: after `declare` there is nothing to plan, and nothing of it is drift."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from amqptasks.amqp.blocking.session import Session
from amqptasks.management.client import Management
from amqptasks.topology.broker.observed import observe
from amqptasks.topology.expand.expand import expand
from amqptasks.topology.expand.ladder import ladder_objects
from amqptasks.topology.plan.apply import apply
from amqptasks.topology.plan.plan import plan
from amqptasks.topology.read.loader import from_mapping
from tests.harness.nodes import GivenBroker, StartedBroker
from tests.harness.topologies import topologies
from tests.harness.vhost import new_vhost

#: The same topologies in every run: a failure is one for all. Shrinking would take minutes on a broker.
SAME = settings(
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

Broker = GivenBroker | StartedBroker


@pytest.mark.long
@settings(SAME, max_examples=25)
@given(mapping=topologies(3))
def test_after_declare_the_plan_is_empty(broker: Broker, mapping: dict[str, Any]):
    _declare_then_plan(broker, mapping, delays=False)  # quorum queues take their time


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(SAME, max_examples=200)
@given(mapping=topologies(8))
def test_after_declare_the_plan_of_200_larger_topologies_is_empty(broker: Broker, mapping: dict[str, Any]):
    _declare_then_plan(broker, mapping, delays=True)


def _declare_then_plan(broker: Broker, mapping: dict[str, Any], delays: bool) -> None:
    topology = from_mapping(mapping)
    with new_vhost(broker) as vhost, Session([vhost.url]) as session:
        seen = Management(broker.management_url, vhost.url)
        wanted = expand(topology, session.capabilities)
        if delays:
            wanted += ladder_objects(topology, session.capabilities)
        before = observe(seen, ("policies",))
        first = plan(wanted, before)
        expected = {repr(one) for one in (*wanted.exchanges, *wanted.queues, *wanted.bindings, *wanted.policies)}
        assert {repr(step.entity) for step in first.changes} == expected
        assert not first.drift
        apply(first, before, session, seen, {})
        second = plan(wanted, observe(seen, ("policies",)))
        assert second.empty, [step for step in second.steps if step.action != "leave"]
        assert not second.drift
