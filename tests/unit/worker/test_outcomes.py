"""What an exception leads to, and what each outcome means for the message: every outcome, every circumstance."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from amqptasks import errors
from amqptasks.errors import ConfigurationError
from amqptasks.messages import protocol
from amqptasks.messages.properties import PERSISTENT
from amqptasks.messages.request import Request
from amqptasks.options.retry import RetryPolicy
from amqptasks.tasks.outcomes import (
    HAND_BACK,
    IGNORE,
    LOST,
    Expired,
    Failure,
    Outcome,
    Postpone,
    Recount,
    Reject,
    Replaced,
    Retry,
    Success,
    Throttled,
    classify,
)
from amqptasks.topology.topology import QueueSettings
from amqptasks.worker.job.settlement import settlement
from tests.unit.worker.jobs import WORKER, delivery, job

BOOM = ValueError("boom")
REQUEST = Request("shop.work", "id-1")
AUTO = RetryPolicy(autoretry_for=(ValueError,), delays=(5.0, 30.0), max_retries=2)


@pytest.mark.parametrize(
    ("error", "policy", "retries", "outcome"),
    [
        (BOOM, RetryPolicy(), 0, Failure(BOOM)),
        (BOOM, AUTO, 0, Retry(5.0, BOOM)),
        (BOOM, AUTO, 1, Retry(30.0, BOOM)),
        (BOOM, AUTO, 2, Failure(BOOM)),
        (errors.Ignore(), AUTO, 0, IGNORE),
        (errors.Replace({"task": "a.b"}), AUTO, 0, Replaced({"task": "a.b"})),
        (errors.Reject("no such user"), AUTO, 0, Reject("rejected", "no such user")),
        (errors.Retry(7.0, cause=BOOM), RetryPolicy(), 0, Retry(7.0, BOOM)),
        (errors.Retry(7.0), RetryPolicy(), 0, Retry(7.0, None)),
        (errors.Retry(7.0, cause=BOOM), RetryPolicy(max_retries=3), 3, Failure(BOOM)),
        (errors.Retry(7.0, cause=BOOM, max_retries=9), RetryPolicy(max_retries=3), 3, Retry(7.0, BOOM)),
        (errors.Retry(1.0, call_args=(9,), call_kwargs={"a": 1}), AUTO, 0, Retry(1.0, None, (9,), {"a": 1})),
    ],
)
def test_an_exception_leads_to_its_outcome(
    error: BaseException, policy: RetryPolicy, retries: int, outcome: Outcome
) -> None:
    assert classify(error, policy, Request("shop.work", "id-1", retries=retries)) == outcome


def test_retries_that_are_used_up_without_a_cause_say_so() -> None:
    outcome = classify(errors.Retry(1.0), RetryPolicy(max_retries=0), REQUEST)
    assert isinstance(outcome, Failure)
    assert isinstance(outcome.cause, errors.MaxRetriesExceeded)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_what_would_end_a_process_is_a_failure_of_its_task(error: BaseException) -> None:
    assert classify(error, RetryPolicy(autoretry_for=(Exception,)), REQUEST) == Failure(error)


def test_a_rejection_with_an_exception_in_place_of_a_reason_is_told_in_its_words() -> None:
    """`raise Reject(exc)` is what Celery's documentation shows."""
    assert classify(errors.Reject(BOOM), RetryPolicy(), REQUEST) == Reject("rejected", "boom")  # type: ignore[arg-type]


#: Headers that a message may have come with: ours, a Celery client's, the ladder's, the broker's, a user's.
CAME_WITH: dict[str, Any] = {
    "retries": 2,
    "lang": "py",
    "argsrepr": "(1,)",
    "origin": "gen1@web",
    "tenant": "acme",
    "x-amqptasks-first-time": 1000.5,
    "x-amqptasks-deliveries": 3,
    "x-amqptasks-d05": True,
    "x-amqptasks-to": "amqptasks.queues",
    "x-death": [{"queue": "amqptasks.delay.05", "count": 1}],
    "x-first-death-queue": "amqptasks.delay.05",
    "x-last-death-reason": "expired",
    "x-delivery-count": 4,
    "x-acquired-count": 5,
    "CC": ["others"],
}
#: Those among them that must never be published again.
STRIPPED = {name for name in CAME_WITH if name[:2] in ("x-", "CC")} - {
    "x-amqptasks-first-time",
    "x-amqptasks-deliveries",
}

#: Each outcome with what it means: the verdict, where a message goes first (None: nowhere), in how many seconds, and
#: the status of the reply that a caller who waits for one gets.
MEANINGS: list[tuple[Outcome, str, str | None, float, str | None]] = [
    (Success({"sum": 5}), "ack", None, 0, "SUCCESS"),
    (Success(None), "ack", None, 0, "SUCCESS"),
    (Retry(12.5, BOOM), "ack", "emails", 12.5, None),
    (Retry(0, None), "ack", "emails", 0, None),
    (Failure(BOOM), "ack", "emails.dead", 0, "FAILURE"),
    (Reject("rejected", "no such user"), "ack", "emails.dead", 0, "FAILURE"),
    (Reject("unknown-task", "no task"), "ack", "emails.dead", 0, "FAILURE"),
    (Reject("too-many-deliveries", "20 times"), "ack", "emails.dead", 0, "FAILURE"),
    (Reject("unsupported", "a chain"), "ack", "emails.dead", 0, "FAILURE"),
    (Expired("at noon"), "ack", "emails.dead", 0, "REVOKED"),
    (IGNORE, "ack", None, 0, None),
    (Replaced({"task": "shop.other"}), "ack", None, 0, None),
    (Postpone(60.0), "ack", "emails", 60.0, None),
    (Throttled(2.5, 1000.0, "its rate"), "ack", "emails", 2.5, None),
    (Recount(4), "ack", "emails", 0, None),
    (HAND_BACK, "nack", None, 0, None),
    (LOST, "nothing", None, 0, None),
]


@pytest.mark.parametrize("reply_to", [None, "replies"])
@pytest.mark.parametrize("dead_letters", [True, False])
@pytest.mark.parametrize(
    ("outcome", "verdict", "target", "delay", "status"), MEANINGS, ids=[str(row[0])[:40] for row in MEANINGS]
)
def test_an_outcome_means(
    outcome: Outcome,
    verdict: str,
    target: str | None,
    delay: float,
    status: str | None,
    reply_to: str | None,
    dead_letters: bool,
) -> None:
    came = delivery(
        "shop.work",
        1,
        headers=CAME_WITH,
        exchange="amqptasks.queues",
        reply_to=reply_to,
        correlation_id="call-7",
        user_id="guest",
        expiration="60000",
        priority=7,
        delivery_mode=1,
        app_id="web",
    )
    settings = QueueSettings("emails") if dead_letters else QueueSettings("emails", dead_letters=None)
    planned = settlement(job(came, settings), outcome, WORKER)
    assert planned.verdict == verdict
    assert planned.delay == delay
    if not dead_letters and target == "emails.dead":
        target = None
    if target is None:
        assert planned.onward == ()
    else:
        (sent,) = planned.onward
        assert sent is not None
        assert (sent.exchange, sent.routing_key, sent.mandatory) == ("amqptasks.queues", target, True)
        assert sent.body == came.body
        headers = sent.properties.headers or {}
        assert not headers.keys() & STRIPPED
        assert {name: headers[name] for name in ("task", "id", "tenant", "argsrepr", "origin", "lang")} == {
            "task": "shop.work",
            "id": "id-1",
            "tenant": "acme",
            "argsrepr": "(1,)",
            "origin": "gen1@web",
            "lang": "py",
        }
        assert sent.properties.user_id is None, "only its own user may publish it: 406"
        assert sent.properties.expiration is None, "it would run out on a rung"
        assert sent.properties.delivery_mode == PERSISTENT
        assert (sent.properties.priority, sent.properties.app_id) == (7, "web")
        assert (sent.properties.reply_to, sent.properties.correlation_id) == (reply_to, "call-7")
    status = "RETRY" if isinstance(outcome, Retry) else status
    if reply_to is None or status is None:
        assert planned.answer is None
    else:
        answer = planned.answer
        assert answer is not None
        assert (answer.exchange, answer.routing_key, answer.mandatory) == ("", "replies", False)
        assert answer.properties.correlation_id == "call-7"
        told = json.loads(answer.body)
        assert (told["task_id"], told["status"]) == ("id-1", status)
    assert came.properties.headers is not None
    assert came.properties.headers.keys() >= STRIPPED, "the delivery itself is not touched"


@pytest.mark.parametrize("outcome", [Failure(BOOM), Reject("rejected", "no"), Expired("at noon")])
def test_a_failure_tells_its_caller_what_it_was(outcome: Failure | Reject | Expired) -> None:
    answer = settlement(job(delivery(reply_to="replies")), outcome, WORKER).answer
    assert answer is not None
    told = json.loads(answer.body)
    kinds = {Failure: "ValueError", Reject: "TaskRejected", Expired: "TaskRevoked"}
    assert told["result"]["exc_type"] == kinds[type(outcome)]


@pytest.mark.parametrize(("retries", "first_time"), [(0, None), (0, 1000.5), (2, None), (2, 1000.5)])
def test_a_retry_counts_one_more_and_keeps_the_first_time(retries: int, first_time: float | None) -> None:
    headers: dict[str, Any] = {"retries": retries} if retries else {}
    if first_time is not None:
        headers["x-amqptasks-first-time"] = first_time
    before = datetime.now(UTC).timestamp()
    (sent,) = settlement(job(delivery(headers=headers)), Retry(10.0, BOOM), WORKER).onward
    assert sent is not None
    found = sent.properties.headers or {}
    assert found["retries"] == retries + 1
    assert found["x-amqptasks-first-time"] == pytest.approx(first_time or before, abs=5)
    assert datetime.fromisoformat(str(found["eta"])).timestamp() == pytest.approx(before + 10, abs=5)
    assert "x-amqptasks-deliveries" not in found, "the next attempt has not been delivered yet"


def test_a_retry_with_other_arguments_has_another_body_and_the_rest_as_it_came() -> None:
    came = delivery("shop.work", 1, 2, headers={"tenant": "acme"})
    (sent,) = settlement(job(came), Retry(1.0, None, (9,), {"key": "x"}), WORKER).onward
    assert sent is not None
    again = protocol.decode(sent.properties, sent.body)
    assert isinstance(again, Request)
    assert (again.args, again.kwargs, again.id, again.headers["tenant"]) == ((9,), {"key": "x"}, "id-1", "acme")
    (kept,) = settlement(job(came), Retry(1.0, None, None, {"key": "x"}), WORKER).onward
    assert kept is not None
    half = protocol.decode(kept.properties, kept.body)
    assert isinstance(half, Request)
    assert (half.args, half.kwargs) == ((1, 2), {"key": "x"})


def test_a_retry_whose_arguments_cannot_be_sent_raises() -> None:
    with pytest.raises(ConfigurationError, match="argument 1"):
        settlement(job(), Retry(1.0, None, (object(),)), WORKER)


def test_a_recount_changes_our_count_and_nothing_else() -> None:
    came = delivery("shop.work", 1, headers={"retries": 1, "tenant": "acme"})
    (sent,) = settlement(job(came), Recount(4), WORKER).onward
    assert sent is not None
    assert sent.properties.headers == {**(came.properties.headers or {}), "x-amqptasks-deliveries": 4}


@pytest.mark.parametrize(
    ("in_message", "in_task", "answered"),
    [(None, None, True), (True, None, False), (False, True, True), (None, True, False), (True, False, False)],
)
def test_ignore_result_of_the_message_beats_that_of_the_task(
    in_message: bool | None, in_task: bool | None, answered: bool
) -> None:
    from amqptasks import App

    headers = {} if in_message is None else {"ignore_result": in_message}
    made = job(delivery(headers=headers, reply_to="replies"))
    options: dict[str, Any] = {} if in_task is None else {"ignore_result": in_task}
    made.task = App("shop", "memory://unused").task(name="shop.work", **options)(lambda: None)
    assert (settlement(made, Success(1), WORKER).answer is not None) is answered


def test_a_malformed_message_with_a_reply_address_is_answered_under_its_correlation_id() -> None:
    made = job(delivery(body=b"{", reply_to="replies", correlation_id="call-\udce47"), decoded=False)
    answer = settlement(made, Reject("malformed", "no JSON"), WORKER).answer
    assert answer is not None
    assert answer.properties.correlation_id == "call-\udce47", "the same bytes again"
    assert json.loads(answer.body)["status"] == "FAILURE"
