"""Serializers, compression and signatures through a real broker: what is accepted runs and answers, what is not ends in
the dead-letter queue with its reason, and retries, delays and replays stay signed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pika
import pytest

from amqptasks import App
from amqptasks.dead_letters import queue as dead_letters
from amqptasks.errors import ResultError, TaskRejected
from amqptasks.messages.signing import Signing
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for

SECRET, OLDER = "s" * 32, "o" * 32
SOON = 15.0


def shop(vhost: Vhost, **options: Any) -> App:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        app = App("shop", vhost.url, **options)

    @app.task(name="shop.echo")
    def echo(value: Any) -> Any:
        return value

    @app.task(name="shop.third", bind=True, max_retries=5, default_retry_delay=0.05)
    def third(self: Any, value: Any) -> Any:
        if self.request.retries < 2:
            raise self.retry(args=(value,) if self.request.retries else ([value] * 2,))
        return value

    @app.task(name="shop.fail")
    def fail(value: Any) -> None:
        raise ValueError(value)

    return app


@contextmanager
def running(app: App) -> Iterator[App]:
    try:
        with app.worker(queues=["default"]):
            yield app
    finally:
        app.close()


@pytest.mark.parametrize("compression", [None, "zstd", "zlib"])
@pytest.mark.parametrize("name", ["json", "msgpack", "yaml", "pickle"])
def test_a_call_and_its_reply_travel_as_the_app_says(vhost: Vhost, name: str, compression: str | None) -> None:
    value = {"text": "x" * 5000, "list": [1, None, 2.5]}
    options: dict[str, Any] = {"serializer": name, "accept_content": [name], "compression": compression}
    with running(shop(vhost, **options, signing={"a": SECRET})) as app:
        assert app.tasks["shop.echo"].delay(value).get(timeout=SOON) == value
        assert app.tasks["shop.third"].delay(value).get(timeout=SOON) == [value, value]
        with pytest.raises(ValueError, match="no"):
            app.tasks["shop.fail"].delay("no").get(timeout=SOON)


def test_what_is_not_accepted_is_a_dead_letter_and_its_caller_hears_of_it(vhost: Vhost) -> None:
    with running(shop(vhost)) as app:
        sender = shop(vhost, serializer="msgpack", accept_content=["json", "msgpack"])
        try:
            with pytest.raises(TaskRejected, match="content-type"):
                sender.tasks["shop.echo"].delay(1).get(timeout=SOON)
        finally:
            sender.close()
        publish(vhost, b"[[1], {}, {}]", content_type="application/json", content_encoding="utf-16")
        publish(vhost, b"no zlib", content_type="application/json", headers={"compression": "gzip"})
        reasons = letters(vhost, app, 3)
    assert sorted(detail.partition(":")[0] for _, detail in reasons) == [
        "compression",
        "content-encoding",
        "content-type",
    ]
    assert {reason for reason, _ in reasons} == {"malformed"}


def test_unsigned_and_changed_messages_are_dead_letters(vhost: Vhost) -> None:
    with running(shop(vhost, signing=Signing({"new": SECRET, "old": OLDER}))) as app:
        stranger, older = shop(vhost), shop(vhost, signing={"old": OLDER})
        wrong = shop(vhost, signing={"new": "w" * 32})
        try:
            with pytest.raises(TaskRejected, match="unsigned"):
                stranger.tasks["shop.echo"].delay(1).get(timeout=SOON)
            with pytest.raises(ResultError, match="is not believed"):  # nor does the worker believe the call
                wrong.tasks["shop.echo"].delay(1).get(timeout=SOON)
            assert older.tasks["shop.echo"].delay(1).get(timeout=SOON) == 1
        finally:
            for other in (stranger, older, wrong):
                other.close()
        assert {reason for reason, _ in letters(vhost, app, 2)} == {"unsigned", "bad-signature"}


def test_a_delayed_task_of_another_key_is_retried_and_arrives(vhost: Vhost) -> None:
    with running(shop(vhost, signing={"new": SECRET, "old": OLDER})):
        sender = shop(vhost, signing={"old": OLDER, "new": SECRET})
        try:
            assert sender.tasks["shop.third"].apply_async((7,), countdown=0.2).get(timeout=SOON) == [7, 7]
        finally:
            sender.close()


def test_a_dead_letter_is_replayed_with_a_signature_that_fits(vhost: Vhost) -> None:
    app = shop(vhost, signing={"a": SECRET})
    runs: list[Any] = []

    @app.task(name="shop.mend", bind=True, max_retries=1, autoretry_for=(ValueError,), default_retry_delay=0.05)
    def fix(self: Any, value: Any) -> None:
        runs.append(value)
        if len(runs) <= 2:
            raise ValueError(value)

    with running(app):
        result = fix.delay("x")
        with pytest.raises(ValueError, match="x"):
            result.get(timeout=SOON)
        wait_for(lambda: vhost.management.ready("default.dead") == 1, SOON, "the letter is there")
        with app.session() as session:
            assert dead_letters.replay(session, "default.dead", codec=app.codec).count == 1
        wait_for(lambda: len(runs) == 3, SOON, lambda: f"the replay runs: {runs}")
        with app.session() as session:
            assert dead_letters.count(session, "default.dead") == 0


def publish(vhost: Vhost, body: bytes, headers: dict[str, Any] | None = None, **properties: Any) -> None:
    with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        given = pika.BasicProperties(
            headers={"task": "shop.echo", "id": "1", **(headers or {})}, delivery_mode=2, **properties
        )
        channel.basic_publish("amqptasks.queues", "default", body, given, mandatory=True)


def letters(vhost: Vhost, app: App, count: int) -> list[tuple[str, str]]:
    """Reason and detail of so many dead letters."""
    wait_for(lambda: vhost.management.ready("default.dead") == count, SOON, "the dead letters are there")
    with app.session() as session:
        return [(letter.reason, letter.detail or "") for letter in dead_letters.letters(session, "default.dead")]
