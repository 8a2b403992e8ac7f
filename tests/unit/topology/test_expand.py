"""From settings to AMQP objects, for each generation of RabbitMQ."""

from __future__ import annotations

import subprocess
import sys

import pytest

from amqptasks.capabilities import Capabilities
from amqptasks.entities import Binding, Exchange, Queue
from amqptasks.topology.expand import Objects, expand
from amqptasks.topology.ladder import ladder_objects
from amqptasks.topology.loader import from_mapping
from amqptasks.topology.topology import Topology, default

OLD = Capabilities(version=(3, 10, 8))
MIDDLE = Capabilities(version=(4, 0, 5))
NEW = Capabilities(version=(4, 3, 6))


def _queue(objects: Objects, name: str) -> Queue:
    return next(queue for queue in objects.queues if queue.name == name)


def _one(**settings: object) -> Topology:
    return from_mapping({"version": 1, "queues": {"q": settings}})


def test_the_default_topology_is_a_queue_and_its_dead_letters_behind_one_exchange():
    assert expand(default(), NEW) == Objects(
        (Exchange("amqptasks.queues", "direct"),),
        (
            Queue("default.dead", arguments={"x-queue-type": "quorum", "x-delivery-limit": 1_000_000_000}),
            Queue(
                "default",
                arguments={
                    "x-queue-type": "quorum",
                    "x-delivery-limit": 25,
                    "x-dead-letter-exchange": "amqptasks.queues",
                    "x-dead-letter-routing-key": "default.dead",
                    "x-dead-letter-strategy": "at-least-once",
                    "x-overflow": "reject-publish",
                },
            ),
        ),
        (
            Binding("amqptasks.queues", "default.dead", "default.dead"),
            Binding("amqptasks.queues", "default", "default"),
        ),
    )


def test_an_upgrade_of_the_broker_changes_no_queue_without_priorities():
    assert expand(default(), OLD) == expand(default(), MIDDLE) == expand(default(), NEW)
    assert ladder_objects(default(), OLD) == ladder_objects(default(), NEW)


@pytest.mark.parametrize(("capabilities", "queue_type"), [(OLD, "classic"), (MIDDLE, "classic"), (NEW, "quorum")])
def test_priorities_make_a_queue_classic_where_quorum_queues_have_none(capabilities: Capabilities, queue_type: str):
    arguments = _queue(expand(_one(max_priority=10, arguments={"x-delayed-retry-min": 5}), capabilities), "q").arguments
    assert arguments["x-queue-type"] == queue_type
    assert ("x-max-priority" in arguments) is (queue_type == "classic")
    assert ("x-dead-letter-strategy" in arguments) is (queue_type == "quorum")
    assert ("x-delayed-retry-min" in arguments) is (queue_type == "quorum")


def test_a_priority_queue_from_before_an_upgrade_may_stay_classic():
    older = expand(_one(max_priority=10), NEW).older["q"]
    assert [queue.arguments["x-queue-type"] for queue in older] == ["classic"]


def test_a_bounded_queue_refuses_when_full():
    for kind in ("quorum", "classic"):
        topology = _one(type=kind, max_length=5, max_length_bytes=1000, dead_letter=False)
        arguments = _queue(expand(topology, NEW), "q").arguments
        assert (arguments["x-max-length"], arguments["x-max-length-bytes"]) == (5, 1000)
        assert arguments["x-overflow"] == "reject-publish"


def test_times_are_sent_in_milliseconds():
    topology = _one(message_ttl="1.5s", consumer_timeout="2h", dead_letter={"ttl": "14d"}, single_active_consumer=True)
    objects = expand(topology, NEW)
    arguments = _queue(objects, "q").arguments
    assert (arguments["x-message-ttl"], arguments["x-consumer-timeout"]) == (1500, 7_200_000)
    assert arguments["x-single-active-consumer"] is True
    assert _queue(objects, "q.dead").arguments["x-message-ttl"] == 1_209_600_000


def test_a_stream_has_nothing_of_a_queue():
    arguments = _queue(expand(_one(type="stream", max_length_bytes=1000, arguments={"x-max-age": "7D"}), NEW), "q")
    assert arguments.arguments == {"x-queue-type": "stream", "x-max-length-bytes": 1000, "x-max-age": "7D"}


def test_a_long_ladder_has_thirty_rungs_and_two_of_them_where_priorities_are_two_classes():
    def rungs(capabilities: Capabilities) -> list[str]:
        queues = ladder_objects(default(), capabilities).queues
        return [queue.name for queue in queues if queue.name != "amqptasks.delay.lost"]

    assert rungs(NEW) == rungs(OLD) == [f"amqptasks.delay.{number:02d}" for number in range(30)]
    assert rungs(MIDDLE) == rungs(NEW) + [f"amqptasks.delay.high.{number:02d}" for number in range(30)]


def test_a_short_ladder_has_only_the_rungs_it_needs():
    topology = from_mapping({"version": 1, "queues": {"q": {}}, "delays": {"max": "1m"}})
    assert len(ladder_objects(topology, NEW).queues) == 11 + 1


def test_a_rung_passes_on_to_the_one_below_whether_it_held_the_message_or_not():
    objects = ladder_objects(default(), NEW)
    for number, below in ((7, "amqptasks.delay.06"), (0, "amqptasks.delay.end")):
        name = f"amqptasks.delay.{number:02d}"
        exchange = next(exchange for exchange in objects.exchanges if exchange.name == name)
        arguments = _queue(objects, name).arguments
        assert exchange.arguments == {"alternate-exchange": below}
        assert (arguments["x-dead-letter-exchange"], arguments["x-message-ttl"]) == (below, 32 * 2**number)
        assert (arguments["x-dead-letter-strategy"], arguments["x-overflow"]) == ("at-least-once", "reject-publish")
        assert "x-dead-letter-routing-key" not in arguments


def test_a_twin_has_the_bindings_of_its_exchange_and_leads_to_lost():
    topology = from_mapping(
        {
            "version": 1,
            "exchanges": {
                "tasks": {"type": "topic", "alternate_exchange": "rest"},
                "rest": {"type": "fanout", "bindings": [{"exchange": "tasks", "routing_key": "rest.#"}]},
            },
            "queues": {
                "a": {"bindings": [{"exchange": "tasks", "routing_key": "a.*"}]},
                "b": {"bindings": [{"exchange": "rest"}], "max_length": 5},
            },
        }
    )
    objects = ladder_objects(topology, NEW)
    exchanges = {exchange.name: exchange for exchange in objects.exchanges}
    lost = {"alternate-exchange": "amqptasks.delay.lost"}
    assert exchanges["amqptasks.due.tasks"].type == "topic"
    assert exchanges["amqptasks.due.tasks"].arguments == {"alternate-exchange": "amqptasks.due.rest"}
    assert exchanges["amqptasks.due.rest"] == Exchange("amqptasks.due.rest", "fanout", arguments=lost)
    assert exchanges["amqptasks.due.amqptasks.queues"].arguments == lost
    for wanted in (
        Binding("amqptasks.due.tasks", "a", "a.*"),
        Binding("amqptasks.due.tasks", "amqptasks.due.rest", "rest.#", "exchange"),
        Binding("amqptasks.due.rest", "b.due"),
        Binding("amqptasks.due.amqptasks.queues", "a", "a"),
        Binding("amqptasks.due.amqptasks.queues", "b.due", "b"),
        Binding("amqptasks.due.amqptasks.queues", "a.dead", "a.dead"),
    ):
        assert wanted in objects.bindings
    assert _queue(objects, "b.due").arguments["x-dead-letter-routing-key"] == "b"
    assert "x-max-length" not in _queue(objects, "b.due").arguments


def test_expanding_the_default_topology_loads_neither_pydantic_nor_yaml():
    code = (
        "import sys\n"
        "from amqptasks.capabilities import Capabilities\n"
        "from amqptasks.topology import declare, delays, expand, ladder, topology\n"
        "expand.expand(topology.default(), Capabilities())\n"
        "print([name for name in ('pydantic', 'yaml', 'pika') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
