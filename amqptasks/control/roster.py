"""Which workers there are, from what they announce in the stream `amqptasks.nodes`.

A worker says "here" with the name of its control queue whenever it has made one, and every half an hour; "gone" when it
stops. One that was killed cannot say so; but then its queue is gone with its connection, and the broker knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from amqptasks.control.places import NODES
from amqptasks.errors import BrokerError
from amqptasks.incoming import Delivery
from amqptasks.outgoing import Outgoing
from amqptasks.serializers import Undecodable, json
from amqptasks.transport import Session

State = Literal["here", "gone"]


@dataclass(frozen=True, slots=True)
class Announcement:
    """A worker's word on itself."""

    state: State
    node: str
    host: str
    queue: str


def outgoing(announcement: Announcement) -> Outgoing:
    """The message for the stream."""
    said = {
        "state": announcement.state,
        "node": announcement.node,
        "host": announcement.host,
        "queue": announcement.queue,
    }
    return NODES.message(json.encode(said))


def present(deliveries: Iterable[Delivery]) -> dict[str, Announcement]:
    """Who said "here" and not "gone" since, by control queue."""
    found: dict[str, Announcement] = {}
    for delivery in deliveries:
        announcement = _announcement(delivery.body)
        if announcement is None:
            continue
        if announcement.state == "here":
            found[announcement.queue] = announcement
        else:
            found.pop(announcement.queue, None)
    return found


def is_connected(session: Session, announcement: Announcement) -> bool:
    """True while the broker has its control queue. It is exclusive: the broker refuses to speak of it (405) where it is
    there, and does not know it where it is not."""
    try:
        return session.queue_state(announcement.queue) is not None
    except BrokerError:
        return True


def _announcement(body: bytes) -> Announcement | None:
    try:
        said: Any = json.decode(body)
        state, node, host, queue = (said[name] for name in ("state", "node", "host", "queue"))
    except (Undecodable, KeyError, TypeError):
        return None  # somebody else's word, or a later release's
    if state not in ("here", "gone") or not all(isinstance(text, str) for text in (node, host, queue)):
        return None
    return Announcement(state, node, host, queue)
