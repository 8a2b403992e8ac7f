"""A revocation, as it stands in the stream `amqptasks.revoked` and goes to workers with the command `revoke`.

{"revoke" or "restore": {"ids": [...], "tasks": [patterns], "headers": {...}}, "at": seconds since 1970}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from amqptasks.control.places import REVOKED
from amqptasks.errors import ConfigurationError
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.headers import Wrong
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.signing import Signing
from amqptasks.runtime.clock import broker_time
from amqptasks.serializers import Undecodable, json
from amqptasks.untrusted import bounds
from amqptasks.untrusted.bounds import OutOfBounds
from amqptasks.untrusted.printable import short

#: How a task that runs is ended: TERM raises `Terminated` in it, and it may tidy up; KILL ends it by force.
Signal = Literal["TERM", "KILL"]

#: Ids in one record: some 40 kB, of the 128 kB that a frame has.
IDS_A_RECORD = 1000

#: Headers that one revocation compares: each is looked at for every task.
MOST_HEADERS = 100


@dataclass(frozen=True, slots=True)
class Revocation:
    """What is revoked, or (`restore`) not any more: tasks by `ids`; and all tasks made before `at` whose name fits a
    pattern in `tasks`, or whose headers hold all of `headers`."""

    action: Literal["revoke", "restore"]
    ids: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    headers: Mapping[str, Any] = field(default_factory=dict)
    at: float = field(default_factory=broker_time.now)

    @property
    def said(self) -> dict[str, Any]:
        """As JSON has it."""
        what = {"ids": list(self.ids), "tasks": list(self.tasks), "headers": dict(self.headers)}
        return {self.action: {name: value for name, value in what.items() if value}, "at": self.at}

    def outgoing(self) -> list[Outgoing]:
        """The messages for the stream; several where there are many ids."""
        if len(self.ids) <= IDS_A_RECORD:
            return [REVOKED.message(json.encode(self.said))]
        parts = [self.ids[start : start + IDS_A_RECORD] for start in range(0, len(self.ids), IDS_A_RECORD)]
        records = [Revocation(self.action, part, at=self.at) for part in parts]
        if self.tasks or self.headers:
            records.append(Revocation(self.action, (), self.tasks, self.headers, self.at))
        return [REVOKED.message(json.encode(one.said)) for one in records]


def signal_named(name: object) -> Signal:
    """Raises `ConfigurationError` for any other."""
    if name == "TERM":
        return "TERM"
    if name == "KILL":
        return "KILL"
    raise ConfigurationError(f"signal {name!r}: TERM lets a task tidy up, KILL does not; there are no others")


def in_record(delivery: Delivery, signing: Signing | None = None) -> Revocation | None:
    """The revocation of a record in the stream; None for a record that says nothing, as the first one does. Raises
    `OutOfBounds` for a record that must not be obeyed: it came by another way than the stream's exchange, it is no
    revocation, its signature is missing or wrong where `signing` has keys, or it is more than five minutes ahead of our
    clock. Cut to now, such a record would revoke more at each
    start of a worker."""
    if not REVOKED.is_own(delivery):
        raise OutOfBounds(f"came through the exchange {short(delivery.exchange)}, not through {REVOKED.exchange.name}")
    if delivery.body == b"{}":
        return None
    try:
        if signing is not None:
            signing.verify(delivery.properties, delivery.body)
        return read(json.decode(bounds.record(delivery.body)))
    except Wrong as wrong:
        raise OutOfBounds(f"is not obeyed: {wrong.detail}") from None
    except Undecodable as error:
        raise OutOfBounds(f"is no JSON: {error}") from None


def read(said: object) -> Revocation:
    """The revocation in this JSON. Raises `OutOfBounds` for what is none, or is ahead of our clock."""
    given = bounds.mapping(said)
    action: Literal["revoke", "restore"] = "restore" if "restore" in given else "revoke"
    what = bounds.mapping(given.get(action))
    return Revocation(
        action,
        tuple(bounds.names(what.get("ids", []))),
        tuple(bounds.names(what.get("tasks", []))),
        _headers(what.get("headers", {})),
        bounds.moment(given.get("at"), ahead_of=broker_time.now()),
    )


def _headers(given: object) -> Mapping[str, Any]:
    """Plain values and short lists of them: they are compared with the headers of every task."""
    headers = bounds.mapping(given, MOST_HEADERS)
    for value in headers.values():
        for one in value if isinstance(value, list) and len(value) <= MOST_HEADERS else [value]:
            if isinstance(one, str):
                bounds.text(one)
            elif one is not None and not isinstance(one, int | float):
                raise OutOfBounds(f"compares a header with {short(value)}, not with a text or a number")
    return headers
