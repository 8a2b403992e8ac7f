"""Messages that are dear to read: the link hands them on. The instrument of all tests fails where it does not."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from amqptasks import App
from amqptasks.control import places
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.worker.node import Node
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for

#: Seconds for a worker to read what came, on a busy machine.
WITHIN = 30.0

#: A list that takes a tenth of a second of CPU time to read, and has 1.2 MB.
DEAR = b"[" + b"[]," * 400_000 + b"[]]"


def test_a_command_and_a_revocation_that_are_dear_to_read_are_read_elsewhere(vhost: Vhost) -> None:
    command = b'{"command":"ping","arguments":{"a":%b}}' % DEAR
    with closing(App("shop", vhost.url)) as app:
        app.declare()
        node = Node(app, ["default"], concurrency=1)
        node.start()
        try:
            app.caller.publisher.publish(
                Outgoing(places.EXCHANGE.name, "", command, Properties(content_type="application/json")), 10
            )
            app.caller.publisher.publish(Outgoing(places.EXCHANGE.name, "", DEAR, Properties()), 10)
            wait_for(lambda: node.control.skipped == 1, WITHIN)
            with app.session() as session:
                session.publish(places.REVOKED.message(b'{"revoke":{"ids":%b},"at":1}' % DEAR))
            wait_for(lambda: node.control.revocations.known.skipped == 1, WITHIN)
            assert len(app.control.ping(timeout=10)) == 1
        finally:
            node.stop()
            node.wait(10)


def test_a_result_that_is_dear_to_read_is_read_by_who_asks(vhost: Vhost) -> None:
    with closing(App("shop", vhost.url)) as app:

        @app.task
        def many() -> list[list[Any]]:
            return [[]] * 400_000

        app.declare()
        with app.worker(["default"], concurrency=1):
            assert len(many.delay().get(timeout=30)) == 400_000
