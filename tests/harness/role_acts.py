"""What somebody may try with the password of a role: each act in all the ways that are known, with raw AMQP where our
own tools would not let them.

A way returns once its effect was seen. It raises `Refused` where the broker refuses, or where nothing came of it.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pika
from pika import exceptions
from pika.adapters.blocking_connection import BlockingChannel

from amqptasks import App
from amqptasks.errors import AccessRefused, BrokerError, StoreUnavailable
from amqptasks.worker.node import Node
from tests.harness.management import Management
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for

#: Seconds for an effect that is expected.
SOON = 15.0

#: Seconds for an effect of what the broker took. Others of the same kind come within some milliseconds.
SHORTLY = 1.0

#: How a RabbitMQ tells of a missing right: 403, on a channel or for a connection.
FORBIDDEN = 403


class Refused(Exception):
    """The broker refused, or nothing came of it."""


@dataclass
class Place:
    """A virtual host with the topology of `shop.yaml`, its users, and a worker that runs `default` and `orders`.
    `ran` has what its tasks were called with, `result` is the id of a task whose result is stored."""

    vhost: Vhost
    folder: Path
    app: App
    ran: list[str] = field(default_factory=list)
    result: str = ""

    def url(self, role: str) -> str:
        return self.vhost.url.replace("guest:guest", f"{self.vhost.name}-{role}:hunter2")

    def as_role(self, role: str, **options: Any) -> App:
        return App("shop", self.url(role), topology=str(self.folder / "shop.yaml"), **options)

    def admin(self) -> pika.BlockingConnection:
        return pika.BlockingConnection(pika.URLParameters(self.vhost.url))

    def wait_ran(self, word: str) -> None:
        wait_for(lambda: word in self.ran, SOON, lambda: f"{word} runs: {self.ran}")


Way = Callable[[Place, str], None]

#: The result store of the workers.
RESULTS = "stream://?partitions=1"


def raw(act: Callable[[Place, BlockingChannel], None]) -> Way:
    """An act on a channel of the role's, as an outsider with pika does it."""

    def way(place: Place, role: str) -> None:
        try:
            with pika.BlockingConnection(pika.URLParameters(place.url(role))) as connection:
                channel = connection.channel()
                channel.confirm_delivery()
                act(place, channel)
        except (exceptions.ChannelClosedByBroker, exceptions.ConnectionClosedByBroker) as error:
            if error.reply_code != FORBIDDEN:
                raise
            raise Refused(str(error)) from None
        except (exceptions.UnroutableError, exceptions.NackError) as error:
            raise Refused(f"nobody took it: {error!r}") from None

    return way


def with_app(act: Callable[[Place, App], None], **options: Any) -> Way:
    """An act with our own library; `options` are those of the app."""

    def way(place: Place, role: str) -> None:
        with closing(place.as_role(role, **options)) as app:
            try:
                act(place, app)
            except (BrokerError, StoreUnavailable) as error:
                if not (isinstance(error, AccessRefused) or "403" in str(error) or "refused" in str(error).lower()):
                    raise
                raise Refused(str(error)) from None

    return way


def publish(
    channel: BlockingChannel, exchange: str, key: str, body: object, headers: dict[str, Any] | None = None, **more: Any
) -> None:
    properties = pika.BasicProperties("application/json", "utf-8", headers, delivery_mode=2, **more)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    channel.basic_publish(exchange, key, data, properties, mandatory=True)


def task(channel: BlockingChannel, exchange: str, key: str, word: str, **embed: Any) -> None:
    """A task `shop.note` as a stranger writes it."""
    headers = {"task": "shop.note", "id": uuid.uuid4().hex}
    publish(channel, exchange, key, [[word], {}, embed], headers)


@contextmanager
def refused_without(effect: str) -> Iterator[None]:
    """What the broker took, and had no effect, is as good as refused."""
    try:
        yield
    except AssertionError:
        raise Refused(f"the broker took it, but not so that {effect}") from None


def new_word() -> str:
    return uuid.uuid4().hex


#: Where a task may be published: through a route, by name, and to the queue itself.
_DOORS = (("tasks", "order.new"), ("amqptasks.queues", "orders"), ("", "orders"))


def _publish_by(exchange: str, key: str) -> Way:
    def act(place: Place, channel: BlockingChannel) -> None:
        word = new_word()
        task(channel, exchange, key, word)
        place.wait_ran(word)

    return raw(act)


def _call(place: Place, app: App) -> None:
    assert app.send_task("shop.note", (new_word(),), queue="orders").get(SOON) == "noted"


def _publish_to_another_program(exchange: str, key: str) -> Way:
    def act(place: Place, channel: BlockingChannel) -> None:
        word = new_word()
        publish(channel, exchange, key, word.encode(), {"x-amqptasks-to": "", "x-amqptasks-d00": True})
        with place.admin() as admin, refused_without("it is there"):
            looking = admin.channel()
            wait_for(lambda: looking.basic_get("foreign", auto_ack=True)[2], SHORTLY, "it is there")

    return raw(act)


def _park(place: Place, queue: str = "parked", headers: dict[str, Any] | None = None, body: object = b"secret") -> None:
    """A message for somebody to find."""
    with place.admin() as admin:
        channel = admin.channel()
        channel.confirm_delivery()
        channel.queue_purge(queue)
        publish(channel, "amqptasks.queues", queue, body, headers)


def _take(queue: str) -> Way:
    def act(place: Place, channel: BlockingChannel) -> None:
        _park(place, queue)
        found = wait_for(lambda: channel.basic_get(queue, auto_ack=True)[2], SOON, "the message is there")
        assert found == b"secret"

    return raw(act)


def _consume(place: Place, channel: BlockingChannel) -> None:
    _park(place)
    _, _, body = next(channel.consume("parked", inactivity_timeout=SOON))
    assert body == b"secret"


def _delay_one(place: Place) -> None:
    """A message that waits for half a minute, on a rung for itself."""
    with place.admin() as admin:
        channel = admin.channel()
        channel.confirm_delivery()
        channel.queue_purge("amqptasks.delay.10")
        publish(channel, "amqptasks.delay.10", "parked", b"secret", {"x-amqptasks-d10": True})


def _take_delayed(place: Place, channel: BlockingChannel) -> None:
    _delay_one(place)
    assert wait_for(lambda: channel.basic_get("amqptasks.delay.10", auto_ack=True)[2], SOON) == b"secret"


def _purge_delayed(place: Place, channel: BlockingChannel) -> None:
    _delay_one(place)
    wait_for(lambda: channel.queue_purge("amqptasks.delay.10").method.message_count, SOON)


def _copy_delayed(place: Place, channel: BlockingChannel) -> None:
    """By a queue of its own behind a rung's exchange: of a name that some role may declare."""
    queue = f"amqptasks.events.{uuid.uuid4().hex}"
    channel.queue_declare(queue, exclusive=True)
    channel.queue_bind(queue, "amqptasks.delay.10", "", {"x-match": "all"})
    _delay_one(place)
    assert wait_for(lambda: channel.basic_get(queue, auto_ack=True)[2], SOON) == b"secret"


def _link(exchange: str, key: str) -> Way:
    def act(place: Place, channel: BlockingChannel) -> None:
        first, second = new_word(), new_word()
        follower = {
            "task": "shop.note", "args": [second], "kwargs": {}, "immutable": True, "options": {"queue": "default"},
        }  # fmt: skip
        task(channel, exchange, key, first, callbacks=[follower], errbacks=None, chain=None, chord=None)
        place.wait_ran(second)

    return raw(act)


def _reply(place: Place, channel: BlockingChannel) -> None:
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


def _delay(place: Place, app: App) -> None:
    word = new_word()
    app.send_task("shop.note", (word,), queue="orders", countdown=0.1)
    place.wait_ran(word)


def _enter_a_rung(rung: str) -> Way:
    def act(place: Place, channel: BlockingChannel) -> None:
        word = new_word()
        headers = {"task": "shop.note", "id": word, "x-amqptasks-to": "amqptasks.queues", f"x-amqptasks-d{rung}": True}
        publish(channel, f"amqptasks.delay.{rung}", "orders", [[word], {}, {}], headers)
        place.wait_ran(word)

    return raw(act)


def _is_revoked(place: Place, identity: str) -> bool:
    return any(identity in known.ids for known in place.app.control.revoked().values())


def _revoke(place: Place, app: App) -> None:
    identity = new_word()
    app.control.revoke(identity, timeout=1)
    wait_for(lambda: _is_revoked(place, identity), SOON, "it is revoked")


def _revoke_by(exchange: str, key: str, *, bind_first: bool = False) -> Way:
    """By a record, or by a command, that our own tools would not send."""

    def act(place: Place, channel: BlockingChannel) -> None:
        identity = new_word()
        if bind_first:
            channel.queue_bind("amqptasks.revoked", exchange, key)
        revocation = {"revoke": {"ids": [identity]}, "at": time.time()}
        command = {"command": "revoke", "arguments": {"revocation": revocation}}
        try:
            publish(channel, exchange, key, command if exchange == "amqptasks.control" else revocation)
        finally:
            if bind_first:
                with place.admin() as admin:
                    admin.channel().queue_unbind("amqptasks.revoked", exchange, key)
        with refused_without("a worker believes it"):
            wait_for(lambda: _is_revoked(place, identity), SHORTLY, "it is revoked")

    return raw(act)


def _rate_limit(place: Place, app: App) -> None:
    if not app.control.rate_limit("shop.note", "1000/s", timeout=1):
        raise Refused("no worker obeyed")


def _command(command: str, **arguments: Any) -> Way:
    def act(place: Place, channel: BlockingChannel) -> None:
        publish(channel, "amqptasks.control", "", {"command": command, "arguments": arguments})

    return raw(act)


def _shutdown(place: Place, app: App) -> None:
    app.control.shutdown("nobody-is-called-so", timeout=0.05)  # refused at once, where it is
    with closing(place.as_role("worker")) as theirs:
        victim = Node(theirs, ["parked"], concurrency=1, name="victim")
        victim.start()
        try:
            app.control.shutdown("victim", timeout=1)
            if not victim.wait(SOON):
                raise Refused("it goes on")
        finally:
            victim.stop()
            victim.wait(SOON)


def _read_stream(queue: str) -> Way:
    def act(place: Place, channel: BlockingChannel) -> None:
        found: list[bytes] = []
        channel.basic_qos(prefetch_count=1)  # pika rejects what is left over, and a stream refuses that
        channel.basic_consume(queue, lambda *given: found.append(given[3]), arguments={"x-stream-offset": "first"})
        deadline = time.monotonic() + SOON
        while not found and time.monotonic() < deadline:
            channel.connection.process_data_events(0.1)
        assert found, f"nothing came from {queue}"

    return raw(act)


def _look_up(place: Place, app: App) -> None:
    assert app.AsyncResult(place.result).get(SOON) == "noted"


def _active(place: Place, app: App) -> None:
    """Asks workers for the arguments of what runs."""
    app.send_task("shop.nap", ("secret",), queue="orders")
    told = app.control.active(timeout=1)
    if not any("secret" in str(running) for tasks in told.values() for running in tasks):
        raise Refused("no worker shows arguments")


def _replay(place: Place, channel: BlockingChannel) -> None:
    word = new_word()
    _park(place, "orders.dead", {"task": "shop.note", "id": word}, [[word], {}, {}])
    method = wait_for(lambda: channel.basic_get("orders.dead")[0], SOON, "the letter is there")
    task(channel, "amqptasks.queues", "orders", word)
    channel.basic_ack(method.delivery_tag)
    place.wait_ran(word)


def _follow_live(place: Place, channel: BlockingChannel) -> None:
    queue = f"amqptasks.events.{uuid.uuid4().hex}"
    channel.queue_declare(queue, exclusive=True)
    channel.queue_bind(queue, "amqptasks.events", "#")


def _declare_queue(name: str) -> Way:
    arguments = {"x-queue-type": "classic"}
    return raw(lambda place, channel: channel.queue_declare(name, durable=True, arguments=arguments) and None)


def _bind(place: Place, channel: BlockingChannel) -> None:
    channel.queue_bind("parked", "tasks", "order.more")
    channel.queue_unbind("parked", "tasks", "order.more")


def _write(exchange: str, key: str = "") -> Way:
    """A record, through the exchange of its stream."""
    return raw(lambda place, channel: publish(channel, exchange, key, b"{}"))


def _lead(place: Place, channel: BlockingChannel) -> None:
    channel.queue_declare("amqptasks.beat.lock", exclusive=True)


def _manage(place: Place, role: str) -> None:
    looking = Management(place.url(role), place.vhost.management._base.removesuffix("/api"), place.vhost.name)
    try:
        found = looking.request("GET", "queues", place.vhost.name)
    except RuntimeError as error:
        raise Refused(str(error)) from None
    assert "orders" in {queue["name"] for queue in found}


#: By the first column of the table in docs/security.md. Where a cell says yes, one of the ways has its effect; where it
#: says no, none has.
ACTS: dict[str, list[Way]] = {
    "publish a task": [with_app(_call), *(_publish_by(*door) for door in _DOORS)],
    "publish to a queue of another program": [
        _publish_to_another_program("", "foreign"),
        _publish_to_another_program("amqptasks.queues", "foreign"),
        _publish_to_another_program("foreign", ""),
        _publish_to_another_program("amqptasks.delay.00", "foreign"),
    ],
    "consume tasks": [raw(_consume), _take("parked"), raw(_take_delayed), raw(_purge_delayed)],
    "link a task of another queue": [_link(*door) for door in _DOORS],
    "reply to a caller": [raw(_reply)],
    "delay a task": [with_app(_delay), _enter_a_rung("01"), _enter_a_rung("02")],
    "revoke tasks": [
        with_app(_revoke),
        _revoke_by("amqptasks.control", ""),
        _revoke_by("amqptasks.revoked.revocation", ""),
        _revoke_by("amqptasks.queues", "amqptasks.revoked"),
        _revoke_by("", "amqptasks.revoked"),
        _revoke_by("amqptasks.queues", "amqptasks.revoked", bind_first=True),
    ],
    "change a rate limit": [with_app(_rate_limit), _command("rate_limit", task="shop.note", rate="1000/s")],
    "shut workers down": [with_app(_shutdown), _command("shutdown")],
    "look up a result by its id": [with_app(_look_up, backend=RESULTS)],
    "read results of others": [_read_stream("amqptasks.results.01.00")],
    "write results": [_write("amqptasks.results", "01.00")],
    "read arguments": [_take("parked"), _take("orders.dead"), with_app(_active), raw(_copy_delayed)],
    "replay dead letters": [raw(_replay)],
    "follow events": [_read_stream("amqptasks.events"), raw(_follow_live)],
    "declare queues and exchanges": [raw(_bind), _declare_queue("parked")],
    "write the stream of revocations": [_write("amqptasks.revoked.revocation")],
    "write the stream of workers": [_write("amqptasks.nodes.announcement")],
    "write the stream of events": [_write("amqptasks.events", "task.sent")],
    "lead the schedules": [raw(_lead)],
    "look through the management API": [_manage],
}
