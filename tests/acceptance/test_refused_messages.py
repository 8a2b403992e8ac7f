"""What cannot run, or cannot be stored, must not vanish (Celery: no dead letters, no confirms, empty messages)."""

from __future__ import annotations

import json
from collections.abc import Callable

import pika
import pytest

from amqptasks.errors import Nacked, PartlyPublished, PublishRejected, Unroutable
from amqptasks.topology.delays import room
from tests.acceptance.shop import Shop, said, taken
from tests.harness.wait import wait_for

#: Calls to a queue that has room for five. Celery says "ok" to all of them and loses 25, or, with confirms, raises
#: OperationalError with an empty text.
CALLS, ROOM = 30, 5

FULL = f"queues: {{default: {{max_length: {ROOM}, type: %s}}}}\n"


def publish_raw(url: str, queue: str, headers: dict[str, object], body: bytes) -> None:
    """As a foreign producer would: straight to the queue."""
    properties = pika.BasicProperties(content_type="application/json", headers=headers, delivery_mode=2)
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("", queue, body, properties, mandatory=True)


@pytest.mark.parametrize("queue_type", [pytest.param("classic", marks=pytest.mark.long), "quorum"])
def test_unknown_and_undecodable_tasks_are_in_the_dead_letter_queue_with_their_reason(
    open_shop: Callable[[str], Shop], queue_type: str
) -> None:
    """Celery acknowledged or rejected both, and they were gone."""
    shop = open_shop(f"queues: {{default: {{type: {queue_type}}}}}\n")
    worker = shop.worker()
    unknown_body = json.dumps([["a@example.com"], {"copy": True}, None]).encode()
    publish_raw(shop.url, "default", {"task": "shop.absent", "id": "unknown-1"}, unknown_body)
    publish_raw(shop.url, "default", {"task": "shop.note", "id": "broken-1"}, b'{"half a')
    shop.send("note", "good")
    said(worker, "ran", "good")
    wait_for(lambda: shop.management.ready("default.dead") == 2, message="both are dead letters")
    dead = {headers["id"]: (headers, body) for headers, body in taken(shop.url, "default.dead")}
    headers, body = dead["unknown-1"]
    assert headers["x-amqptasks-reason"] == "unknown-task"
    assert "shop.absent" in headers["x-amqptasks-detail"]
    assert body == unknown_body
    headers, body = dead["broken-1"]
    assert headers["x-amqptasks-reason"] == "malformed"
    assert "JSON" in headers["x-amqptasks-detail"]
    assert body == b'{"half a'
    assert all(headers["x-amqptasks-queue"] == "default" for headers, _ in dead.values())
    wait_for(lambda: shop.unacked() == 0, message="both are settled")


@pytest.mark.parametrize("queue_type", [pytest.param("classic", marks=pytest.mark.long), "quorum"])
def test_a_full_queue_refuses_to_the_callers_face_and_loses_no_call(
    open_shop: Callable[[str], Shop], queue_type: str
) -> None:
    shop = open_shop(FULL % queue_type)
    accepted, refused = [], []
    for number in range(CALLS):
        try:
            accepted.append(shop.send("note", f"call-{number}"))
        except Nacked as error:
            refused.append(error)
    assert len(accepted) >= ROOM
    assert refused, "a queue with room for five took all thirty"
    assert len(accepted) + len(refused) == CALLS
    for error in refused:
        assert "full" in str(error)
        assert "'default'" in str(error)
        assert error.message_id
    assert sorted(headers["id"] for headers, _ in taken(shop.url, "default")) == sorted(accepted)


def test_publishing_many_to_a_full_queue_says_which_were_refused(open_shop: Callable[[str], Shop]) -> None:
    shop = open_shop(FULL % "classic")  # a quorum queue learns that it is full only after a burst like this one
    note = shop.app.task(name="shop.note")(lambda word: None)
    with pytest.raises(PartlyPublished) as caught:
        note.publish_many([(f"call-{number}",) for number in range(CALLS)])
    refused = {position for position, _ in caught.value.failed}
    assert caught.value.total == CALLS
    assert all(isinstance(error, Nacked) for _, error in caught.value.failed)
    stored = [json.loads(body)[0][0] for _, body in taken(shop.url, "default")]
    assert sorted(stored) == sorted(f"call-{number}" for number in range(CALLS) if number not in refused)


def test_delayed_calls_to_a_full_queue_are_kept_and_hold_up_no_other_queue(open_shop: Callable[[str], Shop]) -> None:
    """The caller is told nothing, for the call is stored: it waits before the full queue, not on the ladder."""
    shop = open_shop(f"queues:\n  default: {{max_length: {ROOM}}}\n  others: {{}}\n")
    for number in range(CALLS):
        shop.send("note", f"delayed-{number}", queue="default", countdown=0.5)
    shop.send("note", "elsewhere", queue="others", countdown=1)
    worker = shop.worker("-Q", "others")
    said(worker, "ran", "elsewhere")

    def kept() -> bool:
        counts = {queue["name"]: queue.get("messages", 0) for queue in shop.management.queues()}
        assert counts["default"] + counts[room("default")] == CALLS, str(counts)
        return bool(counts[room("default")])

    wait_for(kept, message="all are in default and before it")


@pytest.mark.long
@pytest.mark.timeout(400)
def test_delayed_calls_to_a_queue_that_was_full_run_once_there_is_room(open_shop: Callable[[str], Shop]) -> None:
    """RabbitMQ offers a refused dead letter again every 180 seconds."""
    shop = open_shop(FULL % "quorum")
    for number in range(CALLS):
        shop.send("note", f"delayed-{number}", countdown=0.5)
    wait_for(lambda: shop.management.ready("default") >= ROOM, message="the queue is full")
    worker = shop.worker()
    ran = said(worker, "ran", r"delayed-\d+", count=CALLS, timeout=380.0)
    assert len({one.id for one in ran}) == CALLS


def test_a_message_that_no_queue_takes_raises_at_the_caller(open_shop: Callable[[str], Shop]) -> None:
    """Celery returned a result object, with confirms too."""
    shop = open_shop(
        "exchanges: {events: {type: topic}}\n"
        "queues: {default: {bindings: [{exchange: events, routing_key: 'order.#'}]}}\n"
    )
    with pytest.raises(Unroutable, match=r"no queue takes routing key 'invoice\.paid' of exchange 'events'"):
        shop.send("note", "lost", exchange="events", routing_key="invoice.paid")
    shop.send("note", "kept", exchange="events", routing_key="order.paid")
    assert shop.management.ready("default") == 1


def test_a_message_for_an_exchange_that_is_not_there_raises_at_the_caller(open_shop: Callable[[str], Shop]) -> None:
    shop = open_shop("queues: {default: {}}\n")
    with pytest.raises(PublishRejected, match="404 NOT_FOUND - no exchange 'absent'"):
        shop.send("note", "lost", exchange="absent", routing_key="x")
    shop.send("note", "kept")
    assert shop.management.ready("default") == 1
