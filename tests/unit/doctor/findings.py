"""Of each check, what it tells: one example a row."""

from __future__ import annotations

from amqptasks.doctor.snapshot import Snapshot
from amqptasks.doctor.values import Alarm, Clock, Connection, Consumers, Flag, Length, Members, Node
from amqptasks.errors import DeclarationConflict
from amqptasks.topology.delays import room
from amqptasks.transport.capabilities import Capabilities
from amqptasks.transport.entities import Binding, QueueState
from tests.unit.doctor.read import (
    BOUND,
    DROP,
    HOUR,
    LETTERS,
    RELEASES,
    SAFELY,
    TO_DLX,
    broker,
    of_topology,
    queue,
    seen,
)

#: What was read; the check; level, subject, words of the problem, words of the mending line.
FINDINGS: dict[str, tuple[Snapshot, str, tuple[str, str, str, str]]] = {
    "another product": (
        seen(Capabilities("LavinMQ", (2, 0, 0))),
        "version",
        ("note", "broker", "LavinMQ", "RabbitMQ 3.10 or newer"),
    ),
    "an old release": (
        seen(Capabilities(version=(3, 9, 1))),
        "version",
        ("wrong", "broker", "older than 3.10", "upgrade"),
    ),
    "a memory alarm": (
        seen(alarms=(Alarm("a@b", "memory"),)),
        "alarms",
        ("wrong", "node a@b", "publishers are blocked", "more memory"),
    ),
    "a disk alarm": (
        seen(alarms=(Alarm("a@b", "disk"),)),
        "alarms",
        ("wrong", "node a@b", "disk alarm", "free some disk there"),
    ),
    "a node that is down": (
        seen(nodes=(Node("a@host", False),)),
        "nodes",
        ("wrong", "node a@host", "does not run", "RabbitMQ on host"),
    ),
    "a partition": (
        seen(nodes=(Node("a@b", partitions=("c@d",)),)),
        "nodes",
        ("wrong", "node a@b", "cut between it and c@d", "rabbitmqctl cluster_status"),
    ),
    "memory near its limit": (
        seen(nodes=(Node("a@b", memory_used=80 << 20, memory_limit=100 << 20),)),
        "nodes",
        ("note", "node a@b", "80 of the 100 MiB", "rabbitmqctl set_vm_memory_high_watermark 0.6"),
    ),
    "disk near its limit": (
        seen(nodes=(Node("a@b", disk_free=90 << 20, disk_limit=50 << 20),)),
        "nodes",
        ("note", "node a@b", "90 MiB of disk are free; publishers stop at 50", "free some disk"),
    ),
    "few files left": (
        seen(nodes=(Node("a@b", files_used=900, files=1024),)),
        "nodes",
        ("wrong", "node a@b", "900 of 1024 files", "LimitNOFILE"),
    ),
    "a flag that we need": (
        seen(flags_off=(Flag("stream_queue", True),)),
        "feature-flags",
        ("wrong", "feature flag stream_queue", "at most once", "rabbitmqctl enable_feature_flag stream_queue"),
    ),
    "flags that a new broker has": (
        seen(flags_off=(Flag("one", True), Flag("two", True), Flag("khepri_db", False))),
        "feature-flags",
        ("note", "feature flags", "one, two;", "rabbitmqctl enable_feature_flag all"),
    ),
    "a deprecated feature": (
        seen(deprecated=("global_qos",)),
        "deprecated-features",
        ("note", "deprecated feature global_qos", "is without it", "global=false"),
    ),
    "an unknown deprecated feature": (
        seen(deprecated=("coming",)),
        "deprecated-features",
        ("note", "deprecated feature coming", "is without it", "https://www.rabbitmq.com/docs/deprecated-features"),
    ),
    "a clock behind": (
        seen(clock=Clock(-5.0, 1.0)),
        "clock",
        ("note", "clock", "5 seconds behind", "timedatectl set-ntp true"),
    ),
    "a clock far ahead": (
        seen(clock=Clock(90.0, 1.0)),
        "clock",
        ("wrong", "clock", "90 seconds ahead of", "timedatectl set-ntp true"),
    ),
    "an absent queue": (
        of_topology({"queues": {"work": None}}, absent=(("queue", "work"),)),
        "objects",
        ("wrong", "queue work", "not on the broker", "amqptasks -A shop declare"),
    ),
    "an absent ladder": (
        of_topology(
            {"queues": {"work": None}}, absent=(("queue", "amqptasks.delay.03"), ("exchange", "amqptasks.due.x"))
        ),
        "objects",
        ("wrong", "delay ladder", "2 of its queues and exchanges", "amqptasks -A shop declare"),
    ),
    "another argument": (
        of_topology(
            {"queues": {"work": None}}, conflicts=(DeclarationConflict("queue", "work", "x-max-length", "5", "4"),)
        ),
        "objects",
        ("wrong", "queue work", "x-max-length is", "amqptasks -A shop migrate work"),
    ),
    "an older form": (
        of_topology({"queues": {"work": None}}, older=("work",)),
        "objects",
        ("note", "queue work", "older release", "amqptasks -A shop migrate work"),
    ),
    "no right to tell": (
        of_topology({"queues": {"work": None}}, refused="403"),
        "objects",
        ("note", "permissions", "403", "another user"),
    ),
    "a missing binding": (
        of_topology({"queues": {"work": None}}, observed=broker(queue("work"), queue("work.dead"))),
        "bindings",
        ("wrong", "binding amqptasks.queues -> work.dead", "and 1 more", "amqptasks -A shop declare"),
    ),
    "a policy that beats an argument": (
        seen(observed=broker(queue("work", **TO_DLX, **SAFELY), policies=(DROP,))),
        "policies",
        ("wrong", "policy drop", "beats the argument reject-publish", "rabbitmqctl clear_policy -p shop drop"),
    ),
    "priorities before 4.3": (
        seen(RELEASES["4.0"], observed=broker(queue("work", "classic", max_priority=5))),
        "priorities",
        ("note", "queue work", "no delivery limit", "upgrade to RabbitMQ 4.3"),
    ),
    "priorities left from before 4.3": (
        seen(observed=broker(queue("work", "classic", max_priority=5))),
        "priorities",
        ("note", "queue work", "on one node only", "amqptasks -A MODULE migrate work"),
    ),
    "few members": (
        seen(nodes=tuple(map(Node, "abc")), members=(Members("work", ("a", "b"), ("a", "b")),)),
        "members",
        ("wrong", "node c", "no replica of work", "rabbitmq-queues grow c all"),
    ),
    "most members down": (
        seen(nodes=tuple(map(Node, "abc")), members=(Members("work", ("a", "b", "c"), ("a",)),)),
        "members",
        ("wrong", "queues", "stand still: work", "cluster_status"),
    ),
    "a stream without an end": (
        seen(observed=broker(queue("log", "stream"))),
        "streams",
        ("wrong", "stream log", "fills the disk", """'^log$' '{"max-age": "7D"}'"""),
    ),
    "no dead-letter target": (
        seen(observed=broker(queue("work"))),
        "dead-letter-targets",
        ("note", "queue work", "is dropped", """work-dead '^work$' '{"dead-letter-exchange": "", """),
    ),
    "a dead-letter exchange that is gone": (
        seen(observed=broker(queue("work", **TO_DLX), exchanges=())),
        "dead-letter-targets",
        ("wrong", "queue work", "exchange dlx for its dead letters does not exist: its dead letters are lost", "bind"),
    ),
    "dead letters that must stay": (
        seen(observed=broker(queue("work", **TO_DLX, **SAFELY), exchanges=())),
        "dead-letter-targets",
        ("wrong", "queue work", "tried every 180 seconds", "bind a queue"),
    ),
    "a dead-letter exchange without a queue": (
        seen(observed=broker(queue("work", **TO_DLX))),
        "dead-letter-targets",
        ("wrong", "queue work", "nothing is bound to the exchange dlx", "bind a queue"),
    ),
    "a dead-letter key without a queue": (
        seen(observed=broker(queue("work", **TO_DLX), bindings=(Binding("dlx", "other", "other"),))),
        "dead-letter-targets",
        ("wrong", "queue work", "with its routing key letters", "bind a queue"),
    ),
    "a dead-letter queue that is gone": (
        seen(observed=broker(queue("work", dead_letter_exchange="", dead_letter_routing_key="letters"))),
        "dead-letter-targets",
        ("wrong", "queue work", "the queue letters for its dead letters does not exist", "bind"),
    ),
    "a full dead-letter queue": (
        seen(
            observed=broker(
                queue("work", dead_letter_exchange="", dead_letter_routing_key="letters"),
                queue("letters", messages=3, max_length=3, overflow="reject-publish"),
            )
        ),
        "dead-letter-targets",
        ("wrong", "queue work", "the queue letters that takes its dead letters is full", "amqptasks dead list letters"),
    ),
    "dropped as the file says": (
        of_topology({"queues": {"work": {"dead_letter": False}}}, observed=broker(queue("work"))),
        "dead-letter-targets",
        ("note", "queue work", "is dropped", "remove `dead_letter: false`"),
    ),
    "at most once": (
        seen(observed=broker(queue("work", **TO_DLX), LETTERS, bindings=BOUND)),
        "dead-lettering",
        (
            "wrong",
            "queue work",
            "at most once (no strategy is set)",
            """'{"dead-letter-strategy": "at-least-once", "overflow": "reject-publish"}'""",
        ),
    ),
    "at most once by a policy": (
        seen(observed=broker(queue("work", **TO_DLX, **SAFELY), LETTERS, bindings=BOUND, policies=(DROP,))),
        "dead-lettering",
        ("wrong", "queue work", "its overflow is drop-head", "work-safe"),
    ),
    "a classic queue": (
        seen(observed=broker(queue("work", "classic", **TO_DLX), LETTERS, bindings=BOUND)),
        "dead-lettering",
        ("note", "queue work", "classic queue dead-letters at most once", "migrate"),
    ),
    "dead letters": (
        seen(observed=broker(queue("work.dead", messages=3))),
        "dead-letters",
        ("wrong", "queue work.dead", "3 dead letters wait", "amqptasks dead list work"),
    ),
    "dead letters of several queues": (
        of_topology(
            {"queues": {"work": {"dead_letter": {"queue": "letters"}}, "letters": None}},
            observed=broker(queue("letters", messages=3)),
        ),
        "dead-letters",
        ("wrong", "queue letters", "3 dead letters wait", "amqptasks -A shop dead list letters"),
    ),
    "dead letters in a queue that has some itself": (
        seen(
            observed=broker(
                queue("work", **TO_DLX), queue("letters", messages=3), queue("letters.dead"), bindings=BOUND
            )
        ),
        "dead-letters",
        ("wrong", "queue letters", "3 dead letters wait", "amqptasks -A MODULE dead list letters"),
    ),
    "dead letters of others": (
        of_topology({"queues": {"mine": None}}, observed=broker(queue("work.dead", messages=3))),
        "dead-letters",
        ("note", "queue work.dead", "3 dead letters wait", "amqptasks dead list work"),
    ),
    "more dead letters": (
        seen(observed=broker(queue("work.dead")), lengths={"work.dead": Length("work.dead", 0, 7, 600)}),
        "dead-letters",
        ("note", "queue work.dead", "grew by 7 within 10 minutes", "amqptasks dead list work --limit 10"),
    ),
    "lost delays": (
        seen(observed=broker(queue("amqptasks.delay.lost", messages=2))),
        "delays",
        (
            "wrong",
            "queue amqptasks.delay.lost",
            "2 delayed messages found no queue",
            "amqptasks dead replay amqptasks.delay.lost",
        ),
    ),
    "lost delays by AMQP": (
        seen(states={"amqptasks.delay.lost": QueueState(2, 0)}),
        "delays",
        (
            "wrong",
            "queue amqptasks.delay.lost",
            "2 delayed messages found no queue",
            "amqptasks dead replay amqptasks.delay.lost",
        ),
    ),
    "a rung that is stuck": (
        seen(
            observed=broker(queue("amqptasks.delay.03", dead_letter_exchange="amqptasks.delay.02")),
            lengths={"amqptasks.delay.03": Length("amqptasks.delay.03", 1)},
        ),
        "delays",
        ("wrong", "queue amqptasks.delay.03", "1 message is due and cannot leave it", "amqptasks -A MODULE declare"),
    ),
    "a rung whose slots are taken": (
        seen(
            observed=broker(queue("amqptasks.delay.03", dead_letter_exchange="dlx")),
            lengths={"amqptasks.delay.03": Length("amqptasks.delay.03", 32)},
        ),
        "delays",
        ("wrong", "queue amqptasks.delay.03", "32 messages are due", "every 180 seconds"),
    ),
    "a full queue with delayed tasks before it": (
        seen(
            observed=broker(queue(room("work"), amqptasks_queue="work", dead_letter_exchange=room("work"))),
            lengths={room("work"): Length(room("work"), 33)},
        ),
        "delays",
        ("wrong", "queue work", "33 delayed tasks are due, and it takes none of them", "every 180 seconds"),
    ),
    "nobody consumes": (
        of_topology({"queues": {"work": None}}, states={"work": QueueState(2, 0)}),
        "consumers",
        ("wrong", "queue work", "no worker consumes it; 2 messages wait", "amqptasks -A shop worker -Q work"),
    ),
    "nobody consumes an empty queue": (
        seen(observed=broker(queue("work"))),
        "consumers",
        ("note", "queue work", "no worker consumes it", "amqptasks -A MODULE worker -Q work"),
    ),
    "tasks longer than the default": (
        of_topology({"queues": {"work": None}}, RELEASES["3.10"], time_limits=HOUR),
        "consumer-timeouts",
        (
            "wrong",
            "queue work",
            "shop.render may run for 1h, and the broker's consumer_timeout (its default",
            "consumer_timeout = 7200000 in rabbitmq.conf, then amqptasks doctor --consumer-timeout 2h",
        ),
    ),
    "tasks longer than rabbitmq.conf": (
        of_topology({"queues": {"work": None}}, RELEASES["4.0"], time_limits=HOUR, broker_timeout=60.0),
        "consumer-timeouts",
        (
            "wrong",
            "queue work",
            "the broker's consumer_timeout takes it back after 1m",
            '{"consumer-timeout": 7200000}',
        ),
    ),
    "tasks longer than the queue's": (
        of_topology(
            {"queues": {"work": {"consumer_timeout": "10m"}}},
            RELEASES["4.0"],
            time_limits=HOUR,
            observed=broker(queue("work", consumer_timeout=600_000)),
        ),
        "consumer-timeouts",
        (
            "wrong",
            "queue work",
            "the queue's consumer timeout takes it back after 10m",
            "consumer_timeout: 2h in the file, then amqptasks -A shop migrate work",
        ),
    ),
    "tasks longer than their consumers'": (
        of_topology({"queues": {"work": None}}, time_limits=HOUR, consumers={"work": Consumers(1, 1800.0)}),
        "consumer-timeouts",
        ("wrong", "queue work", "its consumers' timeout takes it back after 30m", '{"consumer-timeout": 7200000}'),
    ),
    "no heartbeat": (
        seen(connections=(Connection("here", "ann", 0, 1),)),
        "connections",
        (
            "note",
            "connections",
            "without heartbeat, so that a lost client keeps its messages for hours: here (user ann)",
            "heartbeat=60",
        ),
    ),
    "many channels": (
        seen(connections=(Connection("here", "ann", 60, 500),)),
        "connections",
        ("note", "connections", "up to 500 channels in one connection", "close channels after use"),
    ),
    "many connections": (
        seen(connections=(Connection("here", "ann", 60, 1),) * 1000),
        "connections",
        ("note", "connections", "1,000 connections in this virtual host", "one connection a process"),
    ),
    "few connections left": (
        seen(connections=(Connection("here", "ann", 60, 1),) * 4, most_connections=5),
        "connections",
        (
            "wrong",
            "vhost shop",
            "4 of 5 connections are taken",
            """rabbitmqctl set_vhost_limits -p shop '{"max-connections": 10}'""",
        ),
    ),
}
