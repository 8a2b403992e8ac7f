"""Acts with tasks: to publish, link, delay and answer them."""

from __future__ import annotations

import pika
from pika.adapters.blocking_connection import BlockingChannel

from amqptasks import App
from tests.harness.roles.place import SHORTLY, SOON, Place, Refused, new_word
from tests.harness.roles.ways import Way, publish, raw, refused_without, task
from tests.harness.wait import wait_for

#: Where a task may be published: through a route, by name, and to the queue itself.
DOORS = (("tasks", "order.new"), ("amqptasks.queues", "orders"), ("", "orders"))


def publish_by(exchange: str, key: str) -> Way:
    def act(place: Place, channel: BlockingChannel) -> None:
        word = new_word()
        task(channel, exchange, key, word)
        place.wait_ran(word)

    return raw(act)


def call(place: Place, app: App) -> None:
    assert app.send_task("shop.note", (new_word(),), queue="orders").get(SOON) == "noted"


def publish_to_another_program(exchange: str, key: str) -> Way:
    def act(place: Place, channel: BlockingChannel) -> None:
        word = new_word()
        publish(channel, exchange, key, word.encode(), {"x-amqptasks-to": "", "x-amqptasks-d00": True})
        with place.admin() as admin, refused_without("it is there"):
            looking = admin.channel()
            wait_for(lambda: looking.basic_get("foreign", auto_ack=True)[2], SHORTLY, "it is there")

    return raw(act)


def link(exchange: str, key: str) -> Way:
    def act(place: Place, channel: BlockingChannel) -> None:
        first, second = new_word(), new_word()
        follower = {
            "task": "shop.note", "args": [second], "kwargs": {}, "immutable": True, "options": {"queue": "default"},
        }  # fmt: skip
        task(channel, exchange, key, first, callbacks=[follower], errbacks=None, chain=None, chord=None)
        place.wait_ran(second)

    return raw(act)


def reply(place: Place, channel: BlockingChannel) -> None:
    """To somebody else, whose address it has learnt."""
    with place.admin() as admin:
        caller, looking = admin.channel(), admin.channel()
        heard: list[bytes] = []
        caller.basic_consume("amq.rabbitmq.reply-to", lambda *given: heard.append(given[3]), auto_ack=True)
        looking.queue_purge("parked")
        caller.basic_publish("amqptasks.queues", "parked", b"?", pika.BasicProperties(reply_to="amq.rabbitmq.reply-to"))
        address = wait_for(lambda: looking.basic_get("parked", auto_ack=True)[1], SOON, "the question").reply_to
        channel.basic_publish("", address, b"forged")
        admin.process_data_events(1)
        if heard != [b"forged"]:
            raise Refused(f"the caller heard {heard}")


def delay(place: Place, app: App) -> None:
    word = new_word()
    app.send_task("shop.note", (word,), queue="orders", countdown=0.1)
    place.wait_ran(word)


def enter_a_rung(rung: str) -> Way:
    def act(place: Place, channel: BlockingChannel) -> None:
        word = new_word()
        headers = {"task": "shop.note", "id": word, "x-amqptasks-to": "amqptasks.queues", f"x-amqptasks-d{rung}": True}
        publish(channel, f"amqptasks.delay.{rung}", "orders", [[word], {}, {}], headers)
        place.wait_ran(word)

    return raw(act)
