"""The pure parts of a migration: what a message becomes, when a queue is empty for certain, what differs."""

from __future__ import annotations

import pytest

from amqptasks.messages.delivery import SETTLED, Delivery
from amqptasks.messages.properties import Properties
from amqptasks.topology.broker.observed import ObservedQueue
from amqptasks.topology.migrate import marks
from amqptasks.topology.migrate.figures import MARGIN, Emptiness, Figures
from amqptasks.topology.migrate.message import homeward, outward
from amqptasks.topology.migrate.migration import differences
from amqptasks.transport.entities import Queue


def delivery(properties: Properties) -> Delivery:
    return Delivery("emails", 1, "tasks", "email.a", False, properties, b"body", SETTLED)


def test_an_expiration_rests_on_the_way_out_and_is_shorter_on_the_way_back():
    out = outward("aside", "shop", False)(delivery(Properties(expiration="60000", headers={"id": "1"})))
    assert out.properties.expiration is None
    home = homeward("back", "shop", False)(delivery(out.properties))
    assert 59_000 < int(home.properties.expiration or 0) <= 60_000
    assert home.properties.headers == {"id": "1"}
    assert (home.exchange, home.routing_key, home.body) == ("back", "email.a", b"body")


def test_a_header_of_somebody_else_in_place_of_ours_takes_nothing_away():
    home = homeward("back", "shop", False)(delivery(Properties(headers={"x-amqptasks-waiting": "soon"})))
    assert home.properties.expiration is None


@pytest.mark.parametrize(("keep", "left"), [(False, {"id"}), (True, {"id", "x-death", "x-first-death-queue"})])
def test_records_of_death_stay_only_where_nothing_dies_again(keep: bool, left: set[str]):
    headers = {"id": "1", "x-death": [], "x-first-death-queue": "q", "x-delivery-count": 3, "x-acquired-count": 4}
    moved = outward("aside", "shop", keep)(delivery(Properties(headers=headers)))
    assert set(moved.properties.headers or {}) == left


def test_a_user_id_is_kept_only_where_the_broker_would_take_it():
    moved = [outward("aside", "shop", False)(delivery(Properties(user_id=user))) for user in ("shop", "other")]
    assert [one.properties.user_id for one in moved] == ["shop", None]


def test_a_zero_proves_a_classic_queue_empty_at_once_and_a_quorum_queue_once_it_must_be_young():
    assert not Emptiness(10.0).proven(Figures("classic", 0), 9.9)
    assert Emptiness(10.0).proven(Figures("classic", 0), 10.1)
    quorum = Emptiness(10.0, every=5.0)
    assert not quorum.proven(Figures("quorum", 0), 14.9)
    assert quorum.proven(Figures("quorum", 0), 15.1 + MARGIN)


def test_a_figure_that_has_become_zero_is_young():
    quorum = Emptiness(10.0, every=5.0)
    assert not quorum.proven(Figures("quorum", 3), 10.1)
    assert quorum.proven(Figures("quorum", 0), 10.4)


def test_the_type_counts_whether_an_argument_says_it_or_not():
    wanted = Queue("emails", arguments={"x-queue-type": "classic"})
    assert differences(ObservedQueue(Queue("emails"), "classic"), wanted) == {}
    found = differences(ObservedQueue(Queue("emails", arguments={"x-max-priority": 5}), "quorum"), wanted)
    assert found == {"x-max-priority": (5, None), "x-queue-type": ("quorum", "classic")}


def test_the_shadow_refuses_nothing_and_knows_where_the_dead_go():
    bounded = {"x-queue-type": "classic", "x-max-length": 5, "x-message-ttl": 1, "x-dead-letter-exchange": "dlx"}
    shadow = marks.shadow_queue(Queue("emails", arguments=bounded))
    assert shadow.name == "emails.moving"
    assert "x-max-length" not in shadow.arguments
    assert "x-message-ttl" not in shadow.arguments
    assert shadow.arguments["x-dead-letter-exchange"] == "dlx"
    assert shadow.arguments["x-dead-letter-strategy"] == "at-least-once"
