"""Settling: what must be safe first, what happens while it is not, and which queue is paused for it."""

from __future__ import annotations

from typing import Any

import pytest

from amqptasks.errors import ConfigurationError, MessageTooLarge, Nacked, PublishRejected, TaskRejected, Unroutable
from amqptasks.messages.own_headers import DELIVERIES
from amqptasks.results.reply import parse
from amqptasks.tasks.outcomes import HAND_BACK, Crashed, Failure, Postpone, Recount, Retry, Snooze, Success
from amqptasks.topology.topology import QueueSettings
from amqptasks.worker.job.job import Job
from amqptasks.worker.job.settlement import settlement
from amqptasks.worker.settle.publishing import MOST_TRIES
from tests.unit.worker.jobs import WORKER, Lease, delivery, job
from tests.unit.worker.scene import Scene

FULL = Nacked("it is full")


def test_nothing_to_publish_is_acked_at_once(scene: Scene) -> None:
    _, lease = scene.settle(Success(1))
    assert lease.settled == [("ack", 1)]
    assert not scene.link.published


def test_a_dead_letter_is_confirmed_before_the_ack(scene: Scene) -> None:
    _, lease = scene.settle(Failure(ValueError("boom")))
    assert lease.settled == []
    assert scene.settler.pending == 1
    assert scene.link.answer(None).routing_key == "emails.dead"
    assert lease.settled == [("ack", 1)]
    assert scene.settler.pending == 0


def test_letter_and_reply_must_both_be_answered(scene: Scene) -> None:
    _, lease = scene.settle(Failure(ValueError("boom")), reply_to="replies")
    scene.link.answer(None)
    assert lease.settled == []
    scene.link.answer(None)
    assert lease.settled == [("ack", 1)]


def test_a_caller_that_is_gone_holds_up_nothing(scene: Scene) -> None:
    _, lease = scene.settle(Success(1), reply_to="replies")
    scene.link.answer(Nacked("the reply queue is full"))
    assert lease.settled == [("ack", 1)]


def test_while_a_letter_is_refused_its_queue_is_paused_and_it_is_tried_again(scene: Scene) -> None:
    _, lease = scene.settle(Failure(ValueError("boom")))
    pause = 0.5
    for _ in range(8):
        scene.link.answer(FULL)
        scene.link.wait(pause - 0.01)
        assert not scene.link.published, f"not before {pause} s"
        scene.link.wait(0.01)
        pause = min(pause * 2, 30.0)
    assert lease.settled == []
    assert scene.subscription.calls == ["pause"]
    scene.link.answer(None)
    assert lease.settled == [("ack", 1)]
    assert scene.subscription.calls == ["pause", "resume"]


def test_the_queue_goes_on_when_the_last_of_the_refused_is_through(scene: Scene) -> None:
    _, first = scene.settle(Failure(ValueError("a")))
    _, second = scene.settle(Failure(ValueError("b")))
    scene.link.answer(FULL)
    scene.link.answer(FULL)
    scene.link.wait(0.5)
    scene.link.answer(None)
    assert scene.subscription.calls == ["pause"]
    scene.link.answer(None)
    assert scene.subscription.calls == ["pause", "resume"]
    assert first.settled == second.settled == [("ack", 1)]


def test_a_refused_message_whose_lease_ended_is_not_published_again(scene: Scene) -> None:
    """Somebody else has it by now: it would be two letters."""
    _, lease = scene.settle(Failure(ValueError("boom")))
    scene.link.answer(FULL)
    lease.alive = False
    scene.queue.forget_lost()
    assert scene.subscription.calls == ["pause", "resume"]
    scene.link.wait(1)
    assert not scene.link.published
    assert scene.settler.pending == 0


def test_another_queues_lost_lease_does_not_end_this_ones_pause(scene: Scene) -> None:
    scene.settle(Failure(ValueError("boom")))
    scene.link.answer(FULL)
    scene.queue.forget_lost()
    assert scene.subscription.calls == ["pause"]


@pytest.mark.parametrize("error", [Unroutable("no queue"), PublishRejected("404 NOT_FOUND - no exchange")])
def test_what_is_missing_on_the_broker_is_asked_for(scene: Scene, error: Exception) -> None:
    scene.settle(Failure(ValueError("boom")))
    scene.link.answer(error)
    assert scene.missing == ["missing"]
    assert scene.subscription.calls == ["pause"]


@pytest.mark.parametrize("error", [MessageTooLarge("headers"), PublishRejected("406 PRECONDITION_FAILED - bad CC")])
def test_a_dead_letter_that_is_refused_is_published_bare_at_once_and_its_queue_goes_on(
    scene: Scene, error: Exception
) -> None:
    _, lease = scene.settle(Failure(ValueError("boom")), headers={"tenant": "acme"})
    assert "tenant" in (scene.link.answer(error).properties.headers or {})
    second = scene.link.answer(None).properties.headers or {}
    assert "tenant" not in second
    assert second["x-amqptasks-reason"] == "failed"
    assert lease.settled == [("ack", 1)]
    assert scene.subscription.calls == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (MessageTooLarge("headers"), MessageTooLarge("headers")),
        (PublishRejected("the message cannot be encoded: odd"), PublishRejected("the message cannot be encoded: odd")),
        (MessageTooLarge("the body has 17 bytes, this broker takes 16"), None),
        (PublishRejected("406 PRECONDITION_FAILED - message size 17 is larger than configured max size 16"), None),
    ],
    ids=["headers", "encoding", "body", "max_message_size"],
)
def test_a_dead_letter_that_is_refused_for_good_is_left_to_the_broker_by_discard(
    scene: Scene, first: Exception, second: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    _, lease = scene.settle(Failure(ValueError("boom")))
    scene.link.answer(first)
    if second is not None:
        scene.link.answer(second)
    assert not scene.link.published
    assert lease.settled == [("discard", 1)]
    assert scene.subscription.calls == []
    assert scene.settler.counts == {"Reject": 1}
    assert "shop.work[id-1] cannot be settled" in caplog.text


@pytest.mark.parametrize("outcome", [Retry(60.0, ValueError("boom")), Snooze(5.0, 1), Postpone(5.0)])
@pytest.mark.parametrize(
    "error",
    [MessageTooLarge("the body has 17 bytes, this broker takes 16"), PublishRejected("406 PRECONDITION_FAILED")],
)
def test_a_next_attempt_that_is_refused_is_a_dead_letter_and_its_caller_is_told(
    scene: Scene, outcome: Any, error: Exception
) -> None:
    _, lease = scene.settle(outcome, reply_to="replies")
    scene.link.answer(error)
    answer, letter = scene.link.answer(None), scene.link.answer(None)
    assert letter.routing_key == "emails.dead"
    assert (letter.properties.headers or {})["x-amqptasks-reason"] == "unpublishable"
    assert str(error) in str((letter.properties.headers or {})["x-amqptasks-detail"])
    assert answer.routing_key == "replies"
    told = parse(answer.body).exception
    assert isinstance(told, TaskRejected)
    assert str(error) in str(told)
    assert lease.settled == [("ack", 1)]
    assert scene.subscription.calls == []


def test_a_next_attempt_whose_exchange_stays_missing_is_a_dead_letter_after_some_tries(scene: Scene) -> None:
    _, lease = scene.settle(Recount(3))
    for _ in range(MOST_TRIES):
        scene.link.answer(PublishRejected("404 NOT_FOUND - no exchange 'amqptasks.queues'"))
        scene.link.wait(30)
    letter = scene.link.answer(None)
    assert letter.routing_key == "emails.dead"
    assert "no exchange 'amqptasks.queues'" in str((letter.properties.headers or {})["x-amqptasks-detail"])
    assert lease.settled == [("ack", 1)]
    assert scene.subscription.calls == ["pause", "resume"]
    assert len(scene.missing) == MOST_TRIES - 1


def test_a_refused_next_attempt_of_a_queue_without_dead_letters_is_acked_and_told(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    made = job(delivery(), QueueSettings("emails", dead_letters=None))
    made.planned = settlement(made, Retry(60.0, ValueError("boom")), WORKER)
    scene.settler.settle(made, scene.queue)
    scene.link.answer(MessageTooLarge("the body has 17 bytes, this broker takes 16"))
    assert made.delivery.lease.settled == [("ack", 1)]  # type: ignore[attr-defined]
    assert scene.settler.pending == 0
    assert "cannot run (unpublishable)" in caplog.text


def test_what_was_acked_early_and_is_refused_for_good_is_said_to_be_lost(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    ack_early(scene, Failure(ValueError("boom")))
    scene.link.answer(MessageTooLarge("the body has 17 bytes, this broker takes 16"))
    assert scene.settler.counts == {"Lost": 1}
    assert "is lost" in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        MessageTooLarge("the body has 17 bytes, this broker takes 16"),
        PublishRejected("406 PRECONDITION_FAILED - message size 17 is larger than configured max size 16"),
    ],
)
def test_a_reply_that_is_too_large_is_replaced_by_a_failure_that_says_so(scene: Scene, error: Exception) -> None:
    _, lease = scene.settle(Success("x" * 1000), reply_to="replies")
    scene.link.answer(error)
    told = parse(scene.link.answer(None).body).exception
    assert isinstance(told, ConfigurationError)
    assert "too large" in str(told)
    assert str(error) in str(told)
    assert lease.settled == [("ack", 1)]


def test_a_failure_in_place_of_a_reply_is_not_replaced_again(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    _, lease = scene.settle(Success(1), reply_to="replies")
    for _ in range(2):
        scene.link.answer(PublishRejected("406 PRECONDITION_FAILED - odd"))
    assert not scene.link.published
    assert lease.settled == [("ack", 1)]
    assert "shop.work[id-1] its reply could not be sent: 406" in caplog.text


def test_a_stop_gives_back_what_cannot_be_moved_on(scene: Scene) -> None:
    blocked, lease = scene.settle(Failure(ValueError("boom")))
    _, under_way = scene.settle(Failure(ValueError("boom")))
    scene.link.answer(FULL)
    scene.settler.stop()
    assert lease.settled == [("nack", 1)]
    assert blocked.settled
    assert scene.settler.counts == {"HandBack": 1}
    assert under_way.settled == [], "it may still succeed"
    scene.link.answer(FULL)
    assert under_way.settled == [("nack", 1)]
    scene.link.wait(60)
    assert not scene.link.published
    assert scene.settler.pending == 0


def test_a_stop_lets_begin_again_what_would_anyway_and_was_acked_before_it_ran(scene: Scene) -> None:
    early = ack_early(scene, Retry(60.0, ValueError("boom")))
    assert scene.link.answer(FULL).routing_key == "emails"
    scene.settler.stop()
    again = scene.link.answer(None)
    assert again.routing_key == "emails"
    assert "eta" not in (again.properties.headers or {}), "the call as it came, for it cannot be delayed"
    assert early.delivery.lease.settled == [("ack", 1)]  # type: ignore[attr-defined]
    assert scene.settler.counts == {"HandBack": 1}
    assert scene.settler.pending == 0


def test_a_stop_runs_nothing_twice_that_was_acked_before_it_ran(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    ack_early(scene, Failure(ValueError("boom")))
    assert scene.link.answer(FULL).routing_key == "emails.dead"
    scene.settler.stop()
    assert not scene.link.published, "it has failed, and who acknowledges early wants no second run"
    assert scene.settler.counts == {"Lost": 1}
    assert scene.settler.pending == 0
    assert "is lost: it was acknowledged when it began" in caplog.text


@pytest.mark.parametrize(("outcome", "counted"), [(HAND_BACK, None), (Crashed("odd"), 1)])
def test_what_was_acked_before_it_ran_goes_back_by_another_publish_and_is_counted_by_us(
    scene: Scene, outcome: Any, counted: int | None
) -> None:
    """Its pool planned it, which knows nothing of the ack."""
    ack_early(scene, outcome)
    again = scene.link.answer(None)
    assert again.routing_key == "emails"
    assert (again.properties.headers or {}).get(DELIVERIES) == counted
    assert scene.settler.counts == {type(outcome).__name__: 1}


def test_what_was_acked_before_it_ran_and_goes_nowhere_is_said_to_be_lost(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    ack_early(scene, HAND_BACK)
    scene.settler.stop()
    for _ in range(2):
        assert scene.link.answer(FULL).routing_key == "emails"
    assert scene.settler.counts == {"Lost": 1}
    assert scene.settler.pending == 0
    assert not scene.link.published
    assert "is lost: it was acknowledged when it began" in caplog.text
    assert "goes back" not in caplog.text


def ack_early(scene: Scene, outcome: Any) -> Job:
    """A job that was acknowledged when it began, and ended so."""
    made = job(delivery())
    scene.settler.ack_early(made)
    made.planned = settlement(made, outcome, WORKER)
    scene.settler.settle(made, scene.queue)
    return made


def test_a_job_is_settled_once(scene: Scene) -> None:
    made, lease = scene.settle(Success(1))
    scene.settler.settle(made, scene.queue)
    scene.settler.hand_back(made)
    assert lease.settled == [("ack", 1)]


def test_a_job_that_lost_its_lease_publishes_nothing(scene: Scene) -> None:
    made = job(delivery())
    made.outcome = Failure(ValueError("boom"))
    made.planned = settlement(made, made.outcome, WORKER)
    made.delivery.lease.alive = False  # type: ignore[misc]
    scene.settler.settle(made, scene.queue)
    assert not scene.link.published
    assert scene.settler.counts == {"Lost": 1}


def test_what_was_acked_before_it_ran_is_not_acked_again_and_still_publishes(scene: Scene) -> None:
    made = job(delivery())
    scene.settler.ack_early(made)
    made.planned = settlement(made, Failure(ValueError("boom")), WORKER)
    made.delivery.lease.alive = False  # type: ignore[misc]
    scene.settler.settle(made, scene.queue)
    assert scene.link.answer(None).routing_key == "emails.dead"
    assert isinstance(made.delivery.lease, Lease)
    assert made.delivery.lease.settled == [("ack", 1)]
