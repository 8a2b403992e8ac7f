"""What the doctor reads of a broker, one by one; `Snapshot` holds them together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: What can be read of a broker besides its version; `objects` over AMQP, the rest through the management API.
Section = Literal[
    "objects",
    "alarms",
    "nodes",
    "feature flags",
    "deprecated features",
    "clock",
    "virtual host",
    "consumers",
    "members",
    "lengths",
    "connections",
    "limits",
]


@dataclass(frozen=True, slots=True)
class Unread:
    """Why a section was not read; `forbidden`: this user may not, another may."""

    why: str
    forbidden: bool = False


@dataclass(frozen=True, slots=True)
class Alarm:
    """A resource (`memory`, `disk`) of a node that is short: the broker does not read from publishers."""

    node: str
    resource: str


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the broker's cluster. Memory and disk are in bytes; figures are 0 for a node that does not run."""

    name: str
    running: bool = True
    memory_used: int = 0
    memory_limit: int = 0
    disk_free: int = 0
    disk_limit: int = 0
    files_used: int = 0
    files: int = 0
    partitions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Flag:
    """A feature flag that is off. `stable` ones are to be on, `experimental` ones are a choice."""

    name: str
    stable: bool


@dataclass(frozen=True, slots=True)
class Clock:
    """By how many seconds the broker's clock is ahead of this machine's, and how far off that may be."""

    ahead: float
    uncertain: float


@dataclass(frozen=True, slots=True)
class Members:
    """The nodes that hold a replica of a quorum queue, and those of them that are up."""

    queue: str
    nodes: tuple[str, ...]
    online: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Length:
    """Of a queue: messages that it has expired, dead-lettered at least once and not got rid of yet (`leaving`), and by
    how many it grew within `seconds`."""

    queue: str
    leaving: int = 0
    grown: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Connection:
    """A client's connection. `heartbeat` is in seconds, 0: none."""

    name: str
    user: str
    heartbeat: int
    channels: int


@dataclass(frozen=True, slots=True)
class Consumers:
    """How many consume a queue; `timeout` is their shortest consumer timeout in seconds, where the broker tells it
    (RabbitMQ 4.3)."""

    count: int
    timeout: float | None = None
