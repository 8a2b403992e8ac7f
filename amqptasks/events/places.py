"""Where events go on the broker."""

from __future__ import annotations

from amqptasks.streams import Stream
from amqptasks.transport import Session
from amqptasks.transport.entities import Exchange

#: A topic exchange: `task.succeeded`, `worker.online`, and `task.multi` for several at once, as Celery names them.
#: Only workers may write to it, so everything that comes through it is an event.
EXCHANGE = Exchange("amqptasks.events", "topic")

#: All of them, for a week, and 1 GB at most: some three million events.
STREAM = Stream("amqptasks.events", "7D", 1_000_000_000, 50_000_000, "event")


def prepare(session: Session, *, has_streams: bool) -> None:
    """Make sure that they are there. Raises `BrokerError`, `AccessRefused` without the right to make them."""
    session.declare_exchange(EXCHANGE)
    if has_streams:
        STREAM.prepare(session, EXCHANGE)
