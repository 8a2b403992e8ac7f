"""What the arguments of a queue mean, and which ones RabbitMQ refuses (406, its own words).

https://www.rabbitmq.com/docs/queues#optional-arguments, and for each queue type its own page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from amqptasks.errors import BrokerError, DeclarationConflict
from amqptasks.transport.entities import Exchange, Queue

#: RabbitMQ's limit from 4.0 on where a quorum queue names none.
DELIVERY_LIMIT = 20

#: RabbitMQ's longest time to live: ten years, in milliseconds.
LONGEST = 315_360_000_000

_COMMON = {
    "x-queue-type",
    "x-message-ttl",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-overflow",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-single-active-consumer",
}
_QUORUM = {
    "x-delivery-limit",
    "x-dead-letter-strategy",
    "x-quorum-initial-group-size",
    "x-consumer-timeout",
    "x-consumer-disconnected-timeout",
    "x-delayed-retry-type",
    "x-delayed-retry-min",
    "x-delayed-retry-max",
}
_CLASSIC = {"x-max-priority", "x-queue-mode", "x-queue-master-locator"}
_KNOWN = _COMMON | _QUORUM | _CLASSIC | {"x-queue-leader-locator"}


@dataclass(frozen=True, slots=True)
class Settings:
    """A queue's arguments, read. Times in seconds; None: not limited, or not set."""

    quorum: bool
    message_ttl: float | None
    expires: float | None
    max_length: int | None
    max_length_bytes: int | None
    reject_publish: bool
    dead_letter_exchange: str | None
    dead_letter_routing_key: str | None
    at_least_once: bool
    delivery_limit: int | None
    max_priority: int
    single_active_consumer: bool


def read(queue: Queue) -> Settings:
    """Raises `BrokerError` for what RabbitMQ 4.3 would refuse, and for streams."""
    kind = queue.arguments.get("x-queue-type", "classic")
    if kind == "stream":
        raise BrokerError(f"queue {queue.name!r}: memory:// has no streams; use RabbitMQ where one is needed")
    if kind not in ("quorum", "classic"):
        raise _invalid(queue, "x-queue-type", f"\"unsupported queue type '{kind}'\"")
    quorum = kind == "quorum"
    if queue.exclusive and not quorum:
        raise BrokerError(f"queue {queue.name!r}: memory:// has no exclusive queues: no link could consume a session's")
    _check_type(queue, quorum=quorum)
    limit = _integer(queue, "x-delivery-limit", -1)
    exchange = _text(queue, "x-dead-letter-exchange")
    key = _text(queue, "x-dead-letter-routing-key")
    if key is not None and exchange is None:
        raise _invalid(queue, "x-dead-letter-routing-key", "routing_key_but_no_dlx_defined")
    reject_publish = _one_of(queue, "x-overflow", "drop-head", "reject-publish", "reject-publish-dlx") != "drop-head"
    strategy = _one_of(queue, "x-dead-letter-strategy", "at-most-once", "at-least-once")
    return Settings(
        quorum=quorum,
        message_ttl=_seconds(queue, "x-message-ttl", 0),
        expires=_seconds(queue, "x-expires", 1),
        max_length=_integer(queue, "x-max-length", 0),
        max_length_bytes=_integer(queue, "x-max-length-bytes", 0),
        reject_publish=reject_publish,
        dead_letter_exchange=exchange,
        dead_letter_routing_key=key,
        # With any other overflow RabbitMQ falls back to at-most-once without a word.
        at_least_once=quorum and reject_publish and exchange is not None and strategy == "at-least-once",
        delivery_limit=(DELIVERY_LIMIT if limit is None else None if limit < 0 else limit) if quorum else None,
        max_priority=31 if quorum else _integer(queue, "x-max-priority", 1, 255) or 0,
        single_active_consumer=queue.arguments.get("x-single-active-consumer") is True,
    )


def check_same_queue(wanted: Queue, current: Queue) -> None:
    """Raises `DeclarationConflict`. As on RabbitMQ, arguments that it does not know are not compared."""
    _compare("queue", wanted.name, "durable", wanted.durable, current.durable)
    _compare("queue", wanted.name, "exclusive", wanted.exclusive, current.exclusive)
    _compare("queue", wanted.name, "auto_delete", wanted.auto_delete, current.auto_delete)
    for name in sorted(_KNOWN):
        default = "classic" if name == "x-queue-type" else None
        _compare("queue", wanted.name, name, wanted.arguments.get(name, default), current.arguments.get(name, default))


def check_same_exchange(wanted: Exchange, current: Exchange) -> None:
    """Raises `DeclarationConflict`."""
    _compare("exchange", wanted.name, "type", wanted.type, current.type)
    _compare("exchange", wanted.name, "durable", wanted.durable, current.durable)
    _compare("exchange", wanted.name, "auto_delete", wanted.auto_delete, current.auto_delete)
    _compare("exchange", wanted.name, "internal", wanted.internal, current.internal)
    name = "alternate-exchange"
    _compare("exchange", wanted.name, name, wanted.arguments.get(name), current.arguments.get(name))


def _compare(kind: Literal["queue", "exchange"], name: str, argument: str, wanted: object, current: object) -> None:
    if wanted != current:
        raise DeclarationConflict(kind, name, argument, _printed(wanted), _printed(current))


def _printed(value: object) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _check_type(queue: Queue, *, quorum: bool) -> None:
    foreign = (_CLASSIC if quorum else _QUORUM) & queue.arguments.keys()
    if foreign:
        kind = "quorum" if quorum else "classic"
        raise BrokerError(
            f"406 PRECONDITION_FAILED - invalid arg '{min(foreign)}' for queue '{queue.name}'"
            f" of queue type rabbit_{kind}_queue"
        )
    refused = {"non-durable": not queue.durable, "exclusive-owner": queue.exclusive, "auto-delete": queue.auto_delete}
    for name, is_set in refused.items():
        if quorum and is_set:
            raise BrokerError(f"406 PRECONDITION_FAILED - invalid property '{name}' for queue '{queue.name}'")


def _integer(queue: Queue, name: str, least: int, most: int | None = None) -> int | None:
    value = queue.arguments.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise _invalid(queue, name, f"expected integer, got {value!r}")
    if value < least:
        raise _invalid(queue, name, "{value_zero,0}" if value == 0 else f"{{value_negative,{value}}}")
    if most is not None and value > most:
        raise _invalid(queue, name, f"{{max_value_exceeded,{value}}}")
    return value


def _seconds(queue: Queue, name: str, least: int) -> float | None:
    milliseconds = _integer(queue, name, least, LONGEST)
    return None if milliseconds is None else milliseconds / 1000


def _text(queue: Queue, name: str) -> str | None:
    value = queue.arguments.get(name)
    if value is not None and not isinstance(value, str):
        raise _invalid(queue, name, f"expected text, got {value!r}")
    return value


def _one_of(queue: Queue, name: str, default: str, *others: str) -> str:
    value = queue.arguments.get(name, default)
    if value not in (default, *others):
        raise _invalid(queue, name, f"{value!r} is none of {', '.join((default, *others))}")
    return str(value)


def _invalid(queue: Queue, name: str, why: str) -> BrokerError:
    return BrokerError(f"406 PRECONDITION_FAILED - invalid arg '{name}' for queue '{queue.name}': {why}")
