"""A dead letter: a message of a dead-letter queue, and why it is there.

A worker says why in `x-amqptasks-*` headers. What no worker handled (too many deliveries, expired in the queue, no
room) was put there by the broker itself, which says why in `x-death`: https://www.rabbitmq.com/docs/dlx#effects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from amqptasks.dead_letters.home import is_lost, meant_for
from amqptasks.messages import protocol
from amqptasks.messages.codec import PLAIN, Codec
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.own_headers import (
    ATTEMPTS,
    DETAIL,
    EXCEPTION,
    FIRST_TIME,
    LAST_TIME,
    MESSAGE,
    QUEUE,
    REASON,
    TRACEBACK,
    WORKER,
    carried,
)
from amqptasks.messages.protocol import Malformed
from amqptasks.messages.request import Request
from amqptasks.topology.delays import PREFIX as LADDER

#: The reason shown for a message that neither a worker nor the broker put there.
PUBLISHED = "published"

#: The reason shown for a delayed message whose target was gone when it was due.
GONE = "lost"

#: Hexadecimal digits of the name given to a message without an id: two of a million share one with a chance of 1:500.
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """`id` is the task's id, else the message's, else one made of its bytes (`bytes-...`). `queue` is where it came
    from, `worker` who gave it up (None: the broker). Times are in seconds since 1970. What is not known is None.

    `content` is the request, or why there is none in the message.
    """

    id: str
    task: str | None
    reason: str
    detail: str | None
    exception: str | None
    message: str | None
    traceback: str | None
    attempts: int | None
    queue: str | None
    first_time: float | None
    last_time: float | None
    worker: str | None
    content: Request | Malformed
    delivery: Delivery


def read(delivery: Delivery, codec: Codec = PLAIN) -> DeadLetter:
    """Never raises, whatever was sent. Its signature is not asked for: this is for looking."""
    properties = delivery.properties
    headers = properties.headers or {}
    if is_lost(delivery):
        return _lost(delivery, headers, codec)
    death = _last_death(headers)
    # A worker takes the broker's records off before it writes its own headers. Where the broker put the message here
    # afterwards, such headers are of whoever published it.
    by_worker = not death and _text(headers, REASON) is not None
    said: Mapping[str, object] = headers if by_worker else {}
    if (_text(death, "queue") or "").startswith(LADDER):  # not of a death: it has been delayed, and has arrived
        death = {}
    return DeadLetter(
        id=_identity(delivery, headers),
        task=protocol.task_name(properties.headers),
        reason=_text(said, REASON) or _text(death, "reason") or PUBLISHED,
        detail=_text(said, DETAIL),
        exception=_text(said, EXCEPTION),
        message=_text(said, MESSAGE),
        traceback=_text(said, TRACEBACK),
        attempts=_whole(said.get(ATTEMPTS)),
        queue=_text(said, QUEUE) or _text(death, "queue"),
        first_time=_moment(headers.get(FIRST_TIME)),
        last_time=_moment(said.get(LAST_TIME)) if by_worker else _moment(death.get("time")),
        worker=_text(said, WORKER),
        content=codec.decode_unverified(properties, delivery.body),
        delivery=delivery,
    )


def _lost(delivery: Delivery, headers: Mapping[str, object], codec: Codec) -> DeadLetter:
    """It has not died: what stands in its headers is of a life that goes on where it is sent on."""
    meant = meant_for(delivery)
    return DeadLetter(
        id=_identity(delivery, headers),
        task=protocol.task_name(delivery.properties.headers),
        reason=GONE,
        detail=None if meant is None else f"when it was due, this was gone: {meant}",
        exception=None,
        message=None,
        traceback=None,
        attempts=None,
        queue=None,
        first_time=_moment(headers.get(FIRST_TIME)),
        last_time=_moment(_last_death(headers).get("time")),
        worker=None,
        content=codec.decode_unverified(delivery.properties, delivery.body),
        delivery=delivery,
    )


def _identity(delivery: Delivery, headers: Mapping[str, object]) -> str:
    properties = delivery.properties
    for known in (headers.get("id"), properties.message_id, properties.correlation_id):
        if isinstance(known, str) and known:
            return known
    same_every_time = repr(sorted(carried(headers, "back").items(), key=lambda header: header[0])).encode(
        errors="replace"
    )
    return f"bytes-{sha256(same_every_time + delivery.body).hexdigest()[:_DIGITS]}"


def _last_death(headers: Mapping[str, object]) -> Mapping[str, object]:
    """The newest record comes first."""
    deaths = headers.get("x-death")
    first = deaths[0] if isinstance(deaths, list) and deaths else None
    return first if isinstance(first, dict) else {}


def _text(values: Mapping[str, object], name: str) -> str | None:
    value = values.get(name)
    return value if isinstance(value, str) and value else None


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _moment(value: object) -> float | None:
    if isinstance(value, datetime):
        return (value if value.tzinfo is not None else value.replace(tzinfo=UTC)).timestamp()
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
