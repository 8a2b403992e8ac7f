"""What only RabbitMQ's management API tells. Each reader answers for one section of `Snapshot`, or raises `Unanswered`.

https://www.rabbitmq.com/docs/http-api-reference
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from amqptasks.doctor.values import Alarm, Clock, Connection, Consumers, Flag, Length, Members, Node, Section
from amqptasks.management.client import Management
from amqptasks.topology.broker.observed import Observed, observe

#: Seconds over which growth is looked at, and between its samples: the finest that the API keeps so long by default
#: (`management.sample_retention_policies.basic`).
GROWTH_WITHIN = 600
_SAMPLES_EVERY = 60

#: So many queues are asked about one by one, and no more: the rest are like them, and a broker has other things to do.
ASKED_ONE_BY_ONE = 50


def alarms(management: Management) -> tuple[Alarm, ...]:
    answer = management.request("GET", "health", "checks", "alarms")
    if not isinstance(answer, dict) or answer.get("status") == "ok":
        return ()
    found = answer.get("alarms") or [{}]
    return tuple(Alarm(str(one.get("node", "unknown")), str(one.get("resource", "resource"))) for one in found)


def nodes(management: Management) -> tuple[Node, ...]:
    """Needs the tag `monitoring`."""
    columns = "name,running,mem_used,mem_limit,disk_free,disk_free_limit,fd_used,fd_total,partitions"  # of some hundred
    return tuple(map(_node, management.request("GET", "nodes", query={"columns": columns})))


def flags_off(management: Management) -> tuple[Flag, ...]:
    """Needs the tag `administrator` on 3.x."""
    rows = management.request("GET", "feature-flags")
    return tuple(Flag(row["name"], row.get("stability") == "stable") for row in rows if row["state"] == "disabled")


def deprecated(management: Management) -> tuple[str, ...]:
    """Deprecated features that are in use; releases before 3.13 know none."""
    return tuple(row["name"] for row in management.find("deprecated-features", "used") or ())


def clock(management: Management) -> Clock:
    before = time.time()
    answered = management.time()
    after = time.time()
    # The header has whole seconds, cut off, and is renewed once a second: half of one is added.
    return Clock(answered + 0.5 - (before + after) / 2, 1 + (after - before) / 2)


def virtual_host(management: Management) -> Observed:
    return observe(management, {"policies"})


def consumers(management: Management) -> dict[str, Consumers]:
    """By queue."""
    columns = {"columns": "queue.name,consumer_timeout"}
    counts: dict[str, int] = {}
    timeouts: dict[str, list[float]] = {}
    for row in management.request("GET", "consumers", management.vhost, query=columns):
        name = row["queue"]["name"]
        counts[name] = counts.get(name, 0) + 1
        if isinstance(row.get("consumer_timeout"), int):
            timeouts.setdefault(name, []).append(row["consumer_timeout"] / 1000)
    return {name: Consumers(count, min(timeouts.get(name, ()), default=None)) for name, count in counts.items()}


def members(management: Management) -> tuple[Members, ...]:
    """Of quorum queues: of streams a list does not tell."""
    query = {"disable_stats": "true", "enable_queue_totals": "true", "columns": "name,members,online"}
    rows = management.request("GET", "queues", management.vhost, query=query)
    return tuple(
        Members(row["name"], tuple(row["members"]), tuple(row.get("online") or ()))
        for row in rows
        if row.get("members")
    )


def lengths(management: Management, queues: Iterable[str]) -> dict[str, Length]:
    """Of these queues, one by one; a queue that is gone by then is left out."""
    query = {"lengths_age": str(GROWTH_WITHIN), "lengths_incr": str(_SAMPLES_EVERY)}
    found = {}
    for name in list(queues)[:ASKED_ONE_BY_ONE]:
        row = management.find("queues", management.vhost, name, query=query)
        if row is not None:
            found[name] = _length(name, row)
    return found


def connections(management: Management) -> tuple[Connection, ...]:
    """To this virtual host."""
    columns = {"columns": "name,user,timeout,channels"}
    rows = management.request("GET", "vhosts", management.vhost, "connections", query=columns)
    return tuple(
        Connection(row["name"], str(row.get("user", "")), int(row["timeout"]), int(row.get("channels", 0)))
        for row in rows
        if isinstance(row.get("timeout"), int)  # for a moment after it was opened, only its name is known
    )


def most_connections(management: Management) -> int | None:
    """Of this virtual host; None: as many as the node can hold."""
    rows = management.request("GET", "vhost-limits", management.vhost)
    found = [row["value"].get("max-connections") for row in rows]
    return next((value for value in found if isinstance(value, int) and value >= 0), None)


#: The readers that need nothing but the API.
READERS: Mapping[Section, Callable[[Management], Any]] = {
    "alarms": alarms,
    "nodes": nodes,
    "feature flags": flags_off,
    "deprecated features": deprecated,
    "clock": clock,
    "virtual host": virtual_host,
    "consumers": consumers,
    "members": members,
    "connections": connections,
    "limits": most_connections,
}


def _node(row: Mapping[str, Any]) -> Node:
    """A node that does not run has a name and little else."""

    def figure(key: str) -> int:
        value = row.get(key)
        return value if isinstance(value, int) else 0

    return Node(
        str(row["name"]),
        row.get("running") is True,
        figure("mem_used"),
        figure("mem_limit"),
        figure("disk_free"),
        figure("disk_free_limit"),
        figure("fd_used"),
        figure("fd_total"),
        tuple(map(str, row.get("partitions") or ())),
    )


def _length(name: str, row: Mapping[str, Any]) -> Length:
    samples = (row.get("messages_details") or {}).get("samples") or []
    ordered = sorted((one["timestamp"], one["sample"]) for one in samples)
    grown = ordered[-1][1] - ordered[0][1] if ordered else 0
    seconds = (ordered[-1][0] - ordered[0][0]) / 1000 if ordered else 0.0
    return Length(name, int(row.get("messages_dlx") or 0), grown, seconds)
