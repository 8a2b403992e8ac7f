"""When a failed task runs again: pure functions, so tables tell it all."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from amqptasks.errors import ConfigurationError, Ignore, MaxRetriesExceeded, Reject, Retry
from amqptasks.options.retry import LONGEST_DELAY, GiveUp, RetryAfter, RetryPolicy, decide, delay

OFTEN = RetryPolicy(autoretry_for=(OSError,), dont_autoretry_for=(FileNotFoundError,), default_retry_delay=7)
BACKOFF = RetryPolicy(retry_backoff=2, retry_backoff_max=60, retry_jitter=False)
LADDER = RetryPolicy(delays=(5, 30, 300))


def middle() -> float:
    return 0.5


@pytest.mark.parametrize(
    ("policy", "attempt", "drawn", "seconds"),
    [
        (RetryPolicy(), 0, 0.9, 180.0),
        (RetryPolicy(default_retry_delay=0.25), 3, 0.9, 0.25),
        (BACKOFF, 0, 0.0, 2.0),
        (BACKOFF, 1, 0.0, 4.0),
        (BACKOFF, 4, 0.0, 32.0),
        (BACKOFF, 5, 0.0, 60.0),
        (BACKOFF, 10**6, 0.0, 60.0),
        (BACKOFF, 10**30, 0.0, 60.0),
        (RetryPolicy(retry_backoff=0.1, retry_jitter=False), 2, 0.0, 0.4),
        (RetryPolicy(retry_backoff=True, retry_jitter=False), 3, 0.0, 8.0),
        (RetryPolicy(retry_backoff=True, retry_jitter=True), 3, 0.0, 0.8),
        (RetryPolicy(retry_backoff=True, retry_jitter=True), 3, 1.0, 8.0),
        (RetryPolicy(retry_backoff=1, retry_backoff_max=1e300), 10**6, 1.0, LONGEST_DELAY),
        (LADDER, 0, 0.9, 5.0),
        (LADDER, 2, 0.9, 300.0),
        (LADDER, 3, 0.9, 300.0),
        (RetryPolicy(delays=(10,), jitter=0.1), 0, 0.0, 9.0),
        (RetryPolicy(delays=(10,), jitter=0.1), 0, 0.5, 10.0),
        (RetryPolicy(delays=(10,), jitter=0.1), 0, 1.0, 11.0),
        (RetryPolicy(retry_backoff=10, retry_jitter=False, jitter=0.1), 0, 0.0, 9.0),
    ],
)
def test_the_delay_of_an_attempt(policy: RetryPolicy, attempt: int, drawn: float, seconds: float) -> None:
    assert delay(policy, attempt, lambda: drawn) == pytest.approx(seconds)


@given(st.integers(0, 10**7), st.floats(0, 1e300), st.floats(0, 1e300), st.booleans(), st.floats(0, 1))
def test_a_delay_is_always_a_time_that_the_ladder_can_hold(
    attempt: int, first: float, longest: float, jitter: bool, drawn: float
) -> None:
    policy = RetryPolicy(retry_backoff=first, retry_backoff_max=longest, retry_jitter=jitter)
    assert 0 <= delay(policy, attempt, lambda: drawn) <= LONGEST_DELAY


CAUSE = ValueError("cause")


@pytest.mark.parametrize(
    ("policy", "retries", "error", "seconds"),
    [
        (OFTEN, 0, OSError(), 7.0),
        (OFTEN, 2, ConnectionError(), 7.0),
        (RetryPolicy(max_retries=None, autoretry_for=(OSError,)), 10**6, OSError(), 180.0),
        (RetryPolicy(), 0, Retry(), 180.0),
        (RetryPolicy(), 2, Retry(0.5), 0.5),
        (RetryPolicy(), 0, Retry(0), 0.0),
        (RetryPolicy(), 0, Retry(-5), 0.0),
        (RetryPolicy(max_retries=0), 4, Retry(1, max_retries=5), 1.0),
    ],
)
def test_these_run_again(policy: RetryPolicy, retries: int, error: Exception, seconds: float) -> None:
    decided = decide(policy, retries, error, middle)
    assert decided == RetryAfter(seconds, None if isinstance(error, Retry) else error)


def test_the_cause_of_an_explicit_retry_is_kept() -> None:
    assert decide(RetryPolicy(), 0, Retry(1, cause=CAUSE), middle) == RetryAfter(1.0, CAUSE)


@pytest.mark.parametrize(
    ("policy", "retries", "error", "exhausted"),
    [
        (OFTEN, 0, ValueError(), False),
        (OFTEN, 0, FileNotFoundError(), False),
        (OFTEN, 3, OSError(), True),
        (OFTEN, 3, ValueError(), False),
        (RetryPolicy(max_retries=0, autoretry_for=(OSError,)), 0, OSError(), True),
        (RetryPolicy(autoretry_for=(Exception,)), 0, Reject(), False),
        (RetryPolicy(autoretry_for=(Exception,)), 0, Ignore(), False),
    ],
)
def test_these_end_with_their_own_error(policy: RetryPolicy, retries: int, error: Exception, exhausted: bool) -> None:
    assert decide(policy, retries, error, middle) == GiveUp(error, exhausted)


def test_an_explicit_retry_too_many_fails_with_its_cause_or_says_so() -> None:
    assert decide(RetryPolicy(), 3, Retry(cause=CAUSE), middle) == GiveUp(CAUSE, True)
    given_up = decide(RetryPolicy(), 9, Retry(max_retries=2), middle)
    assert isinstance(given_up, GiveUp)
    assert isinstance(given_up.cause, MaxRetriesExceeded)
    assert "9 retries" in str(given_up.cause)


def test_a_policy_is_read_from_a_tasks_options() -> None:
    options = {"name": "a", "queue": "q", "max_retries": None, "retry_backoff": True, "autoretry_for": OSError}
    assert RetryPolicy.from_options(options) == RetryPolicy(
        max_retries=None, retry_backoff=1.0, autoretry_for=(OSError,)
    )


@pytest.mark.parametrize(
    "options",
    [
        {"max_retries": -1},
        {"max_retries": 1.5},
        {"max_retries": True},
        {"retry_backoff": -1},
        {"retry_backoff_max": float("inf")},
        {"default_retry_delay": "5s"},
        {"delays": (1, -1)},
        {"jitter": 1.1},
        {"jitter": "10%"},
        {"autoretry_for": (5,)},
        {"autoretry_for": 5},
        {"dont_autoretry_for": (int,)},
    ],
)
def test_a_number_that_cannot_be_is_refused(options: dict) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        RetryPolicy(**options)
