"""What `validate` advises and what `plan` tells are of one mind, whatever the file and the release."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings

from amqptasks.errors import TopologyError
from amqptasks.topology.advice.lints import advise
from amqptasks.topology.expand.decisions import decisions
from amqptasks.topology.read.loader import from_mapping
from amqptasks.transport.capabilities import Capabilities
from tests.harness.files import FILES

GENERATED = settings(
    max_examples=40,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.mark.parametrize("release", [(3, 10, 8), (4, 0, 5), (4, 3, 6)])
@GENERATED
@given(file=FILES)
@example({"version": 1, "queues": {"a": {"max_length": 5, "overflow": "drop-head"}}})
@example({"version": 1, "queues": {"a": {"dead_letter": {"queue": "b"}}, "b": {"dead_letter": False}}})
@example({"version": 1, "queues": {"a": {"max_priority": 9, "consumer_timeout": "2h"}, "b": {"type": "classic"}}})
def test_advice_and_decisions_agree(release: tuple[int, int, int], file: dict[str, Any]) -> None:
    capabilities = Capabilities(version=release)
    try:
        topology = from_mapping(file, environment={})
        advice, decided = advise(topology, capabilities), decisions(topology, capabilities)
    except TopologyError:
        return
    told = {(one.queue, one.what.split(":")[0], one.became.split(",")[0].split(" on ")[0]) for one in decided}
    advised = {(one.where[1], one.rule) for one in advice if one.where[0] == "queues"}

    def queues(*rules: str) -> set[str]:
        return {name for name, rule in advised if rule in rules}

    at_most_once = {queue for queue, what, became in told if (what, became) == ("dead_letter", "at most once")}
    assert at_most_once == {
        name
        for name in queues("dead-letters-at-most-once", "priority-makes-classic")
        if topology.queues[name].dead_letter is not None
    }
    inexact = {name for name, queue in topology.queues.items() if not queue.exact}
    assert {queue for queue, _, became in told if became == "dropped"} == queues("drops-what-fails") & inexact
    ignored = {queue for queue, what, became in told if (what, became) == ("consumer_timeout", "nothing")}
    assert ignored == queues("consumer-timeout-ignored") & inexact
