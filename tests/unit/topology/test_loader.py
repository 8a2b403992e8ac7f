"""What a topology file means."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from amqptasks.errors import TopologyError
from amqptasks.messages.routing import Route
from amqptasks.topology.delays import LONGEST
from amqptasks.topology.expand.expand import expand
from amqptasks.topology.read.loader import from_mapping, load
from amqptasks.topology.topology import DeadLetterBounds, QueueRetry, Source, default
from amqptasks.transport.capabilities import Capabilities
from amqptasks.transport.entities import Limit, Permission, Policy, TopicPermission, User, VirtualHost

READY = Path(__file__).parents[3] / "topology"


def test_a_queue_with_nothing_behind_it_has_every_default():
    topology = load(READY / "minimal.yaml")
    assert topology == default()
    queue = topology.queue("default")
    assert (queue.type, queue.dead_letter, queue.delivery_limit, queue.retry) == ("quorum", "default.dead", 20, None)


def test_the_shop_means_what_it_says():
    topology = load(READY / "shop.yaml")
    assert topology.queue_names == ("emails", "payments", "reports", "stock", "audit", "default")
    emails = topology.queue("emails")
    assert emails.retry == QueueRetry((5.0, 30.0, 300.0), jitter=0.1, max_retries=3)
    assert emails.dead_letters == DeadLetterBounds(ttl=14 * 86400.0, max_length=100_000)
    assert emails.bindings == (Source("tasks", "email.#"),)
    assert topology.queue("payments").retry == QueueRetry((), 1.0, 600.0, 0.0, 8)
    assert (topology.queue("reports").refuses, topology.queue("emails").refuses) == (True, False)
    assert topology.default_queue == "default"
    assert topology.routes[0] == Route("shop.email.reset", "exact", "tasks", "email.send", None, 9)
    assert topology.routes[1] == Route("shop.email.*", "glob", "tasks", "email.send", None, 1)
    assert topology.routes[3].kind == "regex"
    assert topology.routes[3].pattern == r"shop\.report\.(month|quarter)ly"
    assert topology.routes[5] == Route("shop.stock.*", "glob", None, None, "stock", None)
    assert topology.delay_targets == {"amqptasks.queues", "tasks", "events"}


def test_an_unknown_queue_is_refused_with_the_likely_one():
    with pytest.raises(TopologyError, match="did you mean `default`"):
        default().queue("defualt")


def test_variables_are_filled_in_and_keep_their_types(tmp_path: Path):
    file = tmp_path / "shop.yaml"
    file.write_text(
        "version: 1\nvhost: ${STAGE}-shop\n"
        'queues:\n  "${STAGE}-emails":\n    max_length: ${MOST:-500}\n    message_ttl: ${TTL}\n'
        "    single_active_consumer: ${SINGLE}\n    arguments: {x-note: '$${STAGE}', y: '${MOST:-5}'}\n"
    )
    topology = load(file, environment={"STAGE": "test", "TTL": "5m", "SINGLE": "true", "MOST": ""})
    queue = topology.queue("test-emails")
    assert topology.vhost == "test-shop"
    assert (queue.max_length, queue.message_ttl, queue.single_active_consumer) == (500, 300.0, True)
    assert queue.arguments == {"x-note": "${STAGE}", "y": "5"}


def test_files_merge_and_refer_to_each_other(tmp_path: Path):
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("version: 1\nexchanges: {tasks: {type: topic}}\nroutes: {a: {exchange: tasks, routing_key: a.b}}\n")
    two.write_text("version: 1\nqueues: {q: {bindings: [{exchange: tasks, routing_key: a.#}]}}\ndelays: {max: 1h}\n")
    topology = load(one, two)
    assert (topology.queue_names, topology.longest_delay, topology.default_queue) == (("q",), 3600.0, None)
    assert topology.routes == (Route("a", "exact", "tasks", "a.b"),)


def test_yaml_anchors_and_merges_work_and_explicit_keys_win(tmp_path: Path):
    file = tmp_path / "shop.yaml"
    file.write_text(
        "version: 1\nqueues:\n  a: &common {max_length: 5, delivery_limit: 3}\n  b: {<<: *common, max_length: 6}\n"
        "  c: {<<: [{max_length: 7}, *common]}\n"
    )
    topology = load(file)
    assert [(topology.queue(name).max_length, topology.queue(name).delivery_limit) for name in "abc"] == [
        (5, 3),
        (6, 3),
        (7, 3),
    ]


def test_a_ladder_of_398_days_is_the_longest_there_is():
    topology = from_mapping({"version": 1, "queues": {"a": {}}, "delays": {"max": "398d"}})
    assert topology.longest_delay == LONGEST


def test_built_in_exchanges_need_no_declaration():
    topology = from_mapping(
        {
            "version": 1,
            "queues": {"a": {"bindings": [{"exchange": "amq.topic", "routing_key": "x.*"}]}},
            "routes": {"t": {"exchange": "amq.topic", "routing_key": "x.y"}},
        }
    )
    assert topology.delay_targets == {"amqptasks.queues", "amq.topic"}


def test_a_route_without_a_key_uses_the_name_of_its_task():
    shape = {
        "version": 1,
        "exchanges": {"tasks": {"type": "topic"}},
        "queues": {"a": {"bindings": [{"exchange": "tasks", "routing_key": "shop.#"}]}},
    }
    assert from_mapping({**shape, "routes": {"shop.add": {"exchange": "tasks"}}}).routes[0].routing_key is None
    with pytest.raises(TopologyError, match="reaches no queue"):
        from_mapping({**shape, "routes": {"stock.add": {"exchange": "tasks"}}})


def test_a_queue_without_dead_letters_has_none():
    topology = from_mapping({"version": 1, "queues": {"a": {"dead_letter": False}, "log": {"type": "stream"}}})
    assert topology.queue("a").dead_letter is None
    assert topology.queue("log").dead_letter is None


def test_policies_users_and_limits_become_objects_of_the_management_api():
    topology = from_mapping(
        {
            "version": 1,
            "vhost": {"name": "shop", "tags": ["eu"], "default_queue_type": "quorum", "limits": {"max_queues": 50}},
            "policies": {
                "bounded": {
                    "pattern": "^emails",
                    "apply_to": "queues",
                    "priority": 3,
                    "definition": {"max_length": 5, "message_ttl": "1.5s", "arguments": {"federation-upstream": "x"}},
                }
            },
            "operator_policies": {"ceiling": {"pattern": ".*", "definition": {"max_length": 9}}},
            "users": {
                "api": {
                    "password_from": "API_PASSWORD",
                    "tags": ["monitoring", "ours"],
                    "permissions": {"write": "^amqptasks"},
                    "topic_permissions": {"tasks": {"write": "^email"}},
                    "limits": {"max_connections": 0, "max_channels": 7},
                },
                "night": {"role": "worker"},
            },
        }
    )
    objects = expand(topology, Capabilities())
    assert (topology.vhost, objects.vhost) == ("shop", VirtualHost(None, ("eu",), "quorum"))
    assert objects.policies == (
        Policy(
            "bounded",
            "^emails",
            {"max-length": 5, "message-ttl": 1500, "federation-upstream": "x"},
            "queues",
            priority=3,
        ),
        Policy("ceiling", ".*", {"max-length": 9}, "queues", operator=True),
    )
    assert objects.users == (User("api", ("monitoring", "ours"), "API_PASSWORD"), User("night"))
    assert objects.permissions[0] == Permission("api", write="^amqptasks")
    assert [permission.user for permission in objects.permissions] == ["api", "night"], (
        "the role gives permissions, too"
    )
    assert objects.topic_permissions == (TopicPermission("api", "tasks", write="^email"),)
    assert objects.limits == (
        Limit("max-queues", 50),
        Limit("max-connections", 0, "api"),
        Limit("max-channels", 7, "api"),
    )
    assert topology.roles == {"night": "worker"}


def test_a_virtual_host_of_which_only_the_name_is_given_is_left_as_it_is():
    assert expand(from_mapping({"version": 1, "vhost": "shop", "queues": {"a": None}}), Capabilities()).vhost is None


def test_a_queue_is_its_layers_laid_over_each_other_key_by_key(tmp_path: Path):
    file = tmp_path / "shop.yaml"
    file.write_text(
        "version: 1\n"
        "defaults:\n  queue: {dead_letter: {ttl: 14d}, delivery_limit: 3, consumer_timeout: 2h, max_length: 5}\n"
        "  exchange: {type: topic}\n"
        "templates:\n"
        "  patient: {retry: {delays: [1m]}, dead_letter: {max_length: 9}}\n"
        "  keen: {retry: {backoff: exponential}}\n"
        "exchanges: {tasks: , events: {type: fanout}}\n"
        "queues:\n"
        "  a: {template: patient}\n"
        "  b: {template: [patient, keen], delivery_limit: 4, max_length: }\n"
        "  c: {type: classic, dead_letter: false}\n"
        "  log: {type: stream}\n"
        "  foreign: {exact: true}\n"
    )
    topology = load(file)
    a, b, c = (topology.queue(name) for name in "abc")
    assert (a.dead_letters, a.delivery_limit, a.max_length) == (DeadLetterBounds(ttl=14 * 86400.0, max_length=9), 3, 5)
    assert a.retry == QueueRetry((60.0,), max_retries=1)
    assert (b.retry, b.delivery_limit, b.max_length) == (QueueRetry((), 1.0, 600.0), 4, None)
    assert (c.dead_letters, c.consumer_timeout, c.max_length) == (None, None, 5)
    assert (topology.queue("log").max_length, topology.queue("foreign").dead_letters) == (None, None)
    assert [exchange.type for exchange in topology.exchanges.values()] == ["topic", "fanout"]


def test_one_stands_for_many_and_what_stands_in_it_names_each():
    topology = from_mapping(
        {
            "version": 1,
            "templates": {"tenant": {"bindings": [{"exchange": "tasks.{each}", "routing_key": "{each}.#"}]}},
            "exchanges": {"tasks.{each}": {"type": "topic", "for_each": ["acme", "globex"]}},
            "queues": {"{each}.emails": {"template": "tenant", "for_each": ["acme", "globex"]}, "other": None},
            "routes": {"{each}.*": {"queue": "{each}.emails", "for_each": ["acme", "globex"]}},
            "users": {"{each}": {"permissions": {"read": "^{each}"}, "for_each": ["acme", "globex"]}},
        }
    )
    assert topology.queue_names == ("acme.emails", "globex.emails", "other")
    assert topology.queue("globex.emails").bindings == (Source("tasks.globex", "globex.#"),)
    assert [route.queue for route in topology.routes] == ["acme.emails", "globex.emails"]
    assert [permission.read for permission in topology.permissions] == ["^acme", "^globex"]


def test_a_later_file_may_override_single_keys_and_the_environment_is_one(tmp_path: Path):
    one, two = tmp_path / "shop.yaml", tmp_path / "production.yaml"
    one.write_text(
        "version: 1\nvhost: shop\nqueues:\n  a: {max_length: 5, dead_letter: {ttl: 1d}, retry: {delays: [5s]}}\n  b:\n"
        "routes: {t: {queue: a, priority: 3}}\n"
    )
    two.write_text(
        "version: 1\noverride: true\nvhost: {limits: {max_queues: 9}}\ndelays: {max: 1h}\nqueues:\n"
        "  a: {max_length: , dead_letter: {max_length: 7}, retry: {backoff: exponential}}\n  b:\n"
        "routes: {t: {queue: b}}\n"
    )
    topology = load(one, two)
    a = topology.queue("a")
    assert (a.max_length, a.dead_letters, a.retry) == (
        None,
        DeadLetterBounds(ttl=86400.0, max_length=7),
        QueueRetry((), 1.0, 600.0),
    )
    assert (topology.vhost, topology.longest_delay, topology.limits) == ("shop", 3600.0, (Limit("max-queues", 9),))
    assert topology.routes == (Route("t", "exact", queue="b"),)


def test_thousands_of_queues_from_one_list_are_read_in_moments():
    names = [f"t{number}" for number in range(4500)]
    queue = {"for_each": names, "bindings": [{"exchange": "amq.topic", "routing_key": "{each}.#"}]}
    started = time.process_time()
    topology = from_mapping({"version": 1, "queues": {"{each}.q": queue}})
    assert len(topology.queues) == len(names)
    assert time.process_time() - started < 10, "the list was copied to each of them"
