"""The headers of a task message: each with its type, checked one by one.

Who writes them is listed in Celery's protocol 2 (https://docs.celeryq.dev/en/stable/internals/protocol.html); in what
shapes is in `celery/app/amqp.py`, `as_task_v2`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from amqptasks.errors import ConfigurationError
from amqptasks.messages.own_headers import SIGNATURE
from amqptasks.messages.properties import Headers
from amqptasks.untrusted import bounds

#: The kinds of mistakes. `undecodable` is what `json` is for other content types; the last two are of `signing`.
Reason = Literal[
    "protocol",
    "header",
    "content-type",
    "content-encoding",
    "compression",
    "json",
    "undecodable",
    "body",
    "unsigned",
    "bad-signature",
]


class Wrong(Exception):
    """The way from wherever a mistake is found to the door of `message`, where it becomes a `Malformed`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason: Reason = reason
        self.detail = detail
        super().__init__(detail)


def read(given: Mapping[str, object]) -> tuple[dict[str, Any], Headers]:
    """Fields of a request by name, `task` and `id` among them, and the headers that this protocol does not name."""
    fields: dict[str, Any] = {}
    others: Headers = {}
    for name, value in given.items():
        reader = _READERS.get(name)
        if reader is not None:
            if value is not None:
                reader(name, value, fields)
        elif name not in _DROPPED:
            others[name] = value
    for name in ("task", "id"):
        if name not in fields:
            raise Wrong("header", f"header {name!r} is null")
    return fields, others


def short(value: object) -> str:
    """At most 80 characters of a value from outside, for a sentence."""
    try:
        text = ascii(value[:80] if isinstance(value, str | bytes) else value)
    except (ValueError, RecursionError):  # a number of thousands of digits, a list in a list in a list ...
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _identifier(name: str, value: object, fields: dict[str, Any]) -> None:
    if not isinstance(value, str) or not value or len(value.encode(errors="replace")) > bounds.LONGEST_ID:
        raise Wrong("header", f"header {name!r} is {short(value)}, not a text of 1 to {bounds.LONGEST_ID} bytes")
    fields[name] = value


def _name(name: str, value: object, fields: dict[str, Any]) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= bounds.LONGEST_NAME:
        raise Wrong(
            "header", f"header {name!r} is {short(value)}, not a name of at most {bounds.LONGEST_NAME} characters"
        )
    fields[name] = value


def _text(name: str, value: object, fields: dict[str, Any]) -> None:
    if not isinstance(value, str) or len(value) > bounds.LONGEST_TEXT:
        raise Wrong(
            "header", f"header {name!r} is {short(value)}, not a text of at most {bounds.LONGEST_TEXT} characters"
        )
    fields[name] = value


def _count(name: str, value: object, fields: dict[str, Any]) -> None:
    try:
        fields[name] = bounds.whole(value, bounds.MOST_RETRIES)
    except bounds.OutOfBounds as wrong:
        raise Wrong("header", f"header {name!r} {wrong}") from None


def _flag(name: str, value: object, fields: dict[str, Any]) -> None:
    if type(value) is not bool:
        raise Wrong("header", f"header {name!r} is {short(value)}, neither true nor false")
    fields[name] = value


def _moment(name: str, value: object, fields: dict[str, Any]) -> None:
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)  # type: ignore[arg-type]
        fields[name] = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise Wrong("header", f"header {name!r} is {short(value)}, not a time in ISO 8601") from None


def _limits(name: str, value: object, fields: dict[str, Any]) -> None:
    """`[hard, soft]` in seconds, either may be null."""
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(map(_is_limit, value)):
        raise Wrong("header", f"header {name!r} is {short(value)}, not [seconds, seconds]")
    fields["time_limit"], fields["soft_time_limit"] = value


def _is_limit(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and type(value) is not bool and value >= 0)


_READERS: dict[str, Callable[[str, object, dict[str, Any]], None]] = {
    "task": _name,
    "id": _identifier,
    "root_id": _text,
    "parent_id": _text,
    "group": _text,
    "retries": _count,
    "eta": _moment,
    "expires": _moment,
    "timelimit": _limits,
    "ignore_result": _flag,
    "origin": _text,
    "argsrepr": _text,
    "kwargsrepr": _text,
    "shadow": _text,
}

#: `compression` is undone by now, `lang` says nothing to us: sent on with a re-encoded body, both would be wrong.
#: A signature is checked by now, and holds for no other message.
_DROPPED = frozenset({"compression", "lang", SIGNATURE})

#: Names that a user's own headers cannot have: a worker would take them for the protocol's.
RESERVED = _READERS.keys() | _DROPPED


def refuse_reserved(given: Mapping[str, object], task: str) -> None:
    """Raise `ConfigurationError` where the headers that a user gives a call of `task` have such a name."""
    reserved = given.keys() & RESERVED
    if reserved:
        raise ConfigurationError(
            f"header {min(reserved)!r} of task {task!r} belongs to the protocol: choose another name"
        )
