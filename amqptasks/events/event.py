"""What an event says, as JSON: the names and fields of Celery's events, and some of ours.

https://docs.celeryq.dev/en/stable/userguide/monitoring.html#event-reference. Every event has `type`, `hostname` (the
worker's name, or who sent the task), `timestamp` (seconds since 1970), `utcoffset` (hours west of UTC), `pid` and
`clock`; a task's has `uuid`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import Any

from amqptasks.events.places import EXCHANGE
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.messages.signing import Signing
from amqptasks.runtime.clock import broker_time
from amqptasks.serializers import Undecodable, json
from amqptasks.untrusted import bounds
from amqptasks.untrusted.bounds import OutOfBounds

Event = dict[str, Any]

#: Every type there is.
TYPES = (
    "task-sent",
    "task-received",
    "task-started",
    "task-succeeded",
    "task-failed",
    "task-retried",
    "task-rejected",
    "task-revoked",
    "worker-online",
    "worker-heartbeat",
    "worker-offline",
)

#: Celery's routing key for a list of task events.
MULTI = "task.multi"

#: Characters of a text that comes from a task (arguments, result, exception, traceback) in an event.
TEXT_SIZE = 1024
TRACEBACK_SIZE = 8192

#: Celery orders events of one moment by a logical clock; ours counts the events of the process.
_clock = count(1)


def new(kind: str, hostname: str, fields: Mapping[str, Any]) -> Event:
    """An event that happens now."""
    return {
        "type": kind,
        "hostname": hostname,
        "timestamp": broker_time.now(),
        "utcoffset": 0,
        "pid": os.getpid(),
        "clock": next(_clock),
        **fields,
    }


def outgoing(events: Sequence[Event], signing: Signing | None = None) -> Outgoing:
    """One message for one event, or for several of tasks; signed where there are keys."""
    single = len(events) == 1
    body = json.encode(events[0] if single else list(events))
    key = str(events[0]["type"]).replace("-", ".", 1) if single else MULTI
    properties = Properties(
        content_type="application/json",
        content_encoding="utf-8",
        headers={"hostname": events[0]["hostname"]},
        timestamp=int(events[-1]["timestamp"]),
    )
    if signing is not None:
        signing.sign(properties, body)
    return Outgoing(EXCHANGE.name, key, body, properties, mandatory=False)


def events_in(delivery: Delivery, signing: Signing | None = None) -> list[Event]:
    """The events of a message; none where it holds something else, or did not come through the exchange of events.
    Raises `Wrong` where `signing` has keys, and the signature is missing or not right: nothing is read then."""
    if delivery.exchange != EXCHANGE.name:
        return []
    if signing is not None:
        signing.verify(delivery.properties, delivery.body)
    try:
        said = json.decode(bounds.record(delivery.body))
    except (Undecodable, OutOfBounds):
        return []
    return [_without_nulls(one) for one in (said if isinstance(said, list) else [said]) if _is_event(one)]


def cut(value: object, size: int = TEXT_SIZE) -> str:
    """A text of at most `size` characters."""
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= size else f"{text[: size - 3]}..."


def of_types(events: Iterable[Event], patterns: Sequence[str]) -> list[Event]:
    """Those whose type fits one of the patterns (`task-*`); all without patterns."""
    from fnmatch import fnmatchcase

    if not patterns:
        return list(events)
    return [event for event in events if any(fnmatchcase(event["type"], pattern) for pattern in patterns)]


def _is_event(said: Any) -> bool:
    """Celery's names of the fields that every reader uses, each of its type and within its bounds."""
    try:
        fields = bounds.mapping(said)
        bounds.name(fields.get("type"))
        for name, read in _READ.items():
            if fields.get(name) is not None:
                read(fields[name])
    except OutOfBounds:
        return False
    return True


def _without_nulls(event: Event) -> Event:
    """A field that every reader uses is there with its type, or is not there."""
    return {name: value for name, value in event.items() if value is not None or name not in _READ}


_READ: dict[str, Callable[[object], object]] = {
    "hostname": bounds.text,
    "timestamp": bounds.moment,
    "uuid": bounds.text,
    "name": bounds.text,
    "runtime": bounds.seconds,
}
