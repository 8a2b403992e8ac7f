"""A server that already runs on this machine, at RabbitMQ's own port: used as it is, never stopped."""

from __future__ import annotations

from amqptasks.brokers import probe
from amqptasks.brokers.running import GUEST, Absent, Running, Wish

KIND = "localhost"

#: RabbitMQ's defaults: its port, its first user, the virtual host `/`.
URL = f"amqp://{GUEST}:{GUEST}@localhost:5672/"


def find(wish: Wish) -> Running | Absent:  # noqa: ARG001 - all kinds have one signature
    """What listens there must speak AMQP 0-9-1, and let guest in."""
    if probe.greeting_version("localhost", 5672) is None:
        return Absent(KIND, "nothing on localhost:5672 speaks AMQP 0-9-1")
    try:
        version = probe.version(URL)
    except ConnectionError as error:
        return Absent(KIND, f"the server on localhost:5672 does not let guest in ({error}); name a user with --broker")
    return Running(KIND, URL, probe.management_url(URL), version)


def stop(running: Running) -> None:
    """Nothing: it is not ours."""
