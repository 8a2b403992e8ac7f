"""Clients that would not be missed when they are gone, and those that hold too much."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from amqptasks.doctor.commands import rabbitmqctl
from amqptasks.doctor.finding import Finding
from amqptasks.doctor.snapshot import Snapshot
from amqptasks.doctor.values import Connection
from amqptasks.untrusted.numbers import counted

#: Channels of one connection from which on it is told. A worker has one for each queue it consumes, and RabbitMQ allows
#: 2047; a client that opens a channel a message and forgets to close it passes this within minutes.
MANY_CHANNELS = 200

#: Connections of one user from one place say: one for each message, or a leak. RabbitMQ's default is no limit at all.
MANY_CONNECTIONS = 1000

#: Parts of the virtual host's limit from which on it is told.
NEAR = 0.8

#: As many are named.
_NAMED = 3


def connections(seen: Snapshot) -> Iterator[Finding]:
    silent = [one for one in seen.connections if one.heartbeat == 0]
    if silent:
        problem = f"without heartbeat, so that a lost client keeps its messages for hours: {_named(silent)}"
        yield Finding("note", "connections", problem, "heartbeat=60 in those clients' addresses, in place of 0")
    wide = [one for one in seen.connections if one.channels >= MANY_CHANNELS]
    if wide:
        most = max(one.channels for one in wide)
        problem = f"up to {most} channels in one connection, as if some are never closed: {_named(wide)}"
        yield Finding("note", "connections", problem, "close channels after use, or keep one and use it again")
    if len(seen.connections) >= MANY_CONNECTIONS:
        problem = f"{counted(len(seen.connections), 'connection')} in this virtual host"
        fix = "keep one connection a process, and not one a message"
        yield Finding("note", "connections", problem, fix)
    yield from _limit(seen)


def _limit(seen: Snapshot) -> Iterator[Finding]:
    taken, most = len(seen.connections), seen.most_connections
    if most is not None and taken >= NEAR * most:
        problem = f"{taken} of {most} connections are taken: clients beyond them are refused"
        fix = rabbitmqctl("set_vhost_limits", json.dumps({"max-connections": 2 * max(taken, most)}), vhost=seen.vhost)
        yield Finding("wrong", f"vhost {seen.vhost}", problem, fix)


def _named(found: Sequence[Connection]) -> str:
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(f"{one.name} (user {one.user})" for one in found[:_NAMED]) + more
