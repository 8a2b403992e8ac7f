"""Acts with messages that wait: to take, purge, copy and replay them."""

from __future__ import annotations

import uuid
from typing import Any

from pika.adapters.blocking_connection import BlockingChannel

from tests.harness.roles.place import SOON, Place, new_word
from tests.harness.roles.ways import Way, publish, raw, task
from tests.harness.wait import wait_for


def park(place: Place, queue: str = "parked", headers: dict[str, Any] | None = None, body: object = b"secret") -> None:
    """A message for somebody to find."""
    with place.admin() as admin:
        channel = admin.channel()
        channel.confirm_delivery()
        channel.queue_purge(queue)
        publish(channel, "amqptasks.queues", queue, body, headers)


def take(queue: str) -> Way:
    def act(place: Place, channel: BlockingChannel) -> None:
        park(place, queue)
        found = wait_for(lambda: channel.basic_get(queue, auto_ack=True)[2], SOON, "the message is there")
        assert found == b"secret"

    return raw(act)


def consume(place: Place, channel: BlockingChannel) -> None:
    park(place)
    _, _, body = next(channel.consume("parked", inactivity_timeout=SOON))
    assert body == b"secret"


def delay_one(place: Place) -> None:
    """A message that waits for half a minute, on a rung for itself."""
    with place.admin() as admin:
        channel = admin.channel()
        channel.confirm_delivery()
        channel.queue_purge("amqptasks.delay.10")
        publish(channel, "amqptasks.delay.10", "parked", b"secret", {"x-amqptasks-d10": True})


def take_delayed(place: Place, channel: BlockingChannel) -> None:
    delay_one(place)
    assert wait_for(lambda: channel.basic_get("amqptasks.delay.10", auto_ack=True)[2], SOON) == b"secret"


def purge_delayed(place: Place, channel: BlockingChannel) -> None:
    delay_one(place)
    wait_for(lambda: channel.queue_purge("amqptasks.delay.10").method.message_count, SOON)


def copy_delayed(place: Place, channel: BlockingChannel) -> None:
    """By a queue of its own behind a rung's exchange: of a name that some role may declare."""
    queue = f"amqptasks.events.{uuid.uuid4().hex}"
    channel.queue_declare(queue, exclusive=True)
    channel.queue_bind(queue, "amqptasks.delay.10", "", {"x-match": "all"})
    delay_one(place)
    assert wait_for(lambda: channel.basic_get(queue, auto_ack=True)[2], SOON) == b"secret"


def replay(place: Place, channel: BlockingChannel) -> None:
    word = new_word()
    park(place, "orders.dead", {"task": "shop.note", "id": word}, [[word], {}, {}])
    method = wait_for(lambda: channel.basic_get("orders.dead")[0], SOON, "the letter is there")
    task(channel, "amqptasks.queues", "orders", word)
    channel.basic_ack(method.delivery_tag)
    place.wait_ran(word)
