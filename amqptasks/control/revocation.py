"""A revocation, as it stands in the stream `amqptasks.revoked` and goes to workers with the command `revoke`.

{"revoke" or "restore": {"ids": [...], "tasks": [patterns], "headers": {...}}, "at": seconds since 1970}
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from amqptasks.control.places import REVOKED
from amqptasks.errors import ConfigurationError
from amqptasks.outgoing import Outgoing
from amqptasks.serializers import Undecodable, json

#: How a task that runs is ended: TERM raises `Terminated` in it, and it may tidy up; KILL ends it by force.
Signal = Literal["TERM", "KILL"]

#: Ids in one record: some 40 kB, of the 128 kB that a frame has.
IDS_A_RECORD = 1000


@dataclass(frozen=True, slots=True)
class Revocation:
    """What is revoked, or (`restore`) not any more: tasks by `ids`; and all tasks made before `at` whose name fits a
    pattern in `tasks`, or whose headers hold all of `headers`."""

    action: Literal["revoke", "restore"]
    ids: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    headers: Mapping[str, Any] = field(default_factory=dict)
    at: float = field(default_factory=time.time)

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


def parse(body: bytes) -> Revocation | None:
    """None for what is no revocation: a later release's word, or somebody else's."""
    try:
        return read(json.decode(body))
    except Undecodable:
        return None


def read(said: Any) -> Revocation | None:
    """As `parse`, for what JSON held."""
    if not isinstance(said, dict):
        return None
    action: Literal["revoke", "restore"] = "restore" if "restore" in said else "revoke"
    what, at = said.get(action), said.get("at")
    if not isinstance(what, dict) or not isinstance(at, int | float):
        return None
    ids, tasks, headers = what.get("ids", []), what.get("tasks", []), what.get("headers", {})
    if not (_are_texts(ids) and _are_texts(tasks) and isinstance(headers, dict)):
        return None
    return Revocation(action, tuple(ids), tuple(tasks), headers, float(at))


def _are_texts(given: Any) -> bool:
    return isinstance(given, list) and all(isinstance(one, str) for one in given)
