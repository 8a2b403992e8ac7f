"""Which workers there are, from what they announce in the stream `amqptasks.nodes`.

A worker says "here" with the name of its control queue whenever it has made one, and every half an hour; "gone" when it
stops. One that was killed cannot say so; but then its queue is gone with its connection, and the broker knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from amqptasks.control.places import LISTENERS, NODES
from amqptasks.errors import BrokerError
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.outgoing import Outgoing
from amqptasks.serializers import Undecodable, json
from amqptasks.transport import Session
from amqptasks.untrusted import bounds
from amqptasks.untrusted.bounds import OutOfBounds

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
        announcement = _announcement(delivery)
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


def _announcement(delivery: Delivery) -> Announcement | None:
    """None for what came by another way than the exchange of announcements, or is none."""
    if not NODES.is_own(delivery):
        return None
    try:
        said = bounds.mapping(json.decode(bounds.record(delivery.body)))
        node, host, queue = (bounds.name(said.get(name)) for name in ("node", "host", "queue"))
    except (Undecodable, OutOfBounds):
        return None  # somebody else's word, or a later release's
    state = said.get("state")
    if state not in ("here", "gone") or not queue.startswith(f"{LISTENERS}."):
        return None
    return Announcement("here" if state == "here" else "gone", node, host, queue)
