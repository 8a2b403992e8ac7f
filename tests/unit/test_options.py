"""An option that does not exist is refused, with what was probably meant."""

from __future__ import annotations

from typing import Any

import pytest

from amqptasks.errors import UnknownOption
from amqptasks.options import ELSEWHERE, CallOptions, TaskOptions, check, publish_timeout


def test_known_options_pass() -> None:
    check({"queue": "emails", "max_retries": 3, "autoretry_for": (OSError,)}, TaskOptions, "task 'a'")
    check({"countdown": 5, "priority": 9, "task_id": "x", "timeout": 3}, CallOptions, "apply_async() of 'a'")
    check({}, CallOptions, "apply_async() of 'a'")


@pytest.mark.parametrize(
    ("option", "known", "meant"),
    [
        ("max_retrys", TaskOptions, "max_retries"),
        ("que", TaskOptions, "queue"),
        ("contdown", CallOptions, "countdown"),
        ("taskid", CallOptions, "task_id"),
    ],
)
def test_a_misspelt_option_is_refused_with_a_suggestion(option: str, known: type, meant: str) -> None:
    with pytest.raises(UnknownOption) as raised:
        check({option: 1}, known, "task 'shop.send'")
    assert str(raised.value) == f"task 'shop.send' has no option {option!r}; did you mean {meant!r}?"


def test_an_option_like_no_other_is_answered_with_the_whole_list() -> None:
    with pytest.raises(UnknownOption, match=r"no option 'zzz'; known are: chain, compression, countdown, .*timeout"):
        check({"zzz": 1, "queue": "q"}, CallOptions, "call")


def test_an_option_of_a_call_is_none_of_a_task() -> None:
    with pytest.raises(UnknownOption, match="countdown"):
        check(["countdown"], TaskOptions, "task 'a'")


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_a_name_that_celery_has_and_we_do_not_is_answered_with_what_to_do(name: str) -> None:
    assert name not in TaskOptions.__annotations__.keys() | CallOptions.__annotations__.keys()
    with pytest.raises(UnknownOption) as raised:
        check([name], CallOptions, "a call")
    assert str(raised.value) == f"a call has no option {name!r}; {ELSEWHERE[name]}"


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({}, 30.0),
        ({"timeout": 5, "retry": False}, 5.0),
        ({"retry": False}, 4.0),
        ({"retry": True}, 30.0),
        ({"retry_policy": {"max_retries": None}}, 30.0),
        ({"retry_policy": {"max_retries": 0}}, 4.0),
        ({"retry_policy": {"max_retries": 3}}, 16.6),
        (
            {"retry_policy": {"max_retries": 3, "interval_start": 1, "interval_step": 2, "interval_max": 4}},
            24.0,
        ),
    ],
)
def test_a_number_of_tries_is_the_time_that_they_take(options: dict[str, Any], seconds: float) -> None:
    assert publish_timeout(options, 30.0) == pytest.approx(seconds)


def test_an_unknown_part_of_a_publish_retry_policy_is_refused() -> None:
    with pytest.raises(UnknownOption, match="did you mean 'max_retries'"):
        publish_timeout({"retry_policy": {"max_retrys": 1}}, 30.0)
