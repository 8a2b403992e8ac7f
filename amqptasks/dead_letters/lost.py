"""Sends on what lies in `amqptasks.delay.lost`: delayed messages that found no queue when they were due."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from amqptasks.dead_letters.home import Home, meant_for, takes_tasks
from amqptasks.errors import Nacked, PublishRejected, Unroutable
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.own_headers import TO, carried
from amqptasks.messages.properties import PERSISTENT
from amqptasks.topology.delays import CLOCK, LOST
from amqptasks.transport import Session

#: Messages that are held at once. Those whose target is still missing stay held until the end, and go back then.
HELD = 1000


@dataclass(slots=True)
class SentOn:
    """How many messages went where, and where those were for that stay."""

    sent: Counter[str] = field(default_factory=Counter)
    stay: Counter[str] = field(default_factory=Counter)


def send_on(session: Session) -> SentOn:
    """Publish each message once more to the exchange that it was for, confirmed, and then take it out. A message whose
    target is still missing, or full, stays; a thousand of them at the head of the queue go to its end, so that they
    hide nothing. Raises `BrokerError`."""
    done = SentOn()
    while True:
        progress, held = _round(session, done)
        if len(held) < HELD and not progress:
            session.give_back()
            return done
        if len(held) >= HELD and not progress:
            _to_the_end(session, held)
            session.give_back()
            return done
        session.give_back()
        done.stay.clear()


def _round(session: Session, done: SentOn) -> tuple[bool, list[Delivery]]:
    """Whether anything was sent, and what was not."""
    progress, held, gone = False, [], set[Home]()
    for delivery in session.take(LOST, HELD):
        if (delivery.properties.headers or {}).get(TO) == CLOCK:  # whoever asked for the time has gone
            session.ack(delivery)
            continue
        home = meant_for(delivery)
        if home is None or home in gone or not _sent(session, delivery, home):
            if home is not None:
                gone.add(home)
            held.append(delivery)
            done.stay[str(home or "nobody knows where")] += 1
            continue
        done.sent[str(home)] += 1
        progress = True
    return progress, held


def _sent(session: Session, delivery: Delivery, home: Home) -> bool:
    if not takes_tasks(session, home.exchange):
        return False
    try:
        session.publish(_outgoing(delivery, home))
    except (Unroutable, Nacked, PublishRejected):
        return False
    session.ack(delivery)
    return True


def _outgoing(delivery: Delivery, home: Home) -> Outgoing:
    """It has waited: the header that says so stays, whatever the clock of the worker says that gets it."""
    given = delivery.properties
    headers = carried(given.headers or {}, "back") | {TO: home.exchange}
    properties = replace(given, headers=headers, expiration=None, user_id=None, delivery_mode=PERSISTENT)
    return Outgoing(home.exchange, home.routing_key, delivery.body, properties)


def _to_the_end(session: Session, held: list[Delivery]) -> None:
    for delivery in held:
        headers = dict(delivery.properties.headers or {})
        headers.pop("x-death", None)
        properties = replace(delivery.properties, headers=headers, user_id=None)
        session.publish(Outgoing(LOST, delivery.routing_key, delivery.body, properties))
        session.ack(delivery)
