"""Alarms of the broker: what waits for their end, what is told of them, and what a stop loses."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from amqptasks import App
from amqptasks.errors import ReplyLost
from amqptasks.worker.node import Node
from amqptasks.worker.probes.health import HealthServer
from tests.harness.alarm import alarm
from tests.harness.nodes import StartedBroker
from tests.harness.wait import wait_for


@pytest.fixture
def barrier() -> threading.Event:
    return threading.Event()


@pytest.fixture
def app(own_broker: StartedBroker, barrier: threading.Event) -> Iterator[App]:
    app = App("alarmed", own_broker.url)
    app.task(name="work")(lambda number: (barrier.wait(60), number)[1])
    app.task(name="follow")(lambda number: number)
    yield app
    app.close(1)


def worker(app: App) -> Node:
    """With an app, and so a link, of its own."""
    other = App("alarmed", app.broker[0])
    other.tasks.update(app.tasks)
    node = Node(other, ["default"], concurrency=4)
    node.start()
    return node


def test_in_an_alarm_replies_wait_and_ready_says_blocked(
    app: App, own_broker: StartedBroker, barrier: threading.Event
) -> None:
    node = worker(app)
    health = HealthServer(node, 0)
    health.start()
    results = [app.tasks["work"].delay(number) for number in range(3)]
    followed = app.tasks["work"].apply_async((9,), link=app.tasks["follow"].s(), ignore_result=True)
    wait_for(lambda: len(node.control.on_link(lambda: node.current)) == 4, message="they run")
    with alarm(own_broker):
        barrier.set()
        wait_for(lambda: node.link.blocked, message="the broker blocks publishers")
        status, said = health.examine("/ready")
        assert status == 200
        assert "blocked: low on disk" in str(said)
        wait_for(lambda: node.counts["Success"] == 3, message="those with replies are acknowledged at once")
        assert not any(result.ready() for result in results)
    assert [result.get(timeout=30) for result in results] == [0, 1, 2]
    wait_for(lambda: node.counts["Success"] == 5, message="what follows ran once")
    assert followed.id
    health.stop()
    node.stop()
    assert node.wait(20)


@pytest.mark.long
def test_replies_that_a_stop_drops_in_an_alarm_are_counted_and_their_state_is_lost(
    app: App, own_broker: StartedBroker, barrier: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """Also fails where a release reads no first message without a body in an alarm: see `amqp/announcing.py`."""
    node = worker(app)
    results = [app.tasks["work"].delay(number) for number in range(3)]
    wait_for(lambda: len(node.control.on_link(lambda: node.current)) == 3, message="they run")
    with alarm(own_broker):
        barrier.set()
        wait_for(lambda: node.counts["Success"] == 3, message="they are acknowledged at once")
        node.stop()
        assert node.wait(30)
        wait_for(lambda: [result.status for result in results] == ["LOST"] * 3, message="their callers are told")
    with pytest.raises(ReplyLost):
        results[0].get(timeout=1)
    assert sum("3 replies are dropped" in record.getMessage() for record in caplog.records) == 1
