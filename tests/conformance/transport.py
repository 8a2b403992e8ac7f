"""One transport under test, with the few verbs that the tests of this folder speak."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from amqptasks.messages.delivery import Delivery, Lease
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.transport import Link, Session, Subscription
from amqptasks.transport.capabilities import Capabilities
from amqptasks.transport.entities import Binding, Exchange, Queue
from tests.harness.wait import wait_for

Value = TypeVar("Value")

#: Seconds for anything that is to happen soon.
SOON = 10.0

#: Seconds in which a message that must not come would have come: only after something else has proven the broker awake.
MOMENT = 0.3


class Inbox:
    """A listener that keeps what it hears, for the test's thread."""

    def __init__(self) -> None:
        self.subscription: Subscription
        self.batches: list[int] = []
        self._arrived: queue.Queue[Delivery] = queue.Queue()
        self.started: queue.Queue[Lease] = queue.Queue()
        self.lost_leases: queue.Queue[Lease] = queue.Queue()
        self.refusals: queue.Queue[str] = queue.Queue()

    def deliveries(self, batch: list[Delivery]) -> None:
        self.batches.append(len(batch))
        for delivery in batch:
            self._arrived.put(delivery)

    def consuming(self, lease: Lease) -> None:
        self.started.put(lease)

    def lost(self, lease: Lease, reason: str) -> None:
        self.lost_leases.put(lease)

    def unavailable(self, queue: str, reason: str) -> None:
        self.refusals.put(queue)

    def take(self, count: int) -> list[Delivery]:
        """The next `count` deliveries; fails when they do not come."""
        return [self._arrived.get(timeout=SOON) for _ in range(count)]

    def next(self) -> Delivery:
        return self.take(1)[0]

    @property
    def is_empty(self) -> bool:
        """Nothing is here now, and nothing comes within a moment."""
        try:
            unexpected = self._arrived.get(timeout=MOMENT)
        except queue.Empty:
            return True
        raise AssertionError(f"not expected: {unexpected.body!r}")


@dataclass
class Transport:
    """`new_link` makes a started link; `break_connections` cuts the connections of all links."""

    session: Session
    new_link: Callable[[], Link]
    break_connections: Callable[[], None]
    is_memory: bool
    _names: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.link = self.new_link()

    @property
    def capabilities(self) -> Capabilities:
        return self.session.capabilities

    # -- objects

    def queue(self, name: str | None = None, type: str = "quorum", **arguments: object) -> str:
        """Declare; its name. `x_` and `_` of the keywords become `x-` and `-`."""
        name = name or f"queue-{next(self._names)}"
        named = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
        self.session.declare_queue(Queue(name, arguments={"x-queue-type": type, **named}))
        return name

    def bound_queue(self, exchange: str, routing_key: str = "", **arguments: object) -> str:
        name = self.queue()
        self.bind(exchange, name, routing_key, **arguments)
        return name

    def exchange(self, type: str, alternate: str | None = None, name: str | None = None) -> str:
        name = name or f"exchange-{next(self._names)}"
        arguments = {"alternate-exchange": alternate} if alternate else {}
        self.session.declare_exchange(Exchange(name, type, arguments=arguments))
        return name

    def bind(self, exchange: str, queue: str, routing_key: str = "", **arguments: object) -> None:
        named = {name.replace("_", "-"): value for name, value in arguments.items()}
        self.session.bind(Binding(exchange, queue, routing_key, arguments=named))

    def bind_exchange(self, source: str, destination: str, routing_key: str = "") -> None:
        self.session.bind(Binding(source, destination, routing_key, "exchange"))

    def ready(self, queue: str) -> int:
        state = self.session.queue_state(queue)
        assert state is not None, f"queue {queue} is gone"
        return state.messages

    def wait_until_ready(self, queue: str, count: int) -> None:
        wait_for(lambda: self.ready(queue) == count, SOON, lambda: f"{count} ready in {queue}, not {self.ready(queue)}")

    # -- messages, through the link

    def on_link(self, call: Callable[[], Value], link: Link | None = None) -> Value:
        """Run on the link's thread; its value, or its exception, here."""
        outcomes: queue.Queue[tuple[Value | None, BaseException | None]] = queue.Queue()

        def run() -> None:
            try:
                outcomes.put((call(), None))
            except BaseException as error:
                outcomes.put((None, error))

        (link or self.link).call_soon(run)
        value, error = outcomes.get(timeout=SOON)
        if error is not None:
            raise error
        return value  # type: ignore[return-value]

    def publish(
        self,
        to: str,
        body: str = "",
        routing_key: str = "",
        mandatory: bool = True,
        link: Link | None = None,
        **properties: object,
    ) -> None:
        """To an exchange; waits for the confirm, raises what the link reports."""
        outcomes: queue.Queue[BaseException | None] = queue.Queue()
        message = Outgoing(to, routing_key, body.encode(), Properties(**properties), mandatory)  # type: ignore[arg-type]
        link = link or self.link
        link.call_soon(lambda: link.publish(message, outcomes.put, SOON))
        error = outcomes.get(timeout=2 * SOON)
        if error is not None:
            raise error

    def send(self, queue: str, *bodies: str, **properties: object) -> None:
        """To a queue, through the default exchange, one after the other."""
        for body in bodies:
            self.publish("", body, routing_key=queue, **properties)  # type: ignore[arg-type]

    def subscribe(self, queue: str, prefetch: int = 10, link: Link | None = None, wait: bool = True) -> Inbox:
        """Consume; once the broker has confirmed it, unless not `wait`."""
        inbox = Inbox()
        link = link or self.link
        inbox.subscription = self.on_link(lambda: link.subscribe(queue, prefetch, inbox), link)
        if wait:
            inbox.started.get(timeout=SOON)
        return inbox

    def ack(self, *deliveries: Delivery) -> None:
        self.on_link(lambda: [delivery.lease.ack(delivery.tag) for delivery in deliveries])

    def nack(self, *deliveries: Delivery) -> None:
        self.on_link(lambda: [delivery.lease.nack(delivery.tag) for delivery in deliveries])

    def reject(self, *deliveries: Delivery) -> None:
        self.on_link(lambda: [delivery.lease.reject(delivery.tag) for delivery in deliveries])

    # -- messages, through the session

    def drain(self, queue: str) -> list[Delivery]:
        """Take all ready messages out of the queue."""
        taken = []
        for delivery in self.session.take(queue, 100):
            self.session.ack(delivery)
            taken.append(delivery)
        return taken

    def bodies(self, queue: str) -> list[str]:
        return texts(self.drain(queue))

    def receive(self, queue: str, count: int = 1) -> list[Delivery]:
        """Wait for `count` ready messages and take them."""
        wait_for(lambda: self.ready(queue) >= count, SOON, lambda: f"{count} ready in {queue}, not {self.ready(queue)}")
        return self.drain(queue)


def texts(deliveries: Iterable[Delivery]) -> list[str]:
    return [delivery.body.decode() for delivery in deliveries]


def headers(delivery: Delivery) -> dict[str, object]:
    return delivery.properties.headers or {}


def deaths(delivery: Delivery) -> list[tuple[object, object, object]]:
    """Queue, reason and count of each `x-death` record, the newest first."""
    found = headers(delivery).get("x-death", [])
    assert isinstance(found, list)
    return [(death["queue"], death["reason"], death["count"]) for death in found]


def stopped(links: Iterable[Link]) -> None:
    """Stop them side by side, and see that their threads end."""
    threads = [threading.Thread(target=link.stop, args=(SOON,)) for link in links]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * SOON)
