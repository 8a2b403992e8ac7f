"""`apply`: a run here and now, with all that a worker would do but the broker."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from amqptasks import App, Ignore, Reject, Retry, Snooze, Task
from amqptasks.errors import MaxRetriesExceeded, TaskRejected, Terminated


class Parts(BaseModel):
    number: int


@pytest.fixture
def app() -> App:
    return App("shop", "memory://never-opened")


def test_it_returns_a_result_that_is_ready(app: App) -> None:
    @app.task(bind=True)
    def add(self: Any, x: int, y: int) -> Any:
        assert self.request.is_eager
        assert not self.request.called_directly
        assert app.current_task is add
        return x + y

    result: Any = add.apply((2,), {"y": 3}, task_id="mine")
    assert (result.id, result.get(), result.state, result.successful()) == ("mine", 5, "SUCCESS", True)
    assert not app.connections.is_open, "no broker was asked"
    with pytest.raises(TypeError, match="missing"):
        add.apply((2,))


def test_what_the_task_raises_comes_with_get_or_at_once(app: App) -> None:
    @app.task
    def fail() -> None:
        raise OSError("no line")

    result: Any = fail.apply()
    assert result.failed()
    assert "no line" in result.traceback
    with pytest.raises(OSError, match="no line"):
        result.get()
    with pytest.raises(OSError, match="no line"):
        fail.apply(throw=True)


def test_retries_and_snoozes_follow_at_once(app: App) -> None:
    attempts: list[int] = []

    @app.task(bind=True, max_retries=3)
    def third(self: Any, word: str) -> Any:
        attempts.append(self.request.retries)
        if len(attempts) == 1:
            return Snooze(60)
        if self.request.retries < 2:
            raise self.retry((word + "!",), countdown=60)
        return word

    assert third.apply(("now",)).get() == "now!!"
    assert attempts == [0, 0, 1, 2]

    @app.task(autoretry_for=(OSError,), max_retries=2)
    def fail() -> None:
        attempts.append(-1)
        raise OSError("no line")

    assert fail.apply().failed()
    assert attempts.count(-1) == 3
    with pytest.raises(MaxRetriesExceeded):
        app.task(max_retries=1)(lambda: Retry(1)).apply(throw=True)
    with pytest.raises(MaxRetriesExceeded, match="snoozed"):
        app.task(name="shop.sleepy")(lambda: Snooze(1)).apply(throw=True)


def test_other_ends_have_their_states(app: App) -> None:
    assert app.task(name="shop.ignore")(Ignore).apply().state == "IGNORED"
    rejected: Any = app.task(name="shop.reject")(lambda: Reject("no")).apply()
    assert rejected.state == "REJECTED"
    with pytest.raises(TaskRejected, match="no"):
        rejected.get()


def test_an_exception_leads_to_what_it_leads_to_in_a_worker(app: App) -> None:
    """One table for both: `outcomes.classify` decides, here and there."""

    calls: list[Any] = []

    @app.task(bind=True, max_retries=2)
    def again(self: Any, *args: int) -> Any:
        calls.append(args)
        if args:
            raise self.retry(args=())
        return "without"

    @app.task(max_snoozes=3)
    def sleepy() -> Any:
        calls.append("snooze")
        return Snooze(1)

    @app.task(validate=True)
    def typed(parts: Parts) -> None:
        raise AssertionError("it does not run")

    ended = app.task(name="shop.ended")(lambda: _raise(Terminated("from outside")))
    requeued = app.task(name="shop.requeued")(lambda: _raise(Reject("elsewhere", requeue=True)))
    odd = app.task(name="shop.odd")(lambda: _raise(Retry(1, max_retries="x")))  # type: ignore[arg-type]
    replaced = app.task(name="shop.replaced", bind=True)(lambda self: self.replace(odd.s()))

    assert again.apply((1, 2)).get() == "without"
    assert calls == [(1, 2), ()]
    calls.clear()
    asleep: Any = sleepy.apply()
    assert (asleep.state, calls) == ("FAILURE", ["snooze"] * 4)
    wrong: Any = typed.apply(({"number": "many"},), link_error=app.task(name="shop.tell")(calls.append).s())
    assert (wrong.state, calls[4:]) == ("REJECTED", [wrong.id])
    assert str(wrong.result).startswith("invalid-arguments: ")
    states: list[str] = [one.apply().state for one in (ended, requeued, odd, replaced)]
    assert states == ["REVOKED", "REJECTED", "FAILURE", "FAILURE"]
    with pytest.raises(TypeError):
        replaced.apply(throw=True)


def _raise(error: BaseException) -> None:
    raise error


def test_hooks_and_links_are_called(app: App) -> None:
    notes: list[Any] = []

    class Noting(Task[..., Any]):
        def on_success(self, retval: Any, *_: Any) -> None:
            notes.append(("success", retval))

        def on_failure(self, exc: BaseException, *_: Any) -> None:
            notes.append(("failure", str(exc)))

    @app.task(base=Noting)
    def add(x: int, y: int) -> int:
        return x + y

    @app.task(base=Noting)
    def fail() -> None:
        raise OSError("no line")

    tell = app.task(name="shop.tell")(lambda *args: notes.append(args))
    add.s(1, 2).link(tell.s("own")).apply()
    fail.apply(link_error=tell.s(), task_id="failed")
    assert notes == [("success", 3), (3, "own"), ("failure", "no line"), ("failed",)]


def test_an_async_task_is_run_where_no_loop_runs(app: App) -> None:
    @app.task
    async def look_up(name: str) -> str:
        return name.title()

    assert look_up.apply(("ada",)).get() == "Ada"  # type: ignore[comparison-overlap]
