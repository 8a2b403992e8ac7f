"""Why a message goes where it goes."""

from __future__ import annotations

import pytest

from amqptasks.messages.routing import Destination
from amqptasks.topology.ask.explanation import explain, explain_task
from amqptasks.topology.read.loader import from_mapping, load
from amqptasks.transport.capabilities import Capabilities
from tests.harness.worker_process import REPOSITORY

SHOP = load(REPOSITORY / "topology" / "shop.yaml")
NEWEST, MIDDLE, OLD = (Capabilities(version=version) for version in ((4, 3, 0), (4, 0, 0), (3, 10, 0)))


def test_an_exact_route_comes_first_and_the_others_that_fit_are_told() -> None:
    found = explain_task(SHOP, "shop.email.reset", NEWEST)
    assert found.route is not None
    assert found.route.kind == "exact"
    assert [route.pattern for route in found.passed_over] == ["shop.email.*"]
    assert [arrival.queue for arrival in found.arrivals] == ["emails"]


def test_what_no_route_takes_goes_to_the_default_queue() -> None:
    found = explain_task(SHOP, "else", NEWEST)
    assert found.route is None
    assert found.destination is not None
    assert found.destination.queue == "default"


def test_without_a_default_queue_the_nearest_routes_are_told() -> None:
    topology = from_mapping(
        {"version": 1, "queues": {"q": None}, "routes": {"email.send": {"queue": "q"}, "zzz": {"queue": "q"}}}
    )
    found = explain_task(topology, "email.sent", NEWEST)
    assert (found.destination, found.arrivals, found.nearest[0]) == (None, (), "email.send")


def test_a_key_that_reaches_nothing_has_its_nearest_binding_keys() -> None:
    found = explain(SHOP, Destination("tasks", "payment.x.y", None, None), NEWEST)
    assert (found.arrivals, found.nearest[0]) == ((), "payment.*")


@pytest.mark.parametrize(
    ("settings", "capabilities", "priority", "words"),
    [
        ({"max_priority": 10}, NEWEST, 9, "priority 9 of 0 to 31"),
        ({"max_priority": 10}, NEWEST, None, "priority 4 of 0 to 31, as without one"),
        ({"max_priority": 10}, OLD, 12, "priority 10 of 0 to 10"),
        ({}, OLD, 9, "no priorities: quorum queues have none before RabbitMQ 4.0"),
        ({}, MIDDLE, 9, "high priority: two classes, 0 to 4 and from 5"),
        ({}, MIDDLE, None, "normal priority: two classes, 0 to 4 and from 5"),
        ({"type": "classic"}, NEWEST, 9, "no priorities: the queue has no `max_priority`"),
    ],
)
def test_what_becomes_of_a_priority_depends_on_the_queue_and_the_release(
    settings: dict, capabilities: Capabilities, priority: int | None, words: str
) -> None:
    topology = from_mapping({"version": 1, "queues": {"q": settings}})
    found = explain(topology, Destination("amqptasks.queues", "q", "q", priority), capabilities)
    assert [arrival.priority for arrival in found.arrivals] == [words]
