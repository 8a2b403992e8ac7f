"""Commands and revocations where the app signs; arguments that commands may see; a worker that obeys nobody."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from amqptasks import App
from amqptasks.control import envelope, places
from amqptasks.control.envelope import Command
from amqptasks.messages.signing import Signing
from amqptasks.untrusted.masks import HIDDEN
from amqptasks.worker.node import Node
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for

KEYS = {"k": "0123456789abcdef0123456789abcdef"}


@contextmanager
def working(app: App, **options: Any) -> Iterator[Node]:
    node = Node(app, ["default"], concurrency=1, **options)
    node.start()
    try:
        yield node
    finally:
        node.stop()
        node.wait(10)


def test_control_of_a_signing_app_obeys_signed_commands_and_no_others(vhost: Vhost) -> None:
    with (
        closing(App("shop", vhost.url, signing=KEYS)) as app,
        closing(App("other", vhost.url)) as stranger,
        closing(App("forger", vhost.url, signing={"k": "another secret of thirty-two bytes"})) as forger,
        working(app) as node,
    ):
        assert "signed commands only" in str(stranger.control.pause("default").errors)
        assert len(stranger.control.ping()) == 1, "a probe has no keys"
        assert not forger.control.pause("default", timeout=0.3)
        assert not node.queues["default"].paused
        assert len(app.control.pause("default")) == 1
        assert node.queues["default"].paused
        assert node.control.skipped == 2


def test_a_signed_command_says_until_when_it_may_be_obeyed(vhost: Vhost) -> None:
    signing = Signing(KEYS)
    message = envelope.outgoing(Command("shutdown", id="q"), 1.0)
    message.body = b'{"command":"shutdown"}'
    signing.sign(message.properties, message.body)
    with closing(App("shop", vhost.url, signing=KEYS)) as app, working(app) as node:
        app.caller.publisher.publish(message, 10)
        wait_for(lambda: node.control.skipped == 1)
        assert len(app.control.ping()) == 1


def test_a_revocation_in_the_stream_of_a_signing_app_counts_only_with_its_signature(vhost: Vhost) -> None:
    with closing(App("shop", vhost.url, signing=KEYS)) as app:
        ran: list[str] = []
        app.task(name="note")(ran.append)
        app.declare()
        kept, revoked = (app.send_task("note", (word,)) for word in ("kept", "revoked"))
        with app.session() as session:
            places.prepare(session, has_streams=True)
            record = {"revoke": {"tasks": ["*"]}, "at": time.time() + 1}
            session.publish(places.REVOKED.message(json.dumps(record).encode()))
        app.control.revoke(revoked.id)
        with working(app) as node:
            kept.get(10)
            assert revoked.get(10, propagate=False)
            assert node.control.revocations.known.skipped == 1
        assert ran == ["kept"]


def test_a_worker_without_control_obeys_nobody_and_still_reads_revocations(vhost: Vhost) -> None:
    with closing(App("shop", vhost.url)) as app:
        app.task(name="note")(lambda word: word)
        with working(app, control=False):
            assert not app.control.shutdown(timeout=0.3)
            assert app.send_task("note", ("a",)).get(10) == "a"


def test_an_answer_goes_to_who_asks_and_to_no_queue(vhost: Vhost) -> None:
    with closing(App("shop", vhost.url)) as app, working(app):
        message = envelope.outgoing(Command("ping", id="q"), 5.0)
        message.properties.reply_to = "default.dead"
        app.caller.publisher.publish(message, 10)
        assert len(app.control.ping()) == 1
        assert vhost.management.ready("default.dead") == 0


def test_active_shows_arguments_where_the_app_says_so_without_its_secrets(vhost: Vhost) -> None:
    barrier, holding = threading.Event(), threading.Event()

    def hold(*_: Any, **__: Any) -> None:
        holding.set()
        barrier.wait(30)

    for shows in (False, True):
        barrier.clear()
        holding.clear()
        with closing(App("shop", vhost.url, mask=["card*"], control_shows_arguments=shows)) as app:
            app.task(name="hold")(hold)
            with working(app):
                try:
                    sent = app.send_task("hold", ({"card_number": 4111, "n": 7},), {"password": "hunter2", "m": 8})
                    assert holding.wait(20)
                    (told,) = app.control.active().values()
                    said = str(told)
                    assert ("7" in str(told[0].args), "hunter2" in said, "4111" in said) == (shows, False, False)
                    assert (told[0].kwargs == HIDDEN) is not shows
                finally:
                    barrier.set()
                sent.get(10)
