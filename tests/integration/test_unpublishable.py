"""What cannot be published is settled in another way, with the reason, and its queue goes on."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from amqptasks import App
from amqptasks.amqp.wire.content_header import Timestamp
from amqptasks.errors import ConfigurationError, MessageTooLarge
from amqptasks.messages.outgoing import QUEUES_EXCHANGE, Outgoing
from amqptasks.messages.properties import Properties
from tests.harness.apps import NewApp
from tests.harness.wait import wait_for

#: Over what a broker from 4.0 on takes; one before takes 128 MiB.
LARGE = (16 << 20) + 1


def dead_letters(app: App, count: int) -> list[dict[str, Any]]:
    """The headers of the dead letters of the default queue, once there are so many."""
    with app.session() as session:

        def messages() -> int:
            state = session.queue_state("default.dead")
            return 0 if state is None else state.messages

        wait_for(lambda: messages() == count, message=f"{count} dead letters")
        found = [dict(letter.properties.headers or {}) for letter in session.take("default.dead", 100)]
        session.give_back()
    return found


def publish(app: App, body: bytes, **headers: Any) -> None:
    """As any other client may."""
    outgoing = Outgoing(
        QUEUES_EXCHANGE,
        "default",
        body,
        Properties(content_type="application/json", content_encoding="utf-8", headers=headers),
    )
    assert app.caller.publisher.publish_many([outgoing], 30.0) == []


def takes_large_bodies(app: App) -> bool:
    app.declare()
    assert app.capabilities is not None
    return app.capabilities.maximum_message_size > LARGE


def test_a_retry_too_large_for_the_broker_is_a_dead_letter_and_its_caller_is_told(new_app: NewApp) -> None:
    app = new_app()
    if takes_large_bodies(app):
        pytest.skip("a broker before 4.0 takes it")

    @app.task(bind=True, ignore_result=False)
    def grow(self: Any, text: str = "") -> None:
        self.retry(countdown=0.1, kwargs={"text": "x" * LARGE})

    @app.task(ignore_result=False)
    def note() -> str:
        return "goes on"

    with app.worker(queues=["default"], concurrency=1):
        grown, noted = grow.delay(), note.delay()
        with pytest.raises(MessageTooLarge, match="next attempt have 16,"):
            grown.get(timeout=20)
        assert noted.get(timeout=20) == "goes on"
        (letter,) = dead_letters(app, 1)
    assert (letter["id"], letter["x-amqptasks-reason"]) == (grown.id, "failed")
    assert "this broker takes 16,777,216" in letter["x-amqptasks-detail"]


def test_a_result_and_an_exception_too_large_for_the_broker_reach_the_caller_as_failures_that_say_so(
    new_app: NewApp, caplog: pytest.LogCaptureFixture
) -> None:
    app = new_app()
    if takes_large_bodies(app):
        pytest.skip("a broker before 4.0 takes it")

    @app.task(ignore_result=False)
    def large() -> str:
        return "x" * LARGE

    @app.task(ignore_result=False)
    def fails() -> None:
        raise KeyError("x" * LARGE, 5)

    caplog.set_level(logging.INFO)
    with app.worker(queues=["default"], concurrency=1):
        returned, raised = large.delay(), fails.delay()
        with pytest.raises(ConfigurationError, match="the reply is too large"):
            returned.get(timeout=20)
        with pytest.raises(KeyError) as caught:
            raised.get(timeout=20)
        dead_letters(app, 1)
    text, number = caught.value.args
    assert number == 5
    assert "too large" in text
    assert len(text) < 2000
    assert f"large[{returned.id}] its reply has" in caplog.text
    assert f"fails[{raised.id}] failed" in caplog.text
    assert len(caplog.text) < 100_000


@pytest.mark.parametrize(
    ("body", "headers", "reason"),
    [
        (b"[[],{},{}]", {"retries": 2**63 - 1}, "malformed"),
        (b"[[],{},{}]", {"retries": -(2**63)}, "malformed"),
        (b"[[],{},{}]", {"x-amqptasks-first-time": 2**63 - 1, "x-amqptasks-snoozes": 2**63 - 1}, "failed"),
        (b"[[],{},{}]", {"x-amqptasks-attempts": 2**63 - 1, "x-amqptasks-throttled": -1}, "failed"),
        (b'[[],{},{"errbacks":[{}]}]', {}, "unsupported"),
        (b'[[],{},{"errbacks":[{"task":5}]}]', {}, "unsupported"),
        (b'[[],{},{"errbacks":[{"task":"a","options":{"link":[5]}}]}]', {}, "unsupported"),
        (b'[[],{},{"errbacks":[{"options":[]}]}]', {"task": "nobody"}, "unknown-task"),
        (b"[[],{},{}]", {"task": "nobody", "odd": Timestamp(2**64 - 1)}, "unknown-task"),
        (b"[[],{},{}]", {"task": "nobody", "odd": [Timestamp(2**63)]}, "unknown-task"),
    ],
)
def test_a_message_with_nonsense_is_one_dead_letter_and_its_queue_goes_on(
    new_app: NewApp, caplog: pytest.LogCaptureFixture, body: bytes, headers: dict[str, Any], reason: str
) -> None:
    app = new_app()

    @app.task(name="fails")
    def fails() -> None:
        raise ValueError("boom")

    @app.task(name="note", ignore_result=False)
    def note() -> str:
        return "goes on"

    with app.worker(queues=["default"], concurrency=1) as node:
        publish(app, body, **{"task": "fails", "id": "odd", **headers})
        assert note.delay().get(timeout=10) == "goes on"
        (letter,) = dead_letters(app, 1)
        assert node.counts["Crashed"] == 0
    assert letter["x-amqptasks-reason"] == reason
    assert letter.get("odd") == headers.get("odd")
    assert caplog.text.count("Traceback (most recent call last)") <= 2
    assert len(caplog.text) < 20_000
    assert "is paused" not in caplog.text
