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

from amqptasks.control.places import EXCHANGE
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.headers import Wrong
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.own_headers import SIGNATURE
from amqptasks.messages.properties import REPLY_TO, Properties
from amqptasks.messages.signing import Signing
from amqptasks.runtime.clock import broker_time
from amqptasks.serializers import Undecodable, json
from amqptasks.untrusted import bounds
from amqptasks.untrusted.bounds import OutOfBounds

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
    `until` when it is too late, in seconds since 1970, `verified` True where a signature of the app's keys is on it:
    `signature`."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    destination: Destination = EVERYBODY
    id: str = ""
    reply_to: str | None = None
    until: float | None = None
    verified: bool = False
    signature: object = None

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


class Unbelieved(Unreadable):
    """An answer that nobody with the keys of this app has signed."""


def outgoing(command: Command, timeout: float, signing: Signing | None = None) -> Outgoing:
    """The message for `command`, signed where there are keys. Raises `TypeError` or `ValueError` for arguments that
    JSON cannot carry."""
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
    if signing is not None:
        signing.sign(properties, body)
    return Outgoing(EXCHANGE.name, "", body, properties)


def command_in(delivery: Delivery, signing: Signing | None = None) -> Command:
    """Raises `Unreadable`. Where there are keys, the signature is looked at before anything is read; whether an
    unsigned command is obeyed is for the caller to say."""
    verified = False
    if signing is not None:
        try:
            verified = signing.verify(delivery.properties, delivery.body)
        except Wrong as wrong:
            if wrong.reason != "unsigned":
                raise Unreadable(wrong.detail) from None
    given = _object(delivery.body)
    try:
        name, arguments = bounds.name(given.get("command")), bounds.mapping(given.get("arguments") or {})
        patterns, host, until = given.get("destination"), given.get("host"), given.get("until")
        destination = Destination(
            None if patterns is None else tuple(bounds.names(patterns)),
            bounds.name(host) if isinstance(host, str) else None,
        )
        late = None if until is None else bounds.moment(until)
    except OutOfBounds as refusal:
        raise Unreadable(f"a part of it {refusal}") from None
    if verified and late is None:
        raise Unreadable("it is signed without saying until when: who copies it could send it for ever")
    signature = (delivery.properties.headers or {}).get(SIGNATURE) if verified else None
    return Command(name, arguments, destination, *_addresses(delivery.properties), late, verified, signature)


def _addresses(properties: Properties) -> tuple[str, str | None]:
    """The id of the question, and where its answer goes: only to who asks, for any other address is a queue."""
    identity, reply_to = properties.correlation_id, properties.reply_to
    asked = isinstance(reply_to, str) and reply_to.startswith(REPLY_TO)
    return identity if isinstance(identity, str) else "", reply_to if asked else None


def reply(answer: Answer, command: Command, signing: Signing | None = None) -> Outgoing:
    """The message for `answer`, signed with the key of the command where that is signed. Raises `TypeError` or
    `ValueError` for a value that JSON cannot carry."""
    assert command.reply_to is not None
    said: dict[str, Any] = {
        "node": answer.node,
        "host": answer.host,
        "pid": answer.pid,
        "queue": answer.queue,
    }
    said |= {"value": answer.value} if answer.error is None else {"error": answer.error}
    properties = Properties(content_type=CONTENT_TYPE, delivery_mode=TRANSIENT, correlation_id=command.id)
    body = json.encode(said)
    if signing is not None and command.verified:
        signing.sign(properties, body, like=command.signature)
    return Outgoing("", command.reply_to, body, properties, mandatory=False)


def answer_in(delivery: Delivery, signing: Signing | None = None) -> Answer:
    """Raises `Unreadable`, and where there are keys `Unbelieved` for one whose signature is missing or wrong, which is
    not read."""
    if signing is not None:
        try:
            signing.verify(delivery.properties, delivery.body)
        except Wrong as wrong:
            raise Unbelieved(wrong.detail) from None
    given = _object(delivery.body)
    texts = [given.get(name) for name in ("node", "host", "queue")]
    pid, error = given.get("pid"), given.get("error")
    if not all(isinstance(text, str) for text in texts) or not isinstance(pid, int):
        raise Unreadable("it does not say whose answer it is")
    node, host, queue = map(str, texts)
    return Answer(node, host, pid, queue, given.get("value"), None if error is None else str(error))


def _object(body: bytes) -> dict[str, Any]:
    try:
        given = json.decode(bounds.record(body))
    except OutOfBounds as refusal:
        raise Unreadable(f"it {refusal}") from None
    except Undecodable as error:
        raise Unreadable(f"it is no JSON: {error}") from None
    if not isinstance(given, dict):
        raise Unreadable("it is no JSON object")
    return given
