"""Whatever the model accepts, expands, and a real broker takes it: generated files with every key, declared."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from amqptasks.amqp.blocking.session import Session
from amqptasks.errors import TopologyError
from amqptasks.topology.broker.declare import declare
from amqptasks.topology.expand.decisions import decisions
from amqptasks.topology.expand.expand import expand
from amqptasks.topology.expand.ladder import ladder_objects
from amqptasks.topology.read.loader import from_mapping
from tests.harness.files import FILES
from tests.harness.vhost import Vhost


def _taken(vhost: Vhost, file: dict[str, Any]) -> bool:
    """False for a file that the model refuses. A file that it takes is declared, twice; then all of it is deleted."""
    try:
        topology = from_mapping(file, environment={})
    except TopologyError:
        return False
    session = Session([vhost.url])
    try:
        capabilities = session.capabilities
        decisions(topology, capabilities)
        objects = expand(topology, capabilities)
        assert len(ladder_objects(topology, capabilities)) > 0  # declaring it each time would take minutes
        try:
            declare(objects, session)
            again = declare(objects, session)
            assert {change.state for change in again if change.kind != "binding"} == {"present"}
        finally:
            for queue in objects.queues:
                session.delete_queue(queue.name)
            for exchange in objects.exchanges:
                session.delete_exchange(exchange.name)
    finally:
        session.close()
    return True


def _declared(vhost: Vhost, examples: int) -> None:
    """Stops at so many files that were taken."""
    taken = 0

    @settings(
        max_examples=examples * 8,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(FILES)
    def generated(file: dict[str, Any]) -> None:
        nonlocal taken
        if taken < examples:
            taken += _taken(vhost, file)

    generated()
    assert taken == examples, f"{taken} of {examples * 8} files were good"


def test_what_the_model_accepts_the_broker_takes(vhost: Vhost) -> None:
    _declared(vhost, 10)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_what_the_model_accepts_the_broker_takes_200_times(vhost: Vhost) -> None:
    _declared(vhost, 200)
