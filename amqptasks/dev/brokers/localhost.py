"""A server that already runs on this machine, at RabbitMQ's own port: used as it is, never stopped."""

from __future__ import annotations

from amqptasks.dev.brokers import probe
from amqptasks.dev.brokers.running import GUEST, Absent, Running, Wish

KIND = "localhost"

#: RabbitMQ's own port for AMQP.
PORT = 5672


def find(wish: Wish) -> Running | Absent:  # noqa: ARG001 - all kinds have one signature
    """What listens there must speak AMQP 0-9-1, and let guest in."""
    if probe.greeting_version("localhost", PORT) is None:
        return Absent(KIND, f"nothing on localhost:{PORT} speaks AMQP 0-9-1")
    url = f"amqp://{GUEST}:{GUEST}@localhost:{PORT}/"
    try:
        version = probe.version(url)
    except ConnectionError as error:
        return Absent(
            KIND, f"the server on localhost:{PORT} does not let guest in ({error}); name a user with --broker"
        )
    return Running(KIND, url, probe.management_url(url), version)


def stop(running: Running) -> None:
    """Nothing: it is not ours."""
