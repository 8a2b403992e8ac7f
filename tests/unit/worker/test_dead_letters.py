"""What a dead letter says, and that it can always be sent."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from amqptasks.amqp.wire.tables import encode_properties, table
from amqptasks.tasks.outcomes import Expired, Failure, Reject
from amqptasks.topology.topology import QueueSettings
from amqptasks.untrusted.field_table import LARGEST_HEADERS
from amqptasks.worker.job.dead_letters import bare, dead_letter, reason_headers
from tests.unit.worker.jobs import WORKER, delivery, job

#: Bytes that the reason may take in all.
LIMIT = 16 * 1024


def raised(error: BaseException, levels: int = 0) -> BaseException:
    """The error with a traceback, through as many frames."""

    def sink(level: int) -> None:
        if level:
            sink(level - 1)
        raise error

    try:
        sink(levels)
    except BaseException as caught:
        return caught
    raise AssertionError


def letter(outcome: Failure | Reject | Expired, **headers: Any) -> dict[str, Any]:
    return dead_letter(job(delivery(headers=headers)), outcome, WORKER).properties.headers or {}


def test_a_failure_says_what_where_when_and_who() -> None:
    made = job(delivery("shop.work", 1, headers={"retries": 2, "x-amqptasks-first-time": 1000.5}))
    made.started = 1.0
    sent = dead_letter(made, Failure(raised(KeyError("user"))), WORKER)
    headers = sent.properties.headers or {}
    assert (sent.exchange, sent.routing_key, sent.body) == ("amqptasks.queues", "emails.dead", made.delivery.body)
    assert headers["x-amqptasks-reason"] == "failed"
    assert headers["x-amqptasks-detail"] == "KeyError: 'user'"
    assert headers["x-amqptasks-exception"] == "builtins.KeyError"
    assert headers["x-amqptasks-message"] == "'user'"
    assert "in sink" in str(headers["x-amqptasks-traceback"])
    assert headers["x-amqptasks-attempts"] == 3
    assert headers["x-amqptasks-queue"] == "emails"
    assert headers["x-amqptasks-worker"] == WORKER
    assert headers["x-amqptasks-first-time"] == 1000.5
    assert float(str(headers["x-amqptasks-last-time"])) > 1000.5


def test_a_message_that_never_ran_has_no_attempt() -> None:
    assert letter(Reject("unknown-task", "no task"))["x-amqptasks-attempts"] == 0
    assert letter(Expired("at noon"), retries=2)["x-amqptasks-attempts"] == 2
    undecoded = job(delivery(body=b"{"), decoded=False)
    assert reason_headers(undecoded, Reject("malformed", "no JSON"), WORKER)["x-amqptasks-attempts"] == 0


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x" * 1_000_000),
        ValueError("é" * 1_000_000),
        raised(ValueError("deep"), 500),
        type("N" * 5000, (Exception,), {"__module__": "m" * 5000})("x" * 50_000),
        ExceptionGroup("many", [raised(ValueError("é" * 2000)) for _ in range(50)]),
    ],
    ids=["long text", "wide text", "deep", "long names", "group"],
)
def test_the_reason_has_at_most_16_kib(error: BaseException) -> None:
    headers = reason_headers(job(), Failure(raised(error)), "w" * 200)
    assert len(table(headers)) <= LIMIT


@pytest.mark.parametrize("outcome", [Reject("malformed", "é" * 100_000), Expired("x" * 100_000)])
def test_a_long_detail_is_cut_too(outcome: Reject | Expired) -> None:
    headers = reason_headers(job(), outcome, WORKER)
    assert str(headers["x-amqptasks-detail"]).endswith("...")
    assert len(table(headers)) <= LIMIT


def test_a_long_traceback_is_cut_in_its_middle() -> None:
    text = str(letter(Failure(raised(ValueError("the end " + "x" * 30_000 + " of it"))))["x-amqptasks-traceback"])
    assert text.startswith("Traceback (most recent call last)")
    assert " bytes cut ..." in text
    assert text.rstrip().endswith("x of it")


class Odd(Exception):
    """Its text is what the test says."""

    def __init__(self, says: Any) -> None:
        self.says = says
        super().__init__()

    def __str__(self) -> str:
        if isinstance(self.says, BaseException):
            raise self.says
        return self.says


@pytest.mark.parametrize(
    ("says", "text"),
    [
        (RuntimeError("inner"), "<its text raised RuntimeError>"),
        (SystemExit(1), "<its text raised SystemExit>"),
        (7, "<its text raised TypeError>"),
        ("half \ud800 a pair", "half ? a pair"),
        ("nul \x00 and \U0001f600", "nul \x00 and \U0001f600"),
        ("", ""),
    ],
)
def test_an_odd_text_of_an_exception_is_told_as_well_as_it_can_be(says: object, text: str) -> None:
    sent = dead_letter(job(), Failure(raised(Odd(says))), WORKER)
    assert (sent.properties.headers or {})["x-amqptasks-message"] == text
    encode_properties(sent.properties)


def test_headers_that_do_not_fit_into_a_dead_letter_are_dropped_and_counted() -> None:
    given = {"retries": 2, "huge": "x" * 200_000, "compression": "application/zlib", "tenant": "a"}
    made = job(delivery(headers=given), decoded=False)
    headers = dead_letter(made, Failure(raised(ValueError("boom"))), WORKER).properties.headers or {}
    assert "huge" not in headers
    assert headers["tenant"] == "a"
    assert headers["compression"] == "application/zlib"
    assert headers["x-amqptasks-headers-dropped"] == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"retries": 2**63 - 1},
        {"retries": -(2**63)},
        {"a": 2**64, "b": float("inf"), "c": "half \ud800 a pair", "d": {1, 2}},
        {"x-amqptasks-first-time": float("nan"), "x-amqptasks-attempts": 2**70, "x-amqptasks-reason": ["odd"] * 99_999},
        {"x-amqptasks-first-time": 2**63 - 1, "x-amqptasks-traceback": "x" * 200_000},
        {"task": "t" * 200_000, "id": ["a list"], "root_id": "r" * 200_000, "eta": Decimal("NaN")},
        {f"header {number}": "x" * 1000 for number in range(300)},
        {"many": [[[1]] * 100] * 400, "when": datetime(1969, 1, 1, tzinfo=UTC), "also": Decimal("1e30")},
    ],
    ids=["retries", "negative", "odd", "forged", "forged large", "essential", "many", "nested"],
)
def test_a_dead_letter_can_be_written_whatever_headers_the_message_has(headers: dict[str, Any]) -> None:
    made = job(decoded=False)
    assert made.delivery.properties.headers is not None
    made.delivery.properties.headers.update(headers)
    for outcome in (Failure(raised(ValueError("boom"))), Reject("malformed", "header")):
        sent = dead_letter(made, outcome, WORKER)
        assert len(encode_properties(sent.properties)) < LARGEST_HEADERS
        assert (sent.properties.headers or {})["x-amqptasks-queue"] == "emails"
        assert len(encode_properties(bare(sent).properties)) < 2 * LIMIT


def test_a_bare_dead_letter_has_the_reason_and_the_essential_headers_alone() -> None:
    made = job(delivery(headers={"tenant": "acme", "retries": 2}, reply_to="replies", app_id="shop"))
    full = dead_letter(made, Failure(raised(ValueError("boom"))), WORKER)
    lean = bare(full)
    headers = lean.properties.headers or {}
    assert headers["x-amqptasks-headers-dropped"] == 1
    assert "tenant" not in headers
    assert (headers["task"], headers["id"], headers["retries"]) == ("shop.work", "id-1", 2)
    reason = {name: value for name, value in (full.properties.headers or {}).items() if name.startswith("x-amqptasks")}
    assert headers.items() >= reason.items()
    assert (lean.exchange, lean.routing_key, lean.body) == (full.exchange, full.routing_key, full.body)
    assert (lean.properties.reply_to, lean.properties.app_id) == (None, None)
    assert lean.properties.correlation_id == "id-1"


def test_a_queue_without_dead_letters_has_no_letter_to_write() -> None:
    with pytest.raises(AssertionError):
        dead_letter(job(queue=QueueSettings("emails", dead_letters=None)), Expired("at noon"), WORKER)
