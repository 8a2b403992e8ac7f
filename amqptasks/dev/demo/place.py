"""Where the demo happens: a virtual host of its own, or queues of its own in the one given."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from urllib.parse import urlsplit

from amqptasks import dial
from amqptasks.management.client import Management, Unanswered
from amqptasks.topology.topology import Topology

#: What the names of the demo's virtual hosts and queues begin with.
NAME = "amqptasks-demo"


@dataclass(frozen=True, slots=True)
class Place:
    """`url` is the broker's address for the demo, `prefix` what the names of its queues begin with. `words` say where
    it is; `vhost` is set where it is the demo's own."""

    url: str
    prefix: str
    words: str
    management: Management | None = None
    vhost: str | None = None


def make(url: str, management_url: str | None) -> Place:
    """A virtual host where the management API is there and this user may create one, else a name of its own."""
    name = f"{NAME}-{uuid.uuid4().hex[:8]}"
    if management_url is not None:
        management = Management(management_url, url)
        try:
            management.request("PUT", "vhosts", name)
            rights = {"configure": ".*", "write": ".*", "read": ".*"}
            management.request("PUT", "permissions", name, management.user, body=rights)
        except Unanswered:
            pass  # no administrator: then as below
        else:
            own = urlsplit(url)._replace(path=f"/{name}").geturl()
            return Place(own, "demo", f"in a virtual host of its own, {name}", management, name)
    return Place(url, name, f"in queues of its own, {name}.*")


def clear(place: Place, topology: Topology) -> str | None:
    """Remove what the demo made; what stays, in words. The delay ladder of a shared virtual host is everybody's.
    Raises `Unanswered`, `BrokerError`."""
    if place.management is not None and place.vhost is not None:
        place.management.request("DELETE", "vhosts", place.vhost)
        return None
    session = dial.session([place.url])
    try:
        for settings in topology.queues.values():
            for queue in (settings.name, settings.dead_letter):
                if queue is not None:
                    session.delete_queue(queue)
            if settings.room is not None:
                session.delete_queue(settings.room)
                session.delete_exchange(settings.room)
        for exchange in topology.exchanges:
            session.delete_exchange(exchange)
            session.delete_exchange(f"amqptasks.due.{exchange}")
    finally:
        session.close()
    return "amqptasks.queues and the delay ladder, which all apps of this virtual host share"


def environment(place: Place, variable: str) -> dict[str, str]:
    """For the worker processes."""
    return {**os.environ, dial.ENVIRONMENT: place.url, variable: place.prefix}
