"""Settling a retry whose delay queue has no room."""

from __future__ import annotations

import pytest

from amqptasks.errors import Nacked, PublishRejected, Unroutable
from amqptasks.tasks.outcomes import Failure, Retry
from amqptasks.topology.topology import QueueSettings
from amqptasks.worker.consume.consumer import ConsumedQueue
from tests.unit.worker.scene import Scene

FULL = Nacked("it is full")


MISSING_RUNG = [FULL, Unroutable("no queue"), PublishRejected("404 NOT_FOUND - no exchange 'amqptasks.delay.05'")]


@pytest.mark.parametrize("error", MISSING_RUNG)
def test_a_retry_that_a_delay_queue_refuses_waits_alone_and_its_queue_goes_on(
    scene: Scene, error: BaseException
) -> None:
    _, lease = scene.settle(Retry(1.0, ValueError("boom")))
    scene.link.answer(error)
    assert scene.subscription.calls == ["resize 12"], "what waits takes no place of others"
    assert scene.queue.waiting == 1
    assert lease.settled == []
    scene.link.wait(0.5)
    scene.link.answer(None)
    assert lease.settled == [("ack", 1)]
    assert scene.queue.waiting == 0
    assert scene.subscription.calls == ["resize 12", "resize 4"]


def test_a_retry_that_waits_for_room_is_tried_at_least_every_5_seconds(scene: Scene) -> None:
    scene.settle(Retry(1.0, ValueError("boom")))
    for pause in (0.5, 1.0, 2.0, 4.0, 5.0, 5.0):
        scene.link.answer(FULL)
        scene.link.wait(pause)
        assert scene.link.published, f"after {pause} s"


def test_too_many_retries_that_wait_for_room_pause_the_queue(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amqptasks.worker.consume.consumer.MOST_WAITING", 2)
    for _ in range(3):
        scene.settle(Retry(1.0, ValueError("boom")))
        scene.link.answer(FULL)
    assert scene.queue.waiting == 2
    assert scene.subscription.calls[-1] == "pause"


def test_a_dead_letter_that_is_refused_pauses_its_queue_whatever_waits_for_room(scene: Scene) -> None:
    scene.settle(Retry(1.0, ValueError("boom")))
    scene.link.answer(FULL)
    scene.settle(Failure(ValueError("boom")))
    scene.link.answer(FULL)
    assert scene.subscription.calls[-1] == "pause"


def test_a_retry_that_waits_for_room_goes_back_when_the_worker_stops(scene: Scene) -> None:
    _, lease = scene.settle(Retry(1.0, ValueError("boom")))
    scene.link.answer(FULL)
    scene.settler.stop()
    assert lease.settled == [("nack", 1)]
    assert scene.queue.waiting == 0


def test_a_single_active_consumer_is_not_made_anew_for_retries_that_wait_for_room(scene: Scene) -> None:
    scene.queue = ConsumedQueue(QueueSettings("emails", single_active_consumer=True), 4)
    scene.queue.subscription = scene.subscription
    for _ in range(3):
        scene.settle(Retry(1.0, ValueError("boom")))
        scene.link.answer(FULL)
    assert scene.subscription.calls == ["pause"], "half of the prefetch waits, then the queue does"
