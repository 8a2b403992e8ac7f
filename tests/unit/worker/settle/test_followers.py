"""Settling a task whose followers are published before its ack."""

from __future__ import annotations

from amqptasks.errors import Nacked, Unroutable
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.worker.job.job import Job
from amqptasks.worker.job.settlement import Settlement
from amqptasks.worker.settle.publishing import MOST_TRIES
from tests.unit.worker.jobs import Lease, delivery, job
from tests.unit.worker.scene import Scene

FULL = Nacked("it is full")


def follow(scene: Scene, *targets: str, letter: bool = True, made: Job | None = None) -> tuple[Job, Lease]:
    """A job that ended well, and whose followers go to `targets`."""
    made = made or job(delivery())
    made.planned = Settlement(
        "ack",
        followers=tuple(Outgoing("tasks", target, b"[]", Properties()) for target in targets),
        otherwise=Outgoing("amqptasks.queues", "emails.dead", b"[]", Properties()) if letter else None,
        kind="Success",
    )
    scene.settler.settle(made, scene.queue)
    lease = made.delivery.lease
    assert isinstance(lease, Lease)
    return made, lease


def test_all_that_follows_is_confirmed_before_the_ack(scene: Scene) -> None:
    _, lease = follow(scene, "first", "second")
    assert [scene.link.answer(None).routing_key] == ["first"]
    assert lease.settled == []
    assert scene.link.answer(None).routing_key == "second"
    assert lease.settled == [("ack", 1)]


def test_a_follower_that_leads_nowhere_makes_its_task_a_dead_letter_and_holds_up_nothing(scene: Scene) -> None:
    _, lease = follow(scene, "nowhere")
    scene.link.answer(Unroutable("no queue took it"))
    assert scene.subscription.calls == []
    assert lease.settled == []
    letter = scene.link.answer(None)
    assert letter.routing_key == "emails.dead"
    assert "no queue took it" in str((letter.properties.headers or {})["x-amqptasks-detail"])
    assert lease.settled == [("ack", 1)]


def test_a_follower_whose_queue_stays_full_is_not_tried_for_ever(scene: Scene) -> None:
    _, lease = follow(scene, "full")
    for _ in range(MOST_TRIES):
        assert scene.link.answer(FULL).routing_key == "full"
        scene.link.wait(30)
    assert scene.link.answer(None).routing_key == "emails.dead"
    assert lease.settled == [("ack", 1)]
    assert scene.subscription.calls == ["pause", "resume"]


def test_a_stop_makes_a_dead_letter_of_what_was_acked_early_and_cannot_be_followed(scene: Scene) -> None:
    made = job(delivery())
    scene.settler.ack_early(made)
    follow(scene, "full", made=made)
    assert scene.link.answer(FULL).routing_key == "full"
    scene.settler.stop()
    letter = scene.link.answer(None)
    assert letter.routing_key == "emails.dead"
    assert "before its worker stopped" in str((letter.properties.headers or {})["x-amqptasks-detail"])
    assert scene.settler.counts == {"Success": 1}
    assert scene.settler.pending == 0
