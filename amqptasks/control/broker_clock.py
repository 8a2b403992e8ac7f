"""Asks the broker what time it is, over AMQP alone: a message through the lowest rung of the delay ladder comes back
with `x-death`, in which RabbitMQ notes when it left the rung. That is a second fine, and takes some 40 ms.

A broker with the interceptor `set_header_timestamp` writes `timestamp_in_ms` into each message that it gets.
https://www.rabbitmq.com/docs/message-interceptors
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from datetime import datetime

from amqptasks.errors import BrokerError
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.own_headers import ENTERED, TO
from amqptasks.messages.properties import Properties
from amqptasks.runtime.clock import broker_time, monotonic
from amqptasks.runtime.clock.broker_time import TOLD_FROM, WRONG_FROM, Measured
from amqptasks.runtime.log_queue import get_logger
from amqptasks.topology.delays import CLOCK, TICK, bit, entered_at, rung
from amqptasks.transport import Session
from amqptasks.transport.entities import Binding, Queue

logger = get_logger(__name__)

#: What the names of the queues begin with in which the answer comes.
PREFIX = CLOCK

#: Seconds to wait for the answer: a busy broker takes a multiple of the 32 ms.
WITHIN = 2.0

#: Seconds of uncertainty from which on it is worth asking once more, where the clocks differ: an answer that was read
#: late says little, and a prompt one leaves one second.
VAGUE = 1.3

#: Seconds of uncertainty that are good enough, and questions to come there: each halves it at best.
EXACT, MOST_QUESTIONS = 0.1, 6

#: Seconds from a question to the moment at which its message leaves the rung, on an idle broker.
TRIP = 0.036

#: Seconds after which a worker asks again: a clock without a time server drifts by some seconds a day.
EVERY = 3600.0


class _Told:
    """What was said last: a difference is told once, until it changes."""

    ahead: float | None = None

    @classmethod
    def is_news(cls, ahead: float) -> bool:
        known, cls.ahead = cls.ahead, ahead
        return known is None or abs(known - ahead) >= TOLD_FROM


class Asked:
    """A question that is under way; `answer` waits for its answer. Use it within the life of its session."""

    def __init__(self, session: Session) -> None:
        """Ask. Raises `BrokerError` where the ladder is not there, or this user may not enter it."""
        self._session = session
        self._queue = f"{PREFIX}.{uuid.uuid4().hex}"
        queue = Queue(self._queue, durable=False, exclusive=True, auto_delete=True)
        session.declare_queue(queue)
        session.bind(Binding(CLOCK, self._queue, self._queue))
        self._before = broker_time.wall()
        headers: dict[str, object] = {bit(0): True, TO: CLOCK, ENTERED: entered_at(0)}
        session.publish(Outgoing(rung(0), self._queue, b"", Properties(headers=headers)))
        self._published = broker_time.wall()

    def again(self) -> Asked:
        """The same question once more."""
        return Asked(self._session)

    def answer(self) -> Measured | None:
        """None where no answer came in time."""
        deadline = monotonic() + WITHIN
        while monotonic() < deadline:
            delivery = next(self._session.take(self._queue, 1), None)
            if delivery is not None:
                after = broker_time.wall()
                self._session.ack(delivery)
                return self._measured(delivery, after)
        return None

    def _measured(self, delivery: Delivery, after: float) -> Measured | None:
        headers = delivery.properties.headers or {}
        received = headers.get("timestamp_in_ms")
        if type(received) is int and 0 < received < 2**43:
            moment = received / 1000
            return broker_time.measure(moment - self._published, moment + 0.001 - self._before)
        left = _left_at(headers)
        if left is None:
            return None
        # It left the rung between these two moments of ours, and in this second of the broker's.
        return broker_time.measure(left - after, left + 1 - (self._before + TICK / 1000))


def ask(session: Session) -> Asked | None:
    """None where that cannot be asked."""
    try:
        return Asked(session)
    except BrokerError as error:
        logger.debug("the broker's clock cannot be asked for: %s", error, extra={"action": "clock_unknown"})
        return None


def narrow(session: Session) -> None:
    """Where the clocks differ: ask at moments that halve what is uncertain, until it is a tenth of a second. The broker
    tells whole seconds, so the answer to a question that is due on the turn of a second tells on which side of it the
    broker is. Takes some seconds."""
    for _ in range(MOST_QUESTIONS):
        known = broker_time.measured()
        if known is None or not known.ahead or known.high - known.low <= EXACT:
            return
        turn = -(broker_time.wall() + TRIP + known.ahead) % 1.0
        threading.Event().wait(turn)
        try:
            if Asked(session).answer() is None:
                return
        except BrokerError as error:
            logger.debug("the broker's clock was not answered: %s", error, extra={"action": "clock_unknown"})
            return


def heard(asked: Asked) -> Measured | None:
    """Wait for the answer, and say it where the clocks differ. None where it did not come in time."""
    try:
        found = asked.answer()
        if found is not None and found.ahead and found.high - found.low > VAGUE:
            found = asked.again().answer() or found
    except BrokerError as error:
        logger.debug("the broker's clock was not answered: %s", error, extra={"action": "clock_unknown"})
        return None
    if found is not None:
        tell(found)
    return found


def tell(found: Measured) -> None:
    """Say it where the clocks differ, by an ERROR where it is much."""
    if found.least < TOLD_FROM or not _Told.is_news(found.ahead):
        return
    say = logger.error if found.least >= WRONG_FROM else logger.warning
    say(
        "this machine's clock is %.0f seconds %s the broker's, so one of them is wrong: set it by a time server."
        " amqptasks goes by the broker's clock; the times of this log are this machine's",
        abs(found.ahead),
        "behind" if found.ahead > 0 else "ahead of",
        extra={"action": "clock_differs", "ahead": round(found.ahead, 3)},
    )


def _left_at(headers: Mapping[str, object]) -> float | None:
    deaths = headers.get("x-death")
    for death in deaths if isinstance(deaths, list) else ():
        moment = death.get("time") if isinstance(death, dict) else None
        if isinstance(moment, datetime):
            return moment.timestamp()
    return None
