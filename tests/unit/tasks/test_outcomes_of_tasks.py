"""What a task may ask for, raised or returned: Snooze, Retry, Reject, Ignore; and early acknowledgement, progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from amqptasks import App, Ignore, Reject, ResultTimeout, Retry, Snooze, shared_task
from amqptasks.app import registry
from amqptasks.dev.simulation.simulation import simulate
from amqptasks.errors import ConfigurationError, MaxRetriesExceeded, TaskRejected
from tests.harness.wait import wait_for
from tests.unit.tasks.test_followers import letters


def raised(outcome: BaseException) -> Any:
    raise outcome


def returned(outcome: BaseException) -> Any:
    return outcome


either = pytest.mark.parametrize("how", [raised, returned])


@either
def test_a_snooze_costs_no_attempt(app: App, how: Callable[[BaseException], Any]) -> None:
    @app.task(name="shop.wait", bind=True, max_retries=0)
    def wait(self: Any) -> Any:
        times = self.request.headers.get("x-amqptasks-snoozes", 0)
        return how(Snooze(0.05)) if times < 3 else (times, self.request.retries, self.request.attempt)

    with app.worker():
        began = time.monotonic()
        assert wait.delay().get(timeout=5) == [3, 0, 1]
    assert time.monotonic() - began >= 0.15


def test_a_snooze_has_an_end(app: App) -> None:
    @app.task(name="shop.wait", max_snoozes=2)
    def wait() -> Any:
        return Snooze(0)

    with app.worker(), pytest.raises(MaxRetriesExceeded, match="snoozed 2 times"):
        wait.delay().get(timeout=5)
    assert letters(app)[0]["x-amqptasks-snoozes"] == 2


@either
def test_a_retry_may_name_its_moment(app: App, how: Callable[[BaseException], Any]) -> None:
    @app.task(name="shop.later", bind=True)
    def later(self: Any) -> Any:
        return how(Retry(at=datetime.now(UTC) + timedelta(seconds=0.2))) if not self.request.retries else "now"

    with app.worker():
        began = time.monotonic()
        assert later.delay().get(timeout=5) == "now"
    assert time.monotonic() - began >= 0.15


def test_a_moment_that_is_over_is_at_once() -> None:
    assert Retry(at=datetime(2020, 1, 1)).delay == 0


@either
def test_a_rejected_task_is_a_dead_letter(app: App, how: Callable[[BaseException], Any]) -> None:
    rejecting = app.task(name="shop.reject", autoretry_for=(Exception,))(lambda: how(Reject("no such user")))
    with app.worker(), pytest.raises(TaskRejected, match="no such user"):
        rejecting.delay().get(timeout=5)
    assert letters(app)[0]["x-amqptasks-detail"] == "no such user"


def test_a_requeued_task_comes_again_and_not_for_ever(app: App) -> None:
    runs: list[int] = []

    @app.task(name="shop.elsewhere", bind=True)
    def elsewhere(self: Any) -> None:
        runs.append(self.request.delivery_count)
        raise Reject("not on this worker", requeue=True)

    with app.worker(), pytest.raises(TaskRejected, match="too-many-deliveries"):
        elsewhere.delay().get(timeout=10)
    assert runs == list(range(20)), "the queue's delivery limit"


@either
def test_an_ignored_task_ends_without_a_word(app: App, how: Callable[[BaseException], Any]) -> None:
    ignoring = app.task(name="shop.ignore")(lambda: how(Ignore()))
    with app.worker() as worker:
        result: Any = ignoring.delay()
        wait_for(lambda: worker.counts["Ignore"] == 1, message="it ended")
        with pytest.raises(ResultTimeout):
            result.get(timeout=0.1)
    assert letters(app) == []


def test_progress_is_told_on_the_way(app: App) -> None:
    seen: list[tuple[str, Any]] = []

    @app.task(name="shop.long", bind=True, track_started=True)
    def long(self: Any) -> str:
        for part in (1, 2):
            self.update_state(state="PROGRESS", meta={"part": part})
            wait_for(lambda part=part: result.info == {"part": part}, message="the caller sees it")
            seen.append((result.state, result.info))
        return "done"

    result: Any = long.delay()
    with app.worker():
        assert result.get(timeout=10) == "done"
    assert seen == [("PROGRESS", {"part": 1}), ("PROGRESS", {"part": 2})]


def test_a_start_is_told_where_it_is_asked_for(app: App) -> None:
    @app.task(name="shop.started", track_started=True)
    def started() -> Any:
        wait_for(lambda: result.state == "STARTED", message="the caller sees it")
        return result.info

    result: Any = started.delay()
    with app.worker() as worker:
        info = result.get(timeout=5)
    assert info["hostname"] == worker.name


def test_a_state_that_would_be_the_end_is_refused(app: App) -> None:
    @app.task(name="shop.wrong", bind=True)
    def wrong(self: Any) -> None:
        self.update_state(state="SUCCESS")

    with app.worker(), pytest.raises(ConfigurationError, match="is an end"):
        wrong.delay().get(timeout=5)


def test_an_early_ack_leaves_nothing_to_give_back(app: App, caplog: pytest.LogCaptureFixture) -> None:
    @app.task(name="shop.early", acks_late=False)
    def early() -> int:
        wait_for(lambda: unacked() == 0, message="it is acknowledged while it runs")
        return 1

    @app.task(name="shop.late")
    def late() -> int:
        return unacked()

    def unacked() -> int:
        return sum(len(queue.held) - sum(job.acked for job in queue.held) for queue in worker.queues.values())

    assert "shop.early has acks_late=False" in caplog.text
    with app.worker() as worker:
        assert early.delay().get(timeout=5) == 1
        assert late.delay().get(timeout=5) == 1


def test_an_early_ack_still_retries_and_dead_letters(app: App) -> None:
    @app.task(name="shop.early", acks_late=False, autoretry_for=(OSError,), max_retries=2, default_retry_delay=0)
    def early() -> None:
        raise OSError("no line")

    with app.worker() as worker, pytest.raises(OSError, match="no line"):
        early.delay().get(timeout=5)
    assert worker.counts["Retry"] == 2
    assert letters(app)[0]["x-amqptasks-attempts"] == 3


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A shared task. Shared means for good: without the patch, every later app of this process would have it."""
    monkeypatch.setattr(registry, "_shared", {})
    monkeypatch.setattr(registry, "_apps", [])  # those of earlier tests have the one of these

    @shared_task(name="library.double")
    def function(x: int) -> int:
        return 2 * x

    return function


def test_a_shared_task_belongs_to_every_app_and_goes_through_the_last_one(double: Any, app: App) -> None:
    assert app.tasks["library.double"] is double
    assert double.app is app
    assert double(4) == 8
    with app.worker():
        assert double.delay(4).get(timeout=5) == 8
        later: Any = shared_task(name="library.later")(lambda: "later")
        assert later.delay().get(timeout=5) == "later"
    assert App("other", "memory://unused").tasks["library.double"] is double


def test_a_simulation_leaves_shared_tasks_where_they_are(double: Any, app: App) -> None:
    simulate(app.topology, "library.double", (4,))
    assert double.app is app


def test_the_running_task_is_known(app: App) -> None:
    from amqptasks.tasks.task import current_task

    @app.task(name="shop.who")
    def who() -> Any:
        running = current_task()
        return None if running is None else [running.name, app.current_task is running, running.request.id]

    assert current_task() is None
    assert who() is None
    with app.worker():
        result: Any = who.delay()
        assert result.get(timeout=5) == ["shop.who", True, result.id]
    assert current_task() is None


def test_calls_made_in_a_task_name_it(app: App) -> None:
    @app.task(name="shop.child", bind=True)
    def child(self: Any) -> list[Any]:
        return [self.request.parent_id, self.request.root_id]

    @app.task(name="shop.parent", bind=True)
    def parent(self: Any) -> Any:
        calls = [child.delay(), child.publish_many([()])[0]]
        return [call.get(timeout=5, disable_sync_subtasks=False) for call in calls]

    with app.worker():
        assert child.delay().get(timeout=5)[0] is None
        result: Any = parent.delay()
        assert result.get(timeout=5) == [[result.id, result.id]] * 2
        other: Any = child.delay()
        assert other.get(timeout=5) == [None, other.id], "and no other call does"
