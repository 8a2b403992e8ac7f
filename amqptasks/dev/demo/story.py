"""What the demo does, and what it measures."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from amqptasks import dial
from amqptasks.dead_letters import queue as dead_letters
from amqptasks.dev.demo import shop
from amqptasks.messages.outgoing import QUEUES_EXCHANGE, Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.results.result import AsyncResult
from amqptasks.runtime.clock import monotonic
from amqptasks.transport import Session
from amqptasks.untrusted.numbers import counted

#: How many of each kind: enough to see, few enough for a second of work.
ORDERS, PAYMENTS, REMINDERS, FAILURES, REFUSALS, NOISE, STRANGERS, ORDINARY, URGENT = 60, 10, 5, 3, 1, 2, 2, 20, 10

#: Seconds that a reminder waits on the broker.
COUNTDOWN = 1.5

#: Seconds by which a delayed task may be late on a busy machine. An idle one takes hundredths.
LATE = 2.0

#: Seconds for everything to end.
ENDS_WITHIN = 40.0

#: Priorities, of which the higher goes first; the route of the letters says 1.
URGENT_PRIORITY = 9

#: Why the dead letters are where they are.
EXPECTED_DEAD = {"failed": FAILURES, "rejected": REFUSALS, "malformed": NOISE, "unknown-task": STRANGERS}


@dataclass(slots=True)
class Figures:
    """What was seen. Times are in seconds: `waits` of the reminders, `retries` between two attempts of a payment."""

    published: int = 0
    done: int = 0
    waits: list[float] = field(default_factory=list)
    retries: list[float] = field(default_factory=list)
    dead: Counter[str] = field(default_factory=Counter)
    urgent_first: bool = False
    left: int = 0
    seconds: float = 0.0

    def problems(self) -> list[str]:
        """What is not as it should be; empty when all is."""
        done = ORDERS + PAYMENTS + REMINDERS + ORDINARY + URGENT
        found = []
        if self.done != done:
            found.append(f"{counted(self.done, 'task is', 'tasks are')} done, {done} should be")
        for what, times, wanted in (
            ("a countdown", self.waits, COUNTDOWN),
            ("a retry", self.retries, shop.RETRY_DELAY),
        ):
            if not times or min(times) < wanted - 0.05 or max(times) > wanted + LATE:
                found.append(f"{what} of {wanted:g} s took {[round(one, 2) for one in times]}")
        if self.dead != EXPECTED_DEAD:
            found.append(f"dead letters are {dict(self.dead)}, not {EXPECTED_DEAD}")
        if not self.urgent_first:
            found.append("an ordinary letter was written before an urgent one")
        if self.left:
            found.append(f"{counted(self.left, 'task is', 'tasks are')} still in a queue")
        return found


def tell(url: str, workers: AbstractContextManager[None]) -> Figures:
    """Publish, let `workers` work, count. Raises `BrokerError`, `WorkerFailed`, `ResultError`."""
    figures = Figures()
    began = monotonic()
    session = dial.session([url])
    try:
        shop.app.declare()
        orders = shop.place_order.publish_many((number,) for number in range(ORDERS))
        payments = shop.charge_card.publish_many((number,) for number in range(PAYMENTS))
        doomed = [*shop.ship.publish_many((number,) for number in range(FAILURES)), shop.refuse.delay()]
        # All letters lie in their queue before anybody reads them: only then is there an order to obey.
        ordinary = shop.write_letter.publish_many(() for _ in range(ORDINARY))
        urgent = shop.write_letter.publish_many((() for _ in range(URGENT)), priority=URGENT_PRIORITY)
        _publish_what_cannot_run(session)
        figures.published = len(orders) + len(payments) + len(doomed) + len(ordinary) + len(urgent) + NOISE + STRANGERS
        with workers:
            _reminders(figures)
            deadline = monotonic() + ENDS_WITHIN
            figures.retries = _values(payments, deadline)
            figures.done += len(_values(orders, deadline)) + len(figures.retries)
            last_urgent = max(_values(urgent, deadline), default=0.0)
            first_ordinary = min(_values(ordinary, deadline), default=0.0)
            figures.done += sum(result.successful() for result in (*urgent, *ordinary))
            figures.urgent_first = last_urgent < first_ordinary
            _await_dead_letters(session, deadline)
        figures.dead = Counter(letter.reason for letter in dead_letters.letters(session, shop.queue("orders.dead")))
        figures.left = sum(_ready(session, shop.queue(name)) for name in ("orders", "letters"))
    finally:
        session.close()
        shop.app.close()
    figures.seconds = monotonic() - began
    return figures


def _reminders(figures: Figures) -> None:
    sent = [(time.time(), shop.remind.apply_async(countdown=COUNTDOWN)) for _ in range(REMINDERS)]
    figures.published += len(sent)
    for at, result in sent:
        figures.waits.append(result.get(COUNTDOWN + LATE + ENDS_WITHIN) - at)
    figures.done += len(figures.waits)


def _publish_what_cannot_run(session: Session) -> None:
    """What somebody else's mistake looks like: bytes that are no task, and a task that no worker knows."""
    orders = shop.queue("orders")
    for number in range(NOISE):
        session.publish(Outgoing(QUEUES_EXCHANGE, orders, f"noise {number}".encode(), Properties()))
    for number in range(STRANGERS):
        headers: dict[str, object] = {"task": "demo.order.gift-wrap", "id": f"stranger-{number}"}
        properties = Properties(content_type="application/json", headers=headers)
        session.publish(Outgoing(QUEUES_EXCHANGE, orders, b"[[], {}, null]", properties))


def _values(results: Sequence[AsyncResult[Any]], deadline: float) -> list[Any]:
    return [result.get(max(0.0, deadline - monotonic())) for result in results]


def _await_dead_letters(session: Session, deadline: float) -> None:
    wanted = sum(EXPECTED_DEAD.values())
    while _ready(session, shop.queue("orders.dead")) < wanted and monotonic() < deadline:
        time.sleep(0.05)


def _ready(session: Session, queue: str) -> int:
    state = session.queue_state(queue)
    return 0 if state is None else state.messages
