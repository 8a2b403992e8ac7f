"""decode, resolve, admit, run, classify, plan: each step's decisions, and that no task's code escapes them."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from amqptasks import App, Task
from amqptasks.errors import Retry as RetryRequest
from amqptasks.options.retry import RetryPolicy
from amqptasks.tasks.outcomes import (
    LOST,
    Expired,
    Failure,
    Outcome,
    Postpone,
    Recount,
    Reject,
    Retry,
    Success,
    Throttled,
)
from amqptasks.topology.delays import room
from amqptasks.topology.topology import QueueRetry, QueueSettings
from amqptasks.worker.execute.retry_policy import FIRST_DELAY, policy_of
from amqptasks.worker.job.admission import deliveries_before, failed_deliveries, refusal
from amqptasks.worker.job.settlement import settlement
from tests.unit.worker.jobs import delivery, job, steps

#: What the counters of each kind of queue say of a message that was delivered twice before, once failed and once
#: handed back.
COUNTERS: dict[str, dict[str, Any]] = {
    "first delivery": {},
    "3.10, first": {"x-delivery-count": 0},
    "quorum before 4.3": {"x-delivery-count": 2},
    "4.3": {"x-acquired-count": 2, "x-delivery-count": 1},
    "4.3, handed back only": {"x-acquired-count": 2},
    "classic": {"x-amqptasks-deliveries": 2},
}


@pytest.mark.parametrize(
    ("counters", "redelivered", "before", "failed"),
    [
        ("first delivery", False, 0, 0),
        ("3.10, first", False, 0, 0),
        ("quorum before 4.3", True, 2, 2),
        ("4.3", True, 2, 1),
        ("4.3, handed back only", True, 2, 0),
        ("classic", False, 2, 2),
        ("classic", True, 2, 2),
        ("first delivery", True, 1, 0),
    ],
)
def test_deliveries_are_counted_as_each_kind_of_queue_tells_them(
    counters: str, redelivered: bool, before: int, failed: int
) -> None:
    came = delivery(headers=COUNTERS[counters], redelivered=redelivered, exchange="amqptasks.queues")
    assert deliveries_before(came) == before
    assert failed_deliveries(came) == failed


@pytest.mark.parametrize(
    ("exchange", "counted"),
    [("amqptasks.queues", 2), ("amqptasks.due.amqptasks.queues", 2), (room("emails"), 2), ("", 2), ("mail", 0)],
)
def test_what_a_worker_counts_comes_by_name_and_is_not_believed_of_others(exchange: str, counted: int) -> None:
    """Who may write to one exchange would make a worker run his messages alone, and keep all other tasks waiting."""
    came = delivery(headers=COUNTERS["classic"], exchange=exchange)
    assert failed_deliveries(came) == deliveries_before(came) == counted
    again = settlement(job(came), Throttled(1.0, 1000.0, "too many"), "w").onward[0]
    assert again is not None
    assert (again.properties.headers or {}).get("x-amqptasks-deliveries", 0) == counted


@pytest.mark.parametrize("count", ["7", None, [7], -1])
def test_a_count_that_is_none_is_not_believed(count: object) -> None:
    came = delivery(headers={"x-delivery-count": count, "x-acquired-count": count}, redelivered=True)
    assert deliveries_before(came) == 1


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def refused(limit: int = 3, redelivered: bool = False, **headers: Any) -> Outcome | None:
    named = {name.replace("_", "-") if name.startswith("x_") else name: value for name, value in headers.items()}
    came = delivery(headers=named, redelivered=redelivered, exchange="amqptasks.queues")
    return refusal(job(came, QueueSettings("emails", delivery_limit=limit)))


def test_a_plain_message_runs() -> None:
    assert refused() is None
    assert refused(redelivered=True, x_delivery_count=1) is None
    assert refused(redelivered=True, x_acquired_count=14) is None, "handed back often is no fault of its own"
    assert refused(limit=0, redelivered=True, x_delivery_count=1000) is None, "no limit"
    assert refused(expires=soon(60)) is None
    assert refused(eta=soon(-60)) is None
    assert refused(eta=soon(0.02)) is None, "less than a tick of the ladder"
    assert refused(eta=soon(4), **{"x-amqptasks-to": "amqptasks.queues"}) is None, "two clocks differ by so much"


def test_the_header_of_the_ladder_makes_no_message_early() -> None:
    assert isinstance(refused(eta=soon(60), **{"x-amqptasks-to": "amqptasks.queues"}), Postpone)


@pytest.mark.parametrize("count", ["x-delivery-count", "x-amqptasks-deliveries"])
def test_at_the_limit_of_deliveries_it_is_given_up(count: str) -> None:
    outcome = refused(3, redelivered=True, **{count: 3})
    assert isinstance(outcome, Reject)
    assert outcome.reason == "too-many-deliveries"
    assert "delivered 3 times" in outcome.detail
    assert "limit is 3" in outcome.detail
    assert not isinstance(refused(3, redelivered=True, **{count: 2}), Reject)


def test_what_is_taken_from_its_queue_too_often_is_given_up_though_nothing_failed() -> None:
    """RabbitMQ 4.3 counts no failure when it takes a message back after its consumer timeout."""
    outcome = refused(3, redelivered=True, x_acquired_count=15)
    assert isinstance(outcome, Reject)
    assert outcome.reason == "too-many-deliveries"
    assert "15 times" in outcome.detail
    assert "consumer_timeout" in outcome.detail
    assert "time_limit" in outcome.detail
    assert refused(0, redelivered=True, x_acquired_count=1000) is None, "no limit"


def test_a_classic_queue_is_counted_for() -> None:
    assert refused(redelivered=True) == Recount(1)
    assert refused(redelivered=True, **{"x-amqptasks-deliveries": 2}) == Recount(3)
    assert refused(**{"x-amqptasks-deliveries": 2}) is None, "just counted, and not delivered since"
    assert isinstance(refused(redelivered=True, **{"x-amqptasks-deliveries": 3}), Reject)


def test_too_late_is_expired_even_when_not_yet_due() -> None:
    outcome = refused(expires=soon(-1), eta=soon(60))
    assert isinstance(outcome, Expired)
    assert "expired at" in outcome.detail


def test_too_early_is_postponed_by_what_is_missing() -> None:
    outcome = refused(eta=soon(60))
    assert isinstance(outcome, Postpone)
    assert 58 < outcome.delay <= 60


def test_a_workflow_is_refused_in_words() -> None:
    body = b'[[], {}, {"callbacks": [{"task": "next"}], "errbacks": null, "chain": null, "chord": null}]'
    made = job(delivery("shop.five", body=body))
    steps(five).execute(made)
    outcome = made.outcome
    assert isinstance(outcome, Reject)
    assert outcome.reason == "unsupported"


def task(**options: Any) -> Task[..., Any]:
    return App("shop", "memory://unused").task(name="shop.work", **options)(lambda: None)


def queue(**retry: Any) -> QueueSettings:
    return QueueSettings("emails", retry=QueueRetry(**retry) if retry else None)


@pytest.mark.parametrize(
    "options",
    [
        {"max_retries": 5},
        {"autoretry_for": (OSError,)},
        {"retry_backoff": 2},
        {"default_retry_delay": 9},
        {"retry_jitter": False},
    ],
)
def test_what_a_task_says_itself_beats_its_queue(options: dict[str, Any]) -> None:
    mine = task(**options)
    assert policy_of(mine, queue(delays=(1.0,))) is mine.retry_policy


def test_without_a_word_of_the_task_its_queue_decides() -> None:
    policy = policy_of(task(), queue(delays=(1.0, 2.0), jitter=0.1))
    assert policy.autoretry_for == (Exception,)
    assert policy.delays == (1.0, 2.0)
    assert policy.max_retries == 2, "as often as it has delays"
    assert policy.jitter == 0.1
    assert policy_of(task(), queue(delays=(1.0,), max_retries=7)).max_retries == 7
    backoff = policy_of(task(), queue(first=3.0, max=60.0))
    assert (backoff.retry_backoff, backoff.retry_backoff_max, backoff.max_retries) == (3.0, 60.0, 3)
    assert policy_of(task(), queue(max=60.0)).retry_backoff == FIRST_DELAY


def test_without_a_word_of_either_nothing_is_retried_by_itself() -> None:
    assert policy_of(task(), queue()) == RetryPolicy()


def test_what_a_task_expects_is_not_retried_by_its_queue() -> None:
    assert policy_of(task(throws=(KeyError,)), queue(delays=(1.0,))).dont_autoretry_for == (KeyError,)


class Unpayable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("even its text")


class Stubborn:
    def __json__(self) -> object:
        raise RuntimeError("no JSON today")


class Leaving:
    def __json__(self) -> object:
        raise SystemExit(3)


def five() -> int:
    return 5


def leaves() -> None:
    raise SystemExit(3)


def unpayable() -> None:
    raise Unpayable


def stubborn() -> object:
    return Stubborn()


def leaving() -> object:
    return Leaving()


def wrong_limit() -> None:
    raise RetryRequest(1.0, max_retries="3")  # type: ignore[arg-type]


def wrong_arguments() -> None:
    raise RetryRequest(1.0, call_args=(object(),))


def never() -> None:
    raise RetryRequest(float("nan"))


def cancelled() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (five, Success),
        (leaves, Failure),
        (unpayable, Failure),
        (wrong_limit, Failure),
        (wrong_arguments, Failure),
        (never, Failure),
        (cancelled, Failure),
        (stubborn, Failure),
        (leaving, Failure),
    ],
)
def test_whatever_a_task_does_its_job_has_a_settlement(function: Any, kind: type) -> None:
    made = job(delivery(f"shop.{function.__name__}", reply_to="replies"), decoded=False)
    steps(function).execute(made)
    assert isinstance(made.outcome, kind)
    assert made.planned is not None
    assert made.planned.verdict == "ack"
    assert made.planned.answer is not None
    assert json.loads(made.planned.answer.body)["status"] == ("SUCCESS" if kind is Success else "FAILURE")
    assert (not made.planned.onward) == (kind is Success)
    assert made.runtime >= 0


def test_a_retry_goes_through_the_ladder_unless_it_is_at_once() -> None:
    def later() -> None:
        raise RetryRequest(7.0)

    def now() -> None:
        raise RetryRequest(0)

    for function, delayed in ((later, 7.0), (now, None)):
        made = job(delivery(f"shop.{function.__name__}"), decoded=False)
        steps(function).execute(made)
        assert isinstance(made.outcome, Retry)
        assert made.planned is not None
        assert len(made.planned.onward) == 1
        assert (made.planned.onward[0].properties.headers or {}).get("delayed") == delayed


def test_a_message_that_lost_its_lease_is_not_run() -> None:
    made = job(delivery("shop.leaves"), decoded=False)
    made.delivery.lease.alive = False  # type: ignore[misc]
    steps(leaves).execute(made)
    assert made.outcome is LOST
    assert made.planned is not None
    assert made.planned.verdict == "nothing"


@pytest.mark.parametrize(
    ("came", "reason"),
    [
        (delivery("shop.absent"), "unknown-task"),
        (delivery("shop.five", body=b"{"), "malformed"),
        (delivery("shop.five", body=b"null"), "malformed"),
        (delivery("shop.five", headers={"retries": "many"}), "malformed"),
        (delivery("shop.five", headers={"task": 5}), "malformed"),
        (delivery("shop.five", headers={"\udcff": "no text"}, body=b"{"), "malformed"),
    ],
)
def test_what_cannot_run_is_a_dead_letter_with_a_reason(came: Any, reason: str) -> None:
    made = job(came, decoded=False)
    steps(five).execute(made)
    assert isinstance(made.outcome, Reject)
    assert made.planned is not None
    assert len(made.planned.onward) == 1
    assert (made.planned.onward[0].properties.headers or {})["x-amqptasks-reason"] == reason
    assert made.started == 0


def test_a_task_knows_how_it_came() -> None:
    seen: list[Any] = []
    app = App("shop", "memory://unused")

    @app.task(name="shop.look", bind=True)
    def look(self: Task[..., Any]) -> None:
        seen.append(self.request)

    from amqptasks.worker.execute.executor import Executor
    from tests.unit.worker.jobs import WORKER, undelayed

    made = job(delivery("shop.look", headers={"x-delivery-count": 2}, redelivered=True), decoded=False)
    Executor(app.tasks, WORKER, undelayed).execute(made)
    assert isinstance(made.outcome, Success), made.outcome
    request = seen[0]
    assert (request.queue, request.exchange, request.routing_key) == ("emails", "tasks", "email.send")
    assert (request.redelivered, request.delivery_count) == (True, 2)
    assert look.request.id == "", "outside the run there is none"
