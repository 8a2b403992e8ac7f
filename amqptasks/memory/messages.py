"""A message as the broker keeps it, and what dead-lettering writes on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from amqptasks.messages.properties import Headers, Properties

Reason = Literal["rejected", "expired", "maxlen", "delivery_limit"]


@dataclass(frozen=True, slots=True)
class Death:
    """How often a message was dead-lettered from one queue for one reason; time and route are those of the first."""

    queue: str
    reason: Reason
    count: int
    time: datetime
    exchange: str
    routing_key: str
    original_expiration: str | None


@dataclass(frozen=True, slots=True)
class Message:
    """`deaths`: newest first. `failures`: failed deliveries in the queues it was dead-lettered from."""

    exchange: str
    routing_key: str
    body: bytes
    properties: Properties
    deaths: tuple[Death, ...] = ()
    failures: int = 0

    def would_cycle(self, queue: str) -> bool:
        """It died in `queue` before and came back without a client rejecting it on the way: RabbitMQ drops it.

        https://www.rabbitmq.com/docs/dlx#dead-letter-cycle. A client's own `x-death` header has no say (from 4.0).
        """
        for index, death in enumerate(self.deaths):
            if death.queue == queue:
                return all(passed.reason != "rejected" for passed in self.deaths[: index + 1])
        return False

    def dead(self, queue: str, reason: Reason, failures: int, exchange: str, routing_key: str | None) -> Message:
        """As it leaves `queue`, after `failures` there, for the dead-letter `exchange`. Its own routing key stays where
        `routing_key` is None. Headers as in https://www.rabbitmq.com/docs/dlx#effects."""
        deaths = self._with_death(queue, reason)
        headers: Headers = {**(self.properties.headers or {}), "x-death": [_table(death) for death in deaths]}
        for which in ("last",) if self.deaths else ("first", "last"):
            headers[f"x-{which}-death-exchange"] = deaths[0].exchange
            headers[f"x-{which}-death-queue"] = queue
            headers[f"x-{which}-death-reason"] = reason
        failures += self.failures
        if failures:
            headers["x-delivery-count"] = headers["x-acquired-count"] = failures
        return Message(
            exchange,
            self.routing_key if routing_key is None else routing_key,
            self.body,
            replace(self.properties, headers=headers, expiration=None),
            deaths,
            failures,
        )

    def _with_death(self, queue: str, reason: Reason) -> tuple[Death, ...]:
        others = tuple(death for death in self.deaths if (death.queue, death.reason) != (queue, reason))
        for death in self.deaths:
            if (death.queue, death.reason) == (queue, reason):
                return (replace(death, count=death.count + 1), *others)
        now = datetime.now(UTC).replace(microsecond=0)
        expiration = self.properties.expiration
        return (Death(queue, reason, 1, now, self.exchange, self.routing_key, expiration), *others)


def _table(death: Death) -> Headers:
    table: Headers = {
        "count": death.count,
        "reason": death.reason,
        "queue": death.queue,
        "time": death.time,
        "exchange": death.exchange,
        "routing-keys": [death.routing_key],
    }
    if death.original_expiration is not None:
        table["original-expiration"] = death.original_expiration
    return table


def copied(properties: Properties) -> Properties:
    """For a consumer: what it changes, no other consumer sees."""
    headers = properties.headers
    return Properties(
        properties.content_type,
        properties.content_encoding,
        None if headers is None else {name: _copied(value) for name, value in headers.items()},
        properties.delivery_mode,
        properties.priority,
        properties.correlation_id,
        properties.reply_to,
        properties.expiration,
        properties.message_id,
        properties.timestamp,
        properties.type,
        properties.user_id,
        properties.app_id,
    )


def _copied(value: object) -> object:
    if isinstance(value, dict):
        return {name: _copied(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_copied(inner) for inner in value]
    return value
