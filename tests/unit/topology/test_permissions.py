"""Who may do what, from the topology; logging in as each is tried in tests/integration."""

from __future__ import annotations

import re

import pytest

from amqptasks.control import places as control
from amqptasks.errors import ConfigurationError
from amqptasks.events import places as events
from amqptasks.topology.ask.reach import topic_matches
from amqptasks.topology.delays import RUNGS, enter, rung
from amqptasks.topology.expand.expand import expand
from amqptasks.topology.expand.ladder import ladder_objects
from amqptasks.topology.expand.permissions import permissions_for
from amqptasks.topology.read.loader import from_mapping
from amqptasks.transport.capabilities import Capabilities

SHOP = {
    "version": 1,
    "exchanges": {"tasks": {"type": "topic"}, "inner": {"type": "fanout", "internal": True}},
    "queues": {
        "e.mails": {"bindings": [{"exchange": "tasks", "routing_key": "email.#"}], "max_length": 5},
        "log": {"type": "stream"},
    },
}
EVERY = from_mapping(SHOP)


def allowed(expression: str, name: str) -> bool:
    return re.search(expression, name) is not None


def test_names_are_taken_literally_and_as_a_whole():
    read = permissions_for(EVERY, "worker").read
    assert allowed(read, "e.mails")
    for other in ("eXmails", "e.mails.dead", "my.e.mails", "log"):
        assert not allowed(read, other)


@pytest.mark.parametrize("role", ["publisher", "worker"])
def test_every_rung_of_the_ladder_may_be_entered_and_no_internal_exchange(role: str):
    write = permissions_for(EVERY, role).write  # type: ignore[arg-type]
    assert all(allowed(write, rung(number, upper)) for number in range(RUNGS) for upper in (False, True))
    assert not allowed(write, "inner")


def test_a_declarer_may_configure_each_object_and_nothing_else():
    rights = permissions_for(EVERY, "declarer")
    for capabilities in ((3, 10, 0), (4, 0, 0), (4, 3, 0)):
        can = Capabilities(version=capabilities)
        objects = expand(EVERY, can) + ladder_objects(EVERY, can)
        for one in (*objects.exchanges, *objects.queues):
            assert allowed(rights.configure, one.name)
    assert not allowed(rights.configure, "other")


def test_what_workers_keep_for_themselves_is_named_as_they_name_it():
    rights = permissions_for(EVERY, "worker")
    names = [control.EXCHANGE.name, control.NODES.name, control.REVOKED.name, events.EXCHANGE.name, events.STREAM.name]
    assert all(allowed(rights.configure, name) and allowed(rights.write, name) for name in names)
    assert allowed(rights.configure, f"{control.LISTENERS}.{'0' * 32}")


@pytest.mark.parametrize("pattern", ["a.b", "a.*", "*", "a.#", "#.b", "a.#.b", "#.#.b", "a.*.#", "*.b.#", "a..b"])
def test_just_the_keys_may_be_published_that_a_binding_takes(pattern: str):
    bindings = [{"exchange": "t", "routing_key": pattern}]
    topology = from_mapping(
        {"version": 1, "exchanges": {"t": {"type": "topic"}}, "queues": {"q": {"bindings": bindings}}}
    )
    ((exchange, write, read),) = permissions_for(topology, "publisher").topics
    assert (exchange, allowed(read, "a")) == ("t", False)
    for key in ("a", "b", "a.b", "a.c", "a.c.b", "c.b", "a.b.c", "ab", "a.c.d.b", "x.b.c.d", "a..b", "x"):
        assert allowed(write, key) == topic_matches(pattern, key), key


def test_a_binding_to_all_keys_allows_all_without_a_word():
    queue = {"bindings": [{"exchange": "t", "routing_key": "#"}]}
    topology = from_mapping({"version": 1, "exchanges": {"t": {"type": "topic"}}, "queues": {"q": queue}})
    assert permissions_for(topology, "publisher").topics == ()


def test_without_delays_there_is_no_ladder_and_no_right_to_it():
    topology = from_mapping({**SHOP, "delays": False})
    assert not len(ladder_objects(topology, Capabilities()))
    assert not allowed(permissions_for(topology, "publisher").write, rung(3))
    with pytest.raises(ConfigurationError, match="delays: false"):
        enter(5.0, "tasks", Capabilities(), None, 0.0)
