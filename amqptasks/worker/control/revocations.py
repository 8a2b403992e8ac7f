"""Which tasks must not run: what the stream `amqptasks.revoked` says, kept small.

An id takes some 100 bytes here. The stream holds what is older than the most that is kept, and forgets it in the end.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

from amqptasks.control.revocation import Revocation
from amqptasks.messages.ids import made_at
from amqptasks.runtime.clock import broker_time

#: Ids kept: some 50 MB. Beyond it the oldest are forgotten.
MOST_IDS = 500_000

#: Patterns and header matches kept: each is compared with every task.
MOST_RULES = 1000

#: Seconds after a revocation by pattern or headers in which it meets tasks whose id does not tell when it was made (a
#: UUID of version 4, as Celery makes them). Those of version 7 are met if they were made before it, whenever they come.
UNTIMED = 3600.0

#: The latest ids that an answer shows.
SHOWN = 1000

_Key = bytes | str
_Rule = tuple[str, ...]


class Revocations:
    """Changed on the link's thread, read on any."""

    def __init__(self) -> None:
        self._ids: dict[_Key, None] = {}
        self._tasks: dict[str, float] = {}
        self._headers: dict[_Rule, tuple[Mapping[str, Any], float]] = {}
        #: Records of the stream that were not obeyed.
        self.skipped = 0

    def __len__(self) -> int:
        return len(self._ids) + len(self._tasks) + len(self._headers)

    @property
    def is_empty(self) -> bool:
        return not (self._ids or self._tasks or self._headers)

    def take(self, revocation: Revocation) -> None:
        """Obey it, or (`restore`) forget what it names. Idempotent."""
        if revocation.action == "restore":
            for task_id in revocation.ids:
                self._ids.pop(_key(task_id), None)
            for pattern in revocation.tasks:
                self._tasks.pop(pattern, None)
            self._headers.pop(_rule(revocation.headers), None)
            return
        for task_id in revocation.ids:
            self._ids[_key(task_id)] = None
        for pattern in revocation.tasks:
            self._tasks[pattern] = max(revocation.at, self._tasks.get(pattern, 0.0))
        if revocation.headers:
            self._headers[_rule(revocation.headers)] = (revocation.headers, revocation.at)
        for kept, most in ((self._ids, MOST_IDS), (self._tasks, MOST_RULES), (self._headers, MOST_RULES)):
            _forget_oldest(kept, most)

    def reason(self, task: str, task_id: str, headers: Mapping[str, object]) -> str | None:
        """Why this task must not run; None when it may."""
        if self._ids and _key(task_id) in self._ids:
            return "it was revoked by its id"
        if not (self._tasks or self._headers):
            return None
        made = made_at(task_id)
        for pattern, at in list(self._tasks.items()):
            if _before(made, at) and fnmatchcase(task, pattern):
                return f"tasks {pattern!r} were revoked"
        for wanted, at in list(self._headers.values()):
            if _before(made, at) and all(_same(headers.get(name), value) for name, value in wanted.items()):
                return f"tasks with headers {dict(wanted)} were revoked"
        return None

    def told(self) -> dict[str, Any]:
        """As `answers.Revoked` has it."""
        ids = list(islice(reversed(self._ids), SHOWN))
        return {
            "count": len(self._ids),
            "ids": [str(uuid.UUID(bytes=key)) if isinstance(key, bytes) else key for key in ids],
            "tasks": list(self._tasks),
            "headers": [dict(wanted) for wanted, _ in self._headers.values()],
            "skipped": self.skipped,
        }


def _before(made: float | None, at: float) -> bool:
    return made <= at if made is not None else broker_time.now() <= at + UNTIMED


def _same(found: object, wanted: object) -> bool:
    """Header values of a list are met by any of them, as Celery's stamps are."""
    return found == wanted or (isinstance(found, list) and wanted in found)


def _key(task_id: str) -> _Key:
    try:
        found = uuid.UUID(task_id)
    except ValueError:
        return task_id
    return found.bytes if str(found) == task_id else task_id


def _rule(headers: Mapping[str, Any]) -> _Rule:
    return tuple(f"{name}={value!r}" for name, value in sorted(headers.items()))


def _forget_oldest(kept: dict[Any, Any], most: int) -> None:
    for key in list(islice(kept, max(0, len(kept) - most))):
        del kept[key]
