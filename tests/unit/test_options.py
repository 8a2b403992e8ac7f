"""An option that does not exist is refused, with what was probably meant."""

from __future__ import annotations

import pytest

from amqptasks.errors import UnknownOption
from amqptasks.options import CallOptions, TaskOptions, check


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
