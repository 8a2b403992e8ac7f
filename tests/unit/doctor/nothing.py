"""Of each check, what it has nothing to say of: one example a row."""

from __future__ import annotations

from amqptasks.doctor.snapshot import Snapshot
from amqptasks.doctor.values import Alarm, Clock, Connection, Consumers, Flag, Length, Members, Node, Unread
from amqptasks.topology.ask.time_limits import TimeLimit
from amqptasks.topology.broker.observed import Observed
from amqptasks.transport.entities import Exchange, Policy
from tests.unit.doctor.read import (
    GOOD,
    HOUR,
    NEW,
    RELEASES,
    SAFELY,
    TO_DLX,
    broker,
    of_topology,
    queue,
    seen,
)

#: What was read, and the check that has nothing to say of it.
NOTHING: dict[str, tuple[Snapshot, str]] = {
    "the newest release": (seen(), "version"),
    "no alarm": (seen(), "alarms"),
    "a node at ease": (seen(nodes=(Node("a@b", True, 1, 10, 100, 10, 1, 10),)), "nodes"),
    "a node whose alarm is told already": (
        seen(alarms=(Alarm("a@b", "memory"), Alarm("a@b", "disk")), nodes=(Node("a@b", True, 11, 10, 1, 10),)),
        "nodes",
    ),
    "experimental flags": (seen(flags_off=(Flag("khepri_db", False),)), "feature-flags"),
    "clocks as exact as can be told": (seen(clock=Clock(2.9, 1.0)), "clock"),
    "clocks not compared": (seen(), "clock"),
    "policies that say the same": (
        seen(observed=broker(queue("work", **SAFELY), policies=(Policy("p", ".*", {"overflow": "reject-publish"}),))),
        "policies",
    ),
    "policies for what no argument says": (
        seen(observed=broker(queue("work"), policies=(Policy("p", ".*", {"max-length": 5}),))),
        "policies",
    ),
    "priorities of a queue that is to be classic": (
        of_topology(
            {"queues": {"work": {"type": "classic", "max_priority": 5}}},
            observed=broker(queue("work", "classic", max_priority=5)),
        ),
        "priorities",
    ),
    "one member on one node": (seen(nodes=(Node("a"),), members=(Members("work", ("a",), ("a",)),)), "members"),
    "three members of five nodes": (
        seen(nodes=tuple(map(Node, "abcde")), members=(Members("work", tuple("abc"), tuple("abc")),)),
        "members",
    ),
    "a stream with an age": (seen(observed=broker(queue("log", "stream", max_age="7D"))), "streams"),
    "a stream with an age by policy": (
        seen(observed=broker(queue("log", "stream"), policies=(Policy("p", "log", {"max-age": "7D"}),))),
        "streams",
    ),
    "a good target": (seen(observed=GOOD), "dead-letter-targets"),
    "an alternate exchange": (
        seen(
            observed=Observed(
                "shop",
                NEW,
                exchanges={"dlx": Exchange("dlx", arguments={"alternate-exchange": "other"})},
                queues={"work": queue("work", **TO_DLX)},
            )
        ),
        "dead-letter-targets",
    ),
    "at least once": (seen(observed=GOOD), "dead-lettering"),
    "no dead letters": (seen(observed=broker(queue("work.dead"))), "dead-letters"),
    "messages under way on a rung": (
        seen(
            observed=broker(queue("amqptasks.delay.03", dead_letter_exchange="dlx")),
            lengths={"amqptasks.delay.03": Length("amqptasks.delay.03", 5)},
        ),
        "delays",
    ),
    "a queue that is consumed": (seen(observed=broker(queue("work")), consumers={"work": Consumers(1)}), "consumers"),
    "queues that nobody is to consume": (
        seen(
            observed=broker(
                queue("work.dead"),
                queue("log", "stream"),
                queue("amqptasks.delay.01"),
                queue("later", message_ttl=5, dead_letter_exchange="dlx"),
            )
        ),
        "consumers",
    ),
    "consumers that could not be counted": (
        seen(observed=broker(queue("work")), unread={"consumers": Unread("401", True)}),
        "consumers",
    ),
    "short tasks": (
        of_topology({"queues": {"work": None}}, time_limits={"work": TimeLimit("a.b", 60.0)}),
        "consumer-timeouts",
    ),
    "long tasks whose workers tell the broker": (
        of_topology({"queues": {"work": None}}, time_limits=HOUR),
        "consumer-timeouts",
    ),
    "classic queues of 4.3": (
        of_topology({"queues": {"work": {"type": "classic"}}}, time_limits=HOUR),
        "consumer-timeouts",
    ),
    "a queue with time enough": (
        of_topology({"queues": {"work": {"consumer_timeout": "2h"}}}, time_limits=HOUR),
        "consumer-timeouts",
    ),
    "a broker with time enough": (
        of_topology({"queues": {"work": None}}, RELEASES["3.10"], time_limits=HOUR, broker_timeout=7200.0),
        "consumer-timeouts",
    ),
    "connections with heartbeats": (seen(connections=(Connection("here", "ann", 60, 3),)), "connections"),
}
