"""Acts on what is declared: streams, queues, bindings, and the management API."""

from __future__ import annotations

import time
import uuid

from pika.adapters.blocking_connection import BlockingChannel

from amqptasks import App
from tests.harness.management import Management
from tests.harness.roles.place import SOON, Place, Refused
from tests.harness.roles.ways import Way, publish, raw


def read_stream(queue: str) -> Way:
    def act(place: Place, channel: BlockingChannel) -> None:
        found: list[bytes] = []
        channel.basic_qos(prefetch_count=1)  # pika rejects what is left over, and a stream refuses that
        channel.basic_consume(queue, lambda *given: found.append(given[3]), arguments={"x-stream-offset": "first"})
        deadline = time.monotonic() + SOON
        while not found and time.monotonic() < deadline:
            channel.connection.process_data_events(0.1)
        assert found, f"nothing came from {queue}"

    return raw(act)


def look_up(place: Place, app: App) -> None:
    assert app.AsyncResult(place.result).get(SOON) == "noted"


def follow_live(place: Place, channel: BlockingChannel) -> None:
    queue = f"amqptasks.events.{uuid.uuid4().hex}"
    channel.queue_declare(queue, exclusive=True)
    channel.queue_bind(queue, "amqptasks.events", "#")


def declare_queue(name: str) -> Way:
    arguments = {"x-queue-type": "classic"}
    return raw(lambda place, channel: channel.queue_declare(name, durable=True, arguments=arguments) and None)


def bind(place: Place, channel: BlockingChannel) -> None:
    channel.queue_bind("parked", "tasks", "order.more")
    channel.queue_unbind("parked", "tasks", "order.more")


def write(exchange: str, key: str = "") -> Way:
    """A record, through the exchange of its stream."""
    return raw(lambda place, channel: publish(channel, exchange, key, b"{}"))


def lead(place: Place, channel: BlockingChannel) -> None:
    channel.queue_declare("amqptasks.beat.lock", exclusive=True)


def manage(place: Place, role: str) -> None:
    looking = Management(place.url(role), place.vhost.management._base.removesuffix("/api"), place.vhost.name)
    try:
        found = looking.request("GET", "queues", place.vhost.name)
    except RuntimeError as error:
        raise Refused(str(error)) from None
    assert "orders" in {queue["name"] for queue in found}
