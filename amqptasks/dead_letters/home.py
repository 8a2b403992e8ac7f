"""Where a letter goes back to."""

from __future__ import annotations

from dataclasses import dataclass

from amqptasks.errors import AccessRefused
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.outgoing import QUEUES_EXCHANGE
from amqptasks.messages.own_headers import TO
from amqptasks.topology.delays import LOST, due
from amqptasks.topology.topology import DEAD
from amqptasks.transport import Session


@dataclass(frozen=True, slots=True)
class Home:
    """What to publish to; `str()` of it is for people: a queue's name, or an exchange with the routing key."""

    exchange: str
    routing_key: str

    def __str__(self) -> str:
        if self.exchange == QUEUES_EXCHANGE:
            return self.routing_key
        return f"exchange {self.exchange} with routing key {self.routing_key!r}"


def of_queue(name: str) -> Home:
    return Home(QUEUES_EXCHANGE, name)


def is_lost(delivery: Delivery) -> bool:
    """Whether this is no dead letter, but a delayed message whose target was gone when it was due."""
    return delivery.queue == LOST


def meant_for(delivery: Delivery) -> Home | None:
    """Where a delayed message was to go: the ladder leaves its routing key as it was. None where nothing says so, and
    where the header names an exchange to which no task is ever sent: it is forged. Through an exchange of our own, the
    one of control for example, a message would be a command."""
    exchange = (delivery.properties.headers or {}).get(TO)
    if not isinstance(exchange, str) or not exchange:
        return None
    if exchange != QUEUES_EXCHANGE and exchange.startswith(("amqptasks.", "amq.")):
        return None
    return Home(exchange, delivery.routing_key)


def takes_tasks(session: Session, exchange: str) -> bool:
    """Whether delayed tasks are for this exchange: then it has a twin. The header that names it was written by whoever
    published the message, who may not write to every exchange that the user of `session` may write to. Where that user
    may not even look (RabbitMQ 4.3), its own rights say where a message can go."""
    try:
        return exchange == QUEUES_EXCHANGE or session.exchange_exists(due(exchange))
    except AccessRefused:
        return True


def home(came_from: str | None, delivery: Delivery) -> Home | None:
    """Of a letter that came from the queue `came_from`; None where nothing says where it came from."""
    if is_lost(delivery):
        return meant_for(delivery)
    if came_from is not None:
        return of_queue(came_from)
    work = delivery.queue.removesuffix(DEAD)
    return of_queue(work) if work != delivery.queue else None
