"""Looking through what a node holds for what was revoked. Link thread only.

A revocation comes twice: as a record of the stream, which no worker misses, and as a command, which asks how many tasks
it met and may end what runs. Whichever comes first drops what waits here.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from amqptasks.control.revocation import Revocation
from amqptasks.errors import Terminated
from amqptasks.tasks.outcomes import Revoked
from amqptasks.worker.control.revocations import Revocations
from amqptasks.worker.job.job import Job

if TYPE_CHECKING:
    from amqptasks.worker.node import Node

#: Records of which is known how many tasks they dropped, until their commands ask: a command follows its record within
#: moments, or never.
RECORDS_KNOWN = 1000


class Sweep:
    """Takes revocations into `revocations`, and obeys them in `node`."""

    def __init__(self, node: Node, revocations: Revocations) -> None:
        self._node = node
        self._revocations = revocations
        self._dropped: dict[float, int] = {}  # by the moment of the revocation

    def record(self, wanted: Revocation) -> None:
        """Drop what waits here; what runs may end."""
        self._revocations.take(wanted)
        if wanted.action == "restore":
            return
        dropped = sum(self._drop(job, reason) for job, reason in self._met())
        if dropped:
            self._dropped[wanted.at] = self._dropped.get(wanted.at, 0) + dropped
            for at in list(islice(self._dropped, max(0, len(self._dropped) - RECORDS_KNOWN))):
                del self._dropped[at]

    def look(self) -> None:
        """Drop what waits here, whenever it was revoked."""
        for job, reason in self._met():
            self._drop(job, reason)

    def command(self, wanted: Revocation, *, terminate: bool, force: bool) -> dict[str, int]:
        """As `record`, and with `terminate` end what runs, too. Answers how many that were, with those that the record
        of the same revocation has dropped."""
        self._revocations.take(wanted)
        dropped, terminated = self._dropped.pop(wanted.at, 0), 0
        if wanted.action == "restore":
            return {"dropped": 0, "terminated": 0}
        for job, reason in self._met():
            if self._drop(job, reason):
                dropped += 1
            elif terminate and self._terminate(job, f"{reason} while it ran", force=force):
                terminated += 1
        return {"dropped": dropped, "terminated": terminated}

    def _met(self) -> Iterator[tuple[Job, str]]:
        """What must not run, and why."""
        for job in self._node.held:
            reason = self._revocations.reason(job.task_name, job.task_id, job.delivery.properties.headers or {})
            if reason is not None:
                yield job, reason

    def _drop(self, job: Job, reason: str) -> bool:
        return self._node.completions.end(job, Revoked(reason), force=False)

    def _terminate(self, job: Job, reason: str, *, force: bool) -> bool:
        if force and self._node.completions.end(job, Revoked(reason), force=True):
            return True
        return self._node.pools.of(job).interrupt(job, Terminated(reason))
