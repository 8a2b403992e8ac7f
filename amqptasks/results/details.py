"""What a result store says of a task besides its state: mixed into `AsyncResult`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from amqptasks.untrusted import bounds

if TYPE_CHECKING:
    from amqptasks.results.result import AsyncResult

Said = TypeVar("Said")


class Details:
    """Each is None where there is no result store, or where it does not say. Asking may be a question to the store."""

    __slots__ = ()

    task_name: str | None

    def _fields(self) -> Mapping[str, Any]:
        """All that is said, by Celery's names; nothing where nobody says anything."""
        return {}

    @property
    def date_done(self) -> datetime | None:
        """When its state was written, by the broker's clock."""
        try:
            return bounds.iso_moment(self._fields().get("date_done"))
        except bounds.OutOfBounds:
            return None

    @property
    def name(self) -> str | None:
        """The task's name."""
        return self._said("name", str) or self.task_name

    @property
    def args(self) -> list[Any] | None:
        """What it was called with, where that is short; secrets are masked."""
        return self._said("args", list)

    @property
    def kwargs(self) -> dict[str, Any] | None:
        """As `args`."""
        return self._said("kwargs", dict)

    @property
    def worker(self) -> str | None:
        """The name of the worker that wrote its state."""
        return self._said("worker", str)

    @property
    def retries(self) -> int | None:
        """How many attempts failed before."""
        return self._said("retries", int)

    @property
    def queue(self) -> str | None:
        """The queue that it came from."""
        return self._said("queue", str)

    @property
    def reason(self) -> str | None:
        """Why it was revoked or rejected."""
        return self._said("reason", str)

    @property
    def children(self) -> list[AsyncResult[Any]]:
        """The calls that this one made, as far as they are known: none without a result store."""
        return []

    @property
    def parent(self) -> AsyncResult[Any] | None:
        """The call that made this one; None where that is not known."""
        return None

    def _said(self, name: str, kind: type[Said]) -> Said | None:
        found = self._fields().get(name)
        return found if isinstance(found, kind) else None


def children_of(fields: Mapping[str, Any]) -> list[str]:
    """The ids of children, each of which Celery writes as `[[id, parent], children]`."""
    found = fields.get("children")
    ids: list[str] = []
    for entry in found[: bounds.MOST_CHILDREN] if isinstance(found, list) else ():
        with suppress(bounds.OutOfBounds, TypeError, LookupError):
            ids.append(bounds.text(entry[0][0], bounds.LONGEST_ID, 1))
    return ids
