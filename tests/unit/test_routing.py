"""From a task's name and options to exchange, routing key, queue and priority."""

from __future__ import annotations

import pytest

from amqptasks.errors import ConfigurationError, NoRoute
from amqptasks.messages.outgoing import QUEUES_EXCHANGE
from amqptasks.messages.routing import Destination, Route, Router

ROUTES = [
    Route("shop.*", "glob", exchange="tasks", routing_key="shop.any", priority=2),
    Route("shop.email.*", "glob", queue="late"),
    Route("shop.email.send", "exact", exchange="tasks", routing_key="email.send", priority=5),
    Route(r"report\.\d+", "regex", queue="reports"),
    Route("fan.out", "exact", exchange="news"),
    Route("urgent.*", "glob", priority=9),
]


def queue(name: str, priority: int | None = None) -> Destination:
    return Destination(QUEUES_EXCHANGE, name, name, priority)


@pytest.mark.parametrize(
    ("task", "options", "expected"),
    [
        ("shop.email.send", {}, Destination("tasks", "email.send", None, 5)),
        ("shop.email.receive", {}, Destination("tasks", "shop.any", None, 2)),
        ("report.12", {}, queue("reports")),
        ("report.12.x", {}, queue("default")),
        ("xreport.12", {}, queue("default")),
        ("fan.out", {}, Destination("news", "fan.out", None, None)),
        ("urgent.now", {}, queue("default", 9)),
        ("Shop.x", {}, queue("default")),
        ("other", {}, queue("default")),
        ("other", {"priority": 0}, queue("default", 0)),
        ("shop.email.send", {"priority": 0}, Destination("tasks", "email.send", None, 0)),
        ("shop.email.send", {"queue": "mine"}, queue("mine", 5)),
        ("shop.email.send", {"queue": "mine", "priority": 1}, queue("mine", 1)),
        ("other", {"exchange": "e"}, Destination("e", "other", None, None)),
        ("other", {"exchange": "", "routing_key": "q"}, Destination("", "q", None, None)),
        ("other", {"exchange": "e", "routing_key": ""}, Destination("e", "", None, None)),
        ("shop.email.send", {"routing_key": "k"}, Destination("tasks", "k", None, 5)),
        ("shop.email.send", {"exchange": "e"}, Destination("e", "email.send", None, 5)),
        ("report.12", {"exchange": "e", "routing_key": "k"}, Destination("e", "k", None, None)),
    ],
)
def test_a_task_goes_where_its_options_then_its_route_say(task: str, options: dict, expected: Destination) -> None:
    router = Router(ROUTES, "default")
    assert router.destination(task, **options) == expected
    assert router.destination(task, **options) == expected  # the second answer comes from memory


def test_patterns_count_in_the_order_given() -> None:
    assert Router(reversed(ROUTES), "default").destination("shop.email.receive") == queue("late")


def test_a_task_without_a_route_and_a_default_queue_is_told_what_to_do() -> None:
    with pytest.raises(NoRoute, match=r"no route takes task 'other'.*routes:.*queue="):
        Router(ROUTES, None).destination("other")
    with pytest.raises(NoRoute, match="no default queue"):
        Router(ROUTES, None).destination("urgent.now")


def test_a_routing_key_alone_needs_an_exchange_from_somewhere() -> None:
    with pytest.raises(NoRoute, match="pass exchange= too"):
        Router(ROUTES, "default").destination("other", routing_key="k")


@pytest.mark.parametrize("options", [{"exchange": "e"}, {"routing_key": "k"}])
def test_a_queue_and_an_exchange_at_once_are_refused(options: dict) -> None:
    with pytest.raises(ConfigurationError, match="one or the other"):
        Router([], "default").destination("a", queue="q", **options)


@pytest.mark.parametrize(
    ("route", "words"),
    [
        (Route("(", "regex", queue="q"), "no regular expression"),
        (Route("a", "exact"), "leads nowhere"),
        (Route("a", "exact", routing_key="k"), "no exchange"),
        (Route("a", "exact", queue="q", exchange="e"), "keep one"),
    ],
)
def test_a_route_that_cannot_work_is_refused_at_once(route: Route, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Router([route], "default")
