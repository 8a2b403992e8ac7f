"""The results of tasks that belong together, under an id by which another process finds them again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from amqptasks.errors import ResultsNotKept
from amqptasks.messages.ids import task_id
from amqptasks.results.checks import NOT_KEPT_HERE, checked_id
from amqptasks.results.result import AsyncResult
from amqptasks.results.result_set import ResultSet
from amqptasks.results.stored_result import StoredResult

if TYPE_CHECKING:
    from amqptasks.app.app import App
    from amqptasks.results.backend import Backend


class GroupResult(ResultSet):
    """`results` in order, as of `ResultSet`; `id` is made where none is given."""

    def __init__(self, id: str | None = None, results: Iterable[AsyncResult[Any]] = ()) -> None:
        super().__init__(results)
        self.id = task_id() if id is None else checked_id(id)

    def __repr__(self) -> str:
        return f"<GroupResult {self.id} of {len(self)}>"

    def save(self, app: App | None = None) -> None:
        """Keep the ids of its tasks in the result store, as long as results: `GroupResult.restore(id, app=app)` finds
        them from any process. `app` names the store where there is not one result yet. Raises `ResultsNotKept` without
        a store, and `StoreUnavailable`."""
        self._backend(app).save_group(self.id, [result.id for result in self])

    def delete(self, app: App | None = None) -> None:
        """Forget which tasks it has; their results stay. Raises as `save`, and `StoreRefused` where the store cannot
        forget."""
        self._backend(app).forget_group(self.id)

    @classmethod
    def restore(cls, id: str, *, app: App) -> GroupResult | None:
        """The one that was saved with this id; None where there is none. Raises as `save`."""
        if app.results is None:
            raise ResultsNotKept(NOT_KEPT_HERE)
        ids = app.results.group(checked_id(id))
        return None if ids is None else cls(id, [app.AsyncResult(identity) for identity in ids])

    def _backend(self, app: App | None) -> Backend:
        if app is not None and app.results is not None:
            return app.results
        for result in self:
            if isinstance(result, StoredResult):
                return result.backend
        raise ResultsNotKept(NOT_KEPT_HERE)
