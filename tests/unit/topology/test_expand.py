"""From settings to AMQP objects, for each generation of RabbitMQ."""

from __future__ import annotations

import subprocess
import sys

import pytest

from amqptasks.errors import TopologyError
from amqptasks.topology.delays import room
from amqptasks.topology.expand.expand import Objects, expand
from amqptasks.topology.expand.ladder import ladder_objects
from amqptasks.topology.read.loader import from_mapping
from amqptasks.topology.topology import QueueRetry, Topology, default
from amqptasks.transport.capabilities import Capabilities
from amqptasks.transport.entities import Binding, Exchange, Queue

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
    arguments = _queue(expand(_one(max_priority=10, target_group_size=5), capabilities), "q").arguments
    assert arguments["x-queue-type"] == queue_type
    assert ("x-max-priority" in arguments) is (queue_type == "classic")
    assert ("x-dead-letter-strategy" in arguments) is (queue_type == "quorum")
    assert ("x-quorum-target-group-size" in arguments) is (queue_type == "quorum")


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
    topology = _one(
        type="stream",
        max_length_bytes=1000,
        max_age="7d",
        max_segment_size=500,
        filter_size=16,
        initial_cluster_size=3,
        leader_locator="balanced",
    )
    assert _queue(expand(topology, NEW), "q").arguments == {
        "x-queue-type": "stream",
        "x-max-length-bytes": 1000,
        "x-max-age": "604800s",
        "x-stream-max-segment-size-bytes": 500,
        "x-stream-filter-size-bytes": 16,
        "x-initial-cluster-size": 3,
        "x-queue-leader-locator": "balanced",
    }


def test_a_quorum_queue_takes_its_size_and_place_from_typed_keys():
    topology = _one(
        expires="1h",
        leader_locator="balanced",
        initial_group_size=3,
        target_group_size=5,
        consumer_disconnected_timeout="1m",
        delivery_limit=False,
    )
    arguments = _queue(expand(topology, NEW), "q").arguments
    assert arguments["x-expires"] == 3_600_000
    assert arguments["x-queue-leader-locator"] == "balanced"
    assert (arguments["x-quorum-initial-group-size"], arguments["x-quorum-target-group-size"]) == (3, 5)
    assert arguments["x-consumer-disconnected-timeout"] == 60_000
    assert arguments["x-delivery-limit"] == 1_000_000_000


def test_a_classic_queue_may_be_transient_and_says_where_it_lives_as_the_release_wants_it():
    topology = _one(type="classic", durable=False, auto_delete=True, queue_mode="lazy", leader_locator="balanced")
    old, new = (_queue(expand(topology, release), "q") for release in (OLD, NEW))
    assert (new.durable, new.auto_delete, new.arguments["x-queue-mode"]) == (False, True, "lazy")
    assert (old.arguments["x-queue-master-locator"], new.arguments["x-queue-leader-locator"]) == (
        "min-masters",
        "balanced",
    )
    assert expand(topology, NEW).older["q"] == (old,)


def test_dropping_the_oldest_gives_up_dead_lettering_at_least_once():
    topology = _one(max_length=5, overflow="drop-head")
    arguments = _queue(expand(topology, NEW), "q").arguments
    assert arguments["x-overflow"] == "drop-head"
    assert "x-dead-letter-strategy" not in arguments


def test_queues_may_share_a_dead_letter_queue_which_then_has_none_of_its_own():
    topology = from_mapping(
        {"version": 1, "queues": {"a": {"dead_letter": {"queue": "rest"}}, "rest": {"max_length": 100}}}
    )
    objects = expand(topology, NEW)
    assert [queue.name for queue in objects.queues] == ["a", "rest"]
    assert _queue(objects, "a").arguments["x-dead-letter-routing-key"] == "rest"
    rest = _queue(objects, "rest").arguments
    assert rest["x-delivery-limit"] == 1_000_000_000
    assert "x-dead-letter-exchange" not in rest


def test_nothing_is_added_to_an_exact_queue():
    topology = from_mapping(
        {
            "version": 1,
            "queues": {
                "foreign": {"exact": True, "arguments": {"x-dead-letter-exchange": "theirs", "x-anything": 1}},
                "log": {"exact": True, "type": "stream"},
            },
        }
    )
    assert expand(topology, NEW) == Objects(
        queues=(
            Queue("foreign", arguments={"x-dead-letter-exchange": "theirs", "x-anything": 1}),
            Queue("log", arguments={"x-queue-type": "stream"}),
        )
    )


def test_an_exact_queue_can_have_what_is_not_on_it_and_be_reached_by_name():
    topology = from_mapping(
        {
            "version": 1,
            "queues": {
                "celery": {
                    "type": "classic",
                    "exact": True,
                    "dead_letter": {"ttl": "1d"},
                    "bindings": [{"exchange": "amqptasks.queues"}],
                }
            },
            "default_queue": "celery",
        }
    )
    objects = expand(topology, NEW)
    assert _queue(objects, "celery").arguments == {"x-queue-type": "classic"}
    assert topology.queue("celery").dead_letter == "celery.dead"
    assert Binding("amqptasks.queues", "celery", "celery") in objects.bindings


def test_retry_queues_hold_each_delay_and_lead_back():
    topology = _one(retry={"delays": ["5s", "1m 30s", "5s"], "queues": True})
    objects = expand(topology, NEW)
    assert topology.queue("q").retry_queues == {5.0: "q.retry.5s", 90.0: "q.retry.1m30s"}
    assert _queue(objects, "q.retry.1m30s").arguments == {
        "x-queue-type": "quorum",
        "x-delivery-limit": 1_000_000_000,
        "x-message-ttl": 90_000,
        "x-dead-letter-exchange": "amqptasks.queues",
        "x-dead-letter-routing-key": "q",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    assert Binding("amqptasks.queues", "q.retry.5s", "q.retry.5s") in objects.bindings
    assert _queue(objects, "q").arguments["x-dead-letter-routing-key"] == "q.dead", (
        "the limit must not lead into a loop"
    )


def test_native_retries_are_on_the_queue_of_every_release_with_room_for_them_below_its_limit():
    topology = _one(retry={"native": True, "first": "2s", "max": "5s", "max_retries": 4}, delivery_limit=3)
    assert topology.queue("q").retry == QueueRetry((2.0, 4.0, 5.0, 5.0), 2.0, 5.0, 0.0, 4, "native")
    for release in (OLD, NEW):
        arguments = _queue(expand(topology, release), "q").arguments
        assert arguments["x-delayed-retry-type"] == "failed"
        assert (arguments["x-delayed-retry-min"], arguments["x-delayed-retry-max"]) == (2000, 5000)
        assert arguments["x-delivery-limit"] == 3 + 4 + 5


@pytest.mark.parametrize(
    ("release", "mapping", "path"),
    [
        (OLD, {"exchanges": {"near": {"type": "x-local-random"}}}, "exchanges.near.type"),
        (NEW, {"queues": {"q": {"type": "classic", "queue_version": 1}}}, "queues.q.queue_version"),
        (
            OLD,
            {"policies": {"p": {"pattern": "a", "apply_to": "streams", "definition": {"max_age": "1d"}}}},
            "policies.p.apply_to",
        ),
        (OLD, {"policies": {"p": {"pattern": "a", "definition": {"consumer_timeout": "1h"}}}}, "policies.p.definition"),
        (
            MIDDLE,
            {"policies": {"p": {"pattern": "a", "definition": {"delayed_retry_min": "1s"}}}},
            "policies.p.definition",
        ),
        (
            OLD,
            {"operator_policies": {"p": {"pattern": "a", "definition": {"delivery_limit": -1}}}},
            "operator_policies.p.definition",
        ),
    ],
)
def test_what_a_release_cannot_have_is_refused_before_anything_is_declared(
    release: Capabilities, mapping: dict[str, object], path: str
):
    with pytest.raises(TopologyError) as caught:
        expand(from_mapping({"version": 1, **mapping}), release)
    assert caught.value.path == path
    assert "this broker is RabbitMQ" in caught.value.problem
    assert caught.value.hint


def test_a_long_ladder_has_thirty_rungs_and_two_of_them_where_priorities_are_two_classes():
    def rungs(capabilities: Capabilities) -> list[str]:
        queues = ladder_objects(default(), capabilities).queues
        return [queue.name for queue in queues if queue.name not in ("amqptasks.delay.lost", room("default"))]

    assert rungs(NEW) == rungs(OLD) == [f"amqptasks.delay.{number:02d}" for number in range(30)]
    assert rungs(MIDDLE) == rungs(NEW) + [f"amqptasks.delay.high.{number:02d}" for number in range(30)]


def test_a_short_ladder_has_only_the_rungs_it_needs():
    topology = from_mapping({"version": 1, "queues": {"q": {}}, "delays": {"max": "1m"}})
    assert len(ladder_objects(topology, NEW).queues) == 11 + 2, "lost, and the room before the queue"


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
                "log": {"type": "stream", "bindings": [{"exchange": "rest"}]},
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
        Binding("amqptasks.due.tasks", room("a"), "a.*"),
        Binding("amqptasks.due.tasks", "amqptasks.due.rest", "rest.#", "exchange"),
        Binding("amqptasks.due.rest", room("b")),
        Binding("amqptasks.due.rest", "log"),
        Binding("amqptasks.due.amqptasks.queues", room("a"), "a"),
        Binding("amqptasks.due.amqptasks.queues", room("b"), "b"),
        Binding(room("a"), "a"),
        Binding(room("b"), "b"),
    ):
        assert wanted in objects.bindings
    assert room("log") not in exchanges, "a stream never refuses"
    assert not {"a", "b"} & {one.destination for one in objects.bindings if one.source.startswith("amqptasks.due.")}
    assert "x-max-length" not in _queue(objects, room("b")).arguments
    assert exchanges[room("b")] == Exchange(room("b"), "fanout", arguments=lost)
    assert {(one.source, one.destination, one.routing_key) for one in objects.retired} == {
        ("amqptasks.due.tasks", "a", "a.*"),
        ("amqptasks.due.amqptasks.queues", "a", "a"),
        ("amqptasks.due.rest", "b", ""),
        ("amqptasks.due.rest", "b.due", ""),
        ("amqptasks.due.amqptasks.queues", "b", "b"),
        ("amqptasks.due.amqptasks.queues", "b.due", "b"),
    }


def test_expanding_the_default_topology_loads_neither_pydantic_nor_yaml():
    code = (
        "import sys\n"
        "from amqptasks.transport.capabilities import Capabilities\n"
        "from amqptasks.topology.broker import declare\n"
        "from amqptasks.topology import delays, topology\n"
        "from amqptasks.topology.expand import expand, ladder\n"
        "expand.expand(topology.default(), Capabilities())\n"
        "print([name for name in ('pydantic', 'yaml', 'pika') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_exchanges_have_typed_keys_and_shares_for_their_types():
    topology = from_mapping(
        {
            "version": 1,
            "exchanges": {
                "shares": {"type": "x-consistent-hash", "hash_header": "customer"},
                "later": {"type": "x-delayed-message", "delayed_type": "topic"},
                "lately": {"type": "x-recent-history", "recent_history_length": 5, "arguments": {"x-no-store": True}},
                "odd": {"type": "x-somebodys-own"},
            },
            "queues": {"a": {"bindings": [{"exchange": "shares", "weight": 3}]}},
        }
    )
    objects = expand(topology, NEW)
    assert {exchange.name: (exchange.type, exchange.arguments) for exchange in objects.exchanges[1:]} == {
        "shares": ("x-consistent-hash", {"hash-header": "customer"}),
        "later": ("x-delayed-message", {"x-delayed-type": "topic"}),
        "lately": ("x-recent-history", {"x-recent-history-length": 5, "x-no-store": True}),
        "odd": ("x-somebodys-own", {}),
    }
    assert Binding("shares", "a", "3") in objects.bindings
