"""Acts on workers: commands, revocations, questions."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

from pika.adapters.blocking_connection import BlockingChannel

from amqptasks import App
from amqptasks.worker.node import Node
from tests.harness.roles.place import SHORTLY, SOON, Place, Refused, new_word
from tests.harness.roles.ways import Way, publish, raw, refused_without
from tests.harness.wait import wait_for


def is_revoked(place: Place, identity: str) -> bool:
    return any(identity in known.ids for known in place.app.control.revoked().values())


def revoke(place: Place, app: App) -> None:
    identity = new_word()
    app.control.revoke(identity, timeout=1)
    wait_for(lambda: is_revoked(place, identity), SOON, "it is revoked")


def revoke_by(exchange: str, key: str, *, bind_first: bool = False) -> Way:
    """By a record, or by a command, that our own tools would not send."""

    def act(place: Place, channel: BlockingChannel) -> None:
        identity = new_word()
        if bind_first:
            channel.queue_bind("amqptasks.revoked", exchange, key)
        revocation = {"revoke": {"ids": [identity]}, "at": time.time()}
        command = {"command": "revoke", "arguments": {"revocation": revocation}}
        try:
            publish(channel, exchange, key, command if exchange == "amqptasks.control" else revocation)
        finally:
            if bind_first:
                with place.admin() as admin:
                    admin.channel().queue_unbind("amqptasks.revoked", exchange, key)
        with refused_without("a worker believes it"):
            wait_for(lambda: is_revoked(place, identity), SHORTLY, "it is revoked")

    return raw(act)


def rate_limit(place: Place, app: App) -> None:
    if not app.control.rate_limit("shop.note", "1000/s", timeout=1):
        raise Refused("no worker obeyed")


def command(command: str, **arguments: Any) -> Way:
    def act(place: Place, channel: BlockingChannel) -> None:
        publish(channel, "amqptasks.control", "", {"command": command, "arguments": arguments})

    return raw(act)


def shutdown(place: Place, app: App) -> None:
    app.control.shutdown("nobody-is-called-so", timeout=0.05)  # refused at once, where it is
    with closing(place.as_role("worker")) as theirs:
        victim = Node(theirs, ["parked"], concurrency=1, name="victim")
        victim.start()
        try:
            app.control.shutdown("victim", timeout=1)
            if not victim.wait(SOON):
                raise Refused("it goes on")
        finally:
            victim.stop()
            victim.wait(SOON)


def active(place: Place, app: App) -> None:
    """Asks workers for the arguments of what runs."""
    app.send_task("shop.nap", ("secret",), queue="orders")
    told = app.control.active(timeout=1)
    if not any("secret" in str(running) for tasks in told.values() for running in tasks):
        raise Refused("no worker shows arguments")
