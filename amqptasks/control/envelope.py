"""A command and an answer on the wire: JSON, each with the correlation id of the question.

    command    {"command", "arguments", "destination": [patterns] or null, "host": name or null, "until"}
    answer     {"node", "host", "pid", "queue", "value"} or {..., "error"}

A command expires after the time that its sender waits for answers, so that a worker that hung does not carry out in
the evening what it was told in the morning: in its queue by `expiration`, and in a worker, whose socket may have it
already, by `until`, seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from amqptasks.clock import broker_time
from amqptasks.control.places import EXCHANGE
from amqptasks.incoming import Delivery
from amqptasks.outgoing import Outgoing
from amqptasks.properties import REPLY_TO, Properties
from amqptasks.serializers import Undecodable, json

CONTENT_TYPE = "application/json"

#: Seconds by which the clocks of two machines may differ.
CLOCKS_DIFFER = 5.0

#: Delivery mode: neither commands nor answers survive a restart of the broker.
TRANSIENT = 1


@dataclass(frozen=True, slots=True)
class Destination:
    """Whom a command is for: workers whose name fits one of `patterns` (`web1:*`; None: all), on `host` (None: any)."""

    patterns: tuple[str, ...] | None = None
    host: str | None = None

    def includes(self, node: str, host: str) -> bool:
        if self.host is not None and host != self.host:
            return False
        return self.patterns is None or any(fnmatchcase(node, pattern) for pattern in self.patterns)

    @property
    def named(self) -> tuple[str, ...]:
        """Names that are no patterns: these workers were meant, whether they are there or not."""
        return tuple(pattern for pattern in self.patterns or () if not set(pattern) & set("*?["))


EVERYBODY = Destination()


@dataclass(frozen=True, slots=True)
class Command:
    """What workers are asked to do; `id` is the question's, `reply_to` where the answer goes (None: nobody waits),
    `until` when it is too late, in seconds since 1970."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    destination: Destination = EVERYBODY
    id: str = ""
    reply_to: str | None = None
    until: float | None = None

    @property
    def is_late(self) -> bool:
        return self.until is not None and broker_time.now() > self.until + CLOCKS_DIFFER


@dataclass(frozen=True, slots=True)
class Answer:
    """What one worker says. `queue` is its control queue: two workers of one name differ in it."""

    node: str
    host: str
    pid: int
    queue: str
    value: Any = None
    error: str | None = None


class Unreadable(Exception):
    """A message that is no command, or no answer."""


def outgoing(command: Command, timeout: float) -> Outgoing:
    """The message for `command`. Raises `TypeError` or `ValueError` for arguments that JSON cannot carry."""
    destination = command.destination
    body = json.encode(
        {
            "command": command.name,
            "arguments": dict(command.arguments),
            "destination": None if destination.patterns is None else list(destination.patterns),
            "host": destination.host,
            "until": broker_time.now() + timeout,
        }
    )
    properties = Properties(
        content_type=CONTENT_TYPE,
        delivery_mode=TRANSIENT,
        correlation_id=command.id,
        reply_to=REPLY_TO,
        expiration=str(max(1, round(timeout * 1000))),
    )
    return Outgoing(EXCHANGE.name, "", body, properties)


def command_in(delivery: Delivery) -> Command:
    """Raises `Unreadable`."""
    given = _object(delivery.body)
    name, arguments = given.get("command"), given.get("arguments") or {}
    patterns, host = given.get("destination"), given.get("host")
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise Unreadable("no command with arguments")
    if not (patterns is None or (isinstance(patterns, list) and all(isinstance(one, str) for one in patterns))):
        raise Unreadable("its destination is no list of names")
    destination = Destination(None if patterns is None else tuple(patterns), host if isinstance(host, str) else None)
    until = given.get("until")
    return Command(
        name,
        arguments,
        destination,
        delivery.properties.correlation_id or "",
        delivery.properties.reply_to or None,
        float(until) if isinstance(until, int | float) else None,
    )


def reply(answer: Answer, command: Command) -> Outgoing:
    """The message for `answer`. Raises `TypeError` or `ValueError` for a value that JSON cannot carry."""
    assert command.reply_to is not None
    said: dict[str, Any] = {
        "node": answer.node,
        "host": answer.host,
        "pid": answer.pid,
        "queue": answer.queue,
    }
    said |= {"value": answer.value} if answer.error is None else {"error": answer.error}
    properties = Properties(content_type=CONTENT_TYPE, delivery_mode=TRANSIENT, correlation_id=command.id)
    return Outgoing("", command.reply_to, json.encode(said), properties, mandatory=False)


def answer_in(delivery: Delivery) -> Answer:
    """Raises `Unreadable`."""
    given = _object(delivery.body)
    texts = [given.get(name) for name in ("node", "host", "queue")]
    pid, error = given.get("pid"), given.get("error")
    if not all(isinstance(text, str) for text in texts) or not isinstance(pid, int):
        raise Unreadable("it does not say whose answer it is")
    node, host, queue = map(str, texts)
    return Answer(node, host, pid, queue, given.get("value"), None if error is None else str(error))


def _object(body: bytes) -> dict[str, Any]:
    try:
        given = json.decode(body)
    except Undecodable as error:
        raise Unreadable(f"it is no JSON: {error}") from None
    if not isinstance(given, dict):
        raise Unreadable("it is no JSON object")
    return given
