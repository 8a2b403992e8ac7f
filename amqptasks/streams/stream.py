"""A stream as we declare and write it.

https://www.rabbitmq.com/docs/streams
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import dataclass

from amqptasks.errors import AccessRefused, DeclarationConflict
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.outgoing import QUEUES_EXCHANGE, Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.transport import Session
from amqptasks.transport.entities import Binding, Exchange, Queue


@dataclass(frozen=True, slots=True)
class Stream:
    """`max_age` is in RabbitMQ's words (`12h`, `30D`), `max_bytes` bounds the whole, `segment_bytes` one of its files:
    retention drops whole files only. `kind` is what its records are; they come through an exchange of that name."""

    name: str
    max_age: str
    max_bytes: int
    segment_bytes: int
    kind: str

    @property
    def queue(self) -> Queue:
        arguments: dict[str, object] = {
            "x-queue-type": "stream",
            "x-max-age": self.max_age,
            "x-max-length-bytes": self.max_bytes,
            "x-stream-max-segment-size-bytes": self.segment_bytes,
        }
        return Queue(self.name, arguments=arguments)

    @property
    def exchange(self) -> Exchange:
        """The exchange that records of this kind come through. Only workers and operators may write to it:
        `amqptasks.queues`, which publishers write to, leads to no stream of ours."""
        return Exchange(f"{self.name}.{self.kind}", "fanout")

    def message(self, body: bytes) -> Outgoing:
        """What to publish for `body` to be at the end of the stream. Its message id is unique: readers know a record
        again by it."""
        properties = Properties(content_type="application/json", message_id=uuid.uuid4().hex)
        return Outgoing(self.exchange.name, "", body, properties)

    def is_own(self, delivery: Delivery) -> bool:
        """Whether a record came through the exchange of its kind. The broker names that exchange, so nobody without
        the right to write there can forge it."""
        return delivery.exchange == self.exchange.name

    @property
    def retired(self) -> Binding:
        """How records came before the stream had an exchange: anybody who may publish tasks could write them."""
        return Binding(QUEUES_EXCHANGE, self.name, self.name)

    def prepare(self, session: Session, exchange: Exchange | None = None) -> None:
        """Make sure that the stream is there, bound to its exchange (or `exchange`, a topic), and out of reach of
        `amqptasks.queues`. A stream that somebody declared with other bounds is taken as it is. Raises `AccessRefused`
        where it is missing and this user may not make it."""
        source = exchange or self.exchange
        try:
            if not session.exchange_exists(source.name):  # a client may have no right to make it
                session.declare_exchange(source)
            with suppress(DeclarationConflict):
                session.declare_queue(self.queue)
            session.bind(Binding(source.name, self.name, "#" if source.type == "topic" else ""))
        except AccessRefused:
            if session.queue_state(self.name) is None:
                raise
            return
        with suppress(AccessRefused):  # `amqptasks declare` does it with more rights
            if session.exchange_exists(QUEUES_EXCHANGE):
                session.unbind(self.retired)
