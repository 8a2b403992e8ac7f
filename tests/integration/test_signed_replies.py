"""Replies and events where the app signs: nobody else's are believed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pika
import pytest

from amqptasks import App
from amqptasks.errors import ResultError
from amqptasks.messages import signing
from amqptasks.results import reply
from tests.harness.command import run_command
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for

KEYS = {"k": "0123456789abcdef0123456789abcdef"}
OTHERS = {"k": "another secret of thirty-two bytes"}
SOON = 15.0

Forge = Callable[[pika.BasicProperties], tuple[bytes, dict[str, str]]]


@contextmanager
def forger(vhost: Vhost, forge: Forge) -> Iterator[None]:
    """Takes the next task from `default`, and replies to its caller."""

    def run() -> None:
        with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
            channel = connection.channel()
            for method, properties, _ in channel.consume("default", inactivity_timeout=SOON):
                assert method is not None, "no task came"
                body, headers = forge(properties)
                given = pika.BasicProperties(
                    "application/json", "utf-8", headers, correlation_id=properties.correlation_id
                )
                channel.basic_publish("", properties.reply_to, body, given)
                channel.basic_ack(method.delivery_tag)
                return

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join(2 * SOON)


def unsigned(properties: pika.BasicProperties) -> tuple[bytes, dict[str, str]]:
    return reply.success(properties.headers["id"], "forged"), {}


def of_another_key(properties: pika.BasicProperties) -> tuple[bytes, dict[str, str]]:
    body = reply.success(properties.headers["id"], "forged")
    signed = signing.Properties("application/json", "utf-8", correlation_id=properties.correlation_id)
    signing.Signing(OTHERS).sign(signed, body)
    return body, dict(signed.headers or {})


def with_the_signature_of_the_task(properties: pika.BasicProperties) -> tuple[bytes, dict[str, str]]:
    return unsigned(properties)[0], {signing.SIGNATURE: properties.headers[signing.SIGNATURE]}


@pytest.mark.parametrize("forge", [unsigned, of_another_key, with_the_signature_of_the_task])
def test_a_forged_reply_is_not_believed_and_its_caller_is_told(vhost: Vhost, forge: Forge) -> None:
    with closing(App("shop", vhost.url, signing=KEYS)) as app:
        app.declare()
        with forger(vhost, forge):
            result = app.send_task("shop.pay", (5,))
            with pytest.raises(ResultError, match="is not believed"):
                result.get(SOON)


def test_an_app_that_does_not_require_signatures_yet_believes_unsigned_replies(vhost: Vhost) -> None:
    with closing(App("shop", vhost.url, signing=signing.Signing(KEYS, required=False))) as app:
        app.declare()
        with forger(vhost, unsigned):
            assert app.send_task("shop.pay", (5,)).get(SOON) == "forged"


def test_a_worker_signs_values_failures_and_states(vhost: Vhost) -> None:
    with closing(App("shop", vhost.url, signing=KEYS)) as app:

        @app.task(bind=True)
        def pay(self, amount: int) -> object:
            self.update_state(state="PROGRESS", meta=amount)
            if amount < 0:
                raise ValueError(amount)
            return amount

        with app.worker(["default"]):
            assert pay.delay(5).get(SOON) == 5
            with pytest.raises(ValueError, match="-1"):
                pay.delay(-1).get(SOON)
            with pytest.raises(TypeError):
                pay.delay(object=None).get(SOON)


def test_a_reply_has_the_key_of_its_call_while_keys_are_rotated(vhost: Vhost) -> None:
    newer = {"k2": "a newer secret of thirty-two bytes", **KEYS}
    with closing(App("shop", vhost.url, signing=newer)) as app, closing(App("shop", vhost.url, signing=KEYS)) as older:
        app.task(name="shop.pay")(lambda amount: amount)
        with app.worker(["default"]):
            assert older.send_task("shop.pay", (5,)).get(SOON) == 5


def test_events_of_a_signing_app_are_signed_and_forged_ones_are_left_out(vhost: Vhost, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(f"from amqptasks import App\napp = App('shop', signing={KEYS!r})\n")
    with closing(App("shop", vhost.url, signing=KEYS, events=True)) as app:
        app.declare()
        identity = app.send_task("shop.pay", (5,)).id
        wait_for(lambda: app.caller.emitter(app.caller.hostname).sent == 1, SOON, "the event is there")
    with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        forged = {"type": "task-failed", "uuid": identity, "hostname": "w", "timestamp": time.time()}
        channel.basic_publish("amqptasks.events", "task.failed", json.dumps(forged).encode())

    def told(*options: str) -> tuple[list[str], str]:
        ended = run_command(*options, "events", "--since", "1h", "--json", url=vhost.url, folder=tmp_path)
        assert ended.returncode == 0, ended.stderr
        return [json.loads(line)["type"] for line in ended.stdout.splitlines()], ended.stderr

    wait_for(lambda: told()[0] == ["task-sent", "task-failed"], SOON, "without keys, both are shown")
    types, errors = told("-A", "shop")
    assert types == ["task-sent"]
    assert "not signed with the keys of this app: 1" in errors
