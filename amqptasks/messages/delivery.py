"""A message from the broker, and the right to settle it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from amqptasks.messages.properties import Headers, Properties


class Lease(Protocol):
    """The right to settle what one consumer got over one channel. It ends with the channel, and then `alive` is
    False and every call here does nothing: the broker has given the messages back already."""

    @property
    def alive(self) -> bool: ...

    @property
    def lost(self) -> bool:
        """True once the broker may give, or have given, what is unsettled to others. In a child of a prefork pool,
        where nothing is settled, this alone tells it, of the job that runs."""

    def ack(self, tag: int) -> None:
        """Done: the message leaves its queue. Link thread only; written with the others of this loop turn."""

    def nack(self, tag: int) -> None:
        """Back to its queue: not the message's fault. Link thread only; written as `ack`, the oldest first."""

    def reject(self, tag: int) -> None:
        """Back to its queue: failed, count it. Link thread only."""

    def discard(self, tag: int) -> None:
        """To where its queue sends its dead letters, as it came; gone, where the queue sends them nowhere. Link thread
        only."""


class Unwritten:
    """What leases share through which nothing is written."""

    def ack(self, tag: int) -> None: ...

    def nack(self, tag: int) -> None: ...

    def reject(self, tag: int) -> None: ...

    def discard(self, tag: int) -> None: ...


class _Settled(Unwritten):
    """Of what needs no settling, such as a reply."""

    alive = False
    lost = False


SETTLED: Lease = _Settled()


@dataclass(slots=True)
class Delivery:
    """A message from the broker, held until it is settled through its `lease`.

    `tag` has a meaning only within its lease. `queue` is where it was consumed from, `exchange` and `routing_key`
    how it was published (for a dead-lettered one: by whom last).
    """

    queue: str
    tag: int
    exchange: str
    routing_key: str
    redelivered: bool
    properties: Properties
    body: bytes
    lease: Lease

    @property
    def shared_headers(self) -> Headers:
        """Its headers, to look at; the `id` may be another message's. Quicker than those of its properties."""
        return self.properties.headers or {}


@dataclass(eq=False, slots=True)
class Likeness:
    """What received messages have in common that differ in nothing but their body and their id. `properties` are those
    of one of them, to look at; `read` is for whoever reads such messages: what it learnt from the first."""

    properties: Properties
    read: Any = None


class Alike(Delivery):
    """One of many alike. Its `properties` are made when somebody asks for them: a task that succeeds needs none."""

    __slots__ = ("identity", "likeness")

    def __init__(
        self,
        queue: str,
        tag: int,
        exchange: str,
        routing_key: str,
        redelivered: bool,
        likeness: Likeness,
        identity: str,
        body: bytes,
        lease: Lease,
    ) -> None:
        self.queue = queue
        self.tag = tag
        self.exchange = exchange
        self.routing_key = routing_key
        self.redelivered = redelivered
        self.likeness = likeness
        self.identity = identity
        self.body = body
        self.lease = lease

    def __getattr__(self, name: str) -> Properties:
        if name != "properties":
            raise AttributeError(name)
        self.properties = self.likeness.properties.identified(self.identity)
        return self.properties

    @property
    def shared_headers(self) -> Headers:
        return self.likeness.properties.headers or {}
