"""Control over `memory://`: the same answers, without streams."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from amqptasks import App
from amqptasks.errors import ConfigurationError, TaskRevoked
from amqptasks.worker.control.commanding import CONTROL
from amqptasks.worker.node import Node


@pytest.fixture
def app() -> Iterator[App]:
    made = App("remembered", f"memory://{uuid.uuid4().hex}")
    made.task(name="note")(lambda: "ran")
    yield made
    made.close()


def test_a_worker_answers(app: App) -> None:
    with app.worker() as node:
        answers = app.control.ping(timeout=0.3)
        assert answers[node.name].ready
        assert not answers.complete, "there is no list of workers"
        assert app.control.stats(timeout=0.3)[node.name].broker_version == "4.3.0"


def test_what_is_revoked_does_not_run(app: App) -> None:
    with app.worker() as node:
        app.control.pause("default", timeout=0.3)
        revoked, other = app.send_task("note", queue="default"), app.send_task("note", queue="default")
        assert app.control.revoke(revoked.id, timeout=0.3)[node.name] == {"dropped": 0, "terminated": 0}
        app.control.resume("default", timeout=0.3)
        with pytest.raises(TaskRevoked):
            revoked.get(10)
        assert other.get(10) == "ran"


def test_there_are_no_other_signals_than_workers_have_a_meaning_for(app: App) -> None:
    with app.worker() as node:
        for signal in ("HUP", "SIGTERM", ""):
            with pytest.raises(ConfigurationError, match="TERM lets a task tidy up"):
                app.control.revoke("some-id", terminate=True, signal=signal)  # type: ignore[arg-type]
        told = {"revocation": {"revoke": {"ids": ["some-id"]}, "at": 0}, "terminate": True, "signal": "HUP"}
        assert "TERM lets a task tidy up" in app.control.ask("revoke", told, timeout=0.3).errors[node.name]


def test_nobody_there_is_an_answer(app: App) -> None:
    assert dict(app.control.ping(timeout=0.3)) == {}


#: What anybody may send in place of a number or a text.
HOSTILE = [True, -1, 2**63, 10**400, float("nan"), float("inf"), 1e300, 1e-9, "x" * 300, "\ud800", [], {"a": 1}, b"5"]


@pytest.mark.parametrize(
    ("command", "arguments", "name"),
    [
        ("time_limit", {"task": "note"}, "hard"),
        ("time_limit", {"task": "note"}, "soft"),
        ("time_limit", {"hard": 5}, "task"),
        ("rate_limit", {"task": "note"}, "rate"),
        ("pool_grow", {}, "number"),
        ("pool_shrink", {}, "number"),
        ("autoscale", {"min": 1}, "max"),
        ("autoscale", {"max": 5}, "min"),
        ("add_consumer", {"queue": "other"}, "prefetch"),
        ("add_consumer", {}, "queue"),
        ("pause", {}, "queue"),
        ("resume", {}, "queue"),
        ("cancel_consumer", {}, "queue"),
        ("log_level", {}, "level"),
    ],
)
def test_control_commands_refuse_numbers_and_texts_beyond_their_bounds(
    app: App, command: str, arguments: dict[str, object], name: str
) -> None:
    """Each with a short sentence, and nothing of the worker is changed by them."""
    node = Node(app, ["default"], concurrency=2)
    node.start()
    try:
        assert node.control is not None
        for value in HOSTILE:
            if (name, value) == ("rate", 1e-9):
                continue  # a rate may be as low as that
            with pytest.raises(ConfigurationError) as caught:
                CONTROL[command](node.control, {**arguments, name: value})
            assert len(str(caught.value)) < 300, caught.value
        assert (dict(node.limits.own), node.concurrency, set(node.queues)) == ({}, 2, {"default"})
    finally:
        node.stop()
        node.wait(10)
