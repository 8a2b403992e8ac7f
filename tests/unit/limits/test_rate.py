from __future__ import annotations

import pytest

from amqptasks import App
from amqptasks.errors import ConfigurationError
from amqptasks.options import rates
from amqptasks.options.keys import text_of
from amqptasks.options.limits import THROTTLE_FOR, TaskLimits
from amqptasks.untrusted import bounds


@pytest.mark.parametrize(
    ("given", "interval"),
    [("10/s", 0.1), ("100/m", 0.6), ("2/h", 1800.0), ("0.5/s", 2.0), (10, 0.1), (0.5, 2.0), ("4", 0.25)],
)
def test_a_rate_is_read_as_celery_reads_it(given: object, interval: float) -> None:
    parsed = rates.parse(given)
    assert parsed is not None
    assert parsed.interval == pytest.approx(interval)


@pytest.mark.parametrize("given", [None, 0, "0", "0/m"])
def test_no_rate_is_no_limit(given: object) -> None:
    assert rates.parse(given) is None


@pytest.mark.parametrize("given", ["ten/s", "10/d", "10/", "-1/s", "nan", "inf", True, "", "10/s/s"])
def test_what_is_no_rate_is_refused_with_an_example(given: object) -> None:
    if given == "10/":  # Celery takes it for seconds, and so do we
        assert rates.parse(given) == rates.Rate("10/", 0.1)
        return
    with pytest.raises(ConfigurationError, match="100/m"):
        rates.parse(given)


def test_a_task_without_limits_has_none() -> None:
    app = App("shop", "memory://")
    assert app.task(name="free")(lambda: None).limits is None
    limits = app.task(name="limited", rate_limit="100/m")(lambda: None).limits
    assert limits is not None
    assert limits.rate == rates.Rate("100/m", 0.6)
    assert limits.throttle_for == THROTTLE_FOR


@pytest.mark.parametrize(
    "options",
    [
        {"rate_limit": "often"},
        {"rate_limit": 1, "throttle_for": 0},
        {"rate_limit": 1, "throttle_for": "1d"},
        {"max_concurrency": 0},
        {"max_concurrency": True},
        {"max_concurrency": 10**6},
        {"concurrency_key": "{account}"},
        {"max_concurrency": 2, "concurrency_key": "account"},
        {"max_concurrency": 2, "concurrency_key": "{}"},
        {"max_concurrency": 2, "concurrency_key": "{0}"},
        {"max_concurrency": 2, "concurrency_key": "{"},
        {"max_concurrency": 2, "concurrency_key": len},
        {"lock": "{account}", "max_concurrency": 2},
    ],
)
def test_limits_that_cannot_be_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        TaskLimits.from_options(options)


def test_a_lock_is_one_at_once_of_its_key() -> None:
    limits = TaskLimits.from_options({"lock": "account-{account}"})
    assert limits is not None
    assert limits.at_once == 1
    assert limits.key_of({"account": 7, "other": 1}) == "account-7"
    with pytest.raises(ConfigurationError, match="other"):
        limits.key_of({"other": 1})
    whole = TaskLimits.from_options({"lock": True})
    assert whole is not None
    assert (whole.at_once, whole.key_of({})) == (1, None)


LARGE = "x" * (bounds.LARGEST_KEY + 1)


@pytest.mark.parametrize(
    ("key", "arguments"),
    [
        ("{text}", {"text": LARGE}),
        ("{text!r}", {"text": LARGE}),
        ("{many}", {"many": [[1, [LARGE]]]}),
        ("{many}", {"many": [""] * (bounds.LARGEST_KEY + 1)}),
        ("{order[text]}", {"order": {"text": LARGE}}),
        ("{order}", {"order": {LARGE: 1}}),
        ("{of:>{text}}", {"of": 1, "text": LARGE}),
    ],
)
def test_a_key_of_a_large_argument_is_refused_before_it_is_made(key: str, arguments: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="has more than 1048576 characters"):
        text_of(key, arguments)


@pytest.mark.parametrize(
    ("key", "arguments", "text"),
    [
        ("{order[id]}", {"order": {"id": 7, "text": LARGE}}, "7"),
        ("{id}-{many!r:.3}", {"id": "ö", "many": [1, 2], "text": LARGE}, "ö-[1,"),
        ("{id:>{width}}", {"id": 1, "width": 3, "text": LARGE}, "  1"),
        ("{id:03}{text[0]}{{}}", {"id": 1, "text": LARGE}, "001x{}"),
    ],
)
def test_a_key_is_the_same_whatever_else_is_large(key: str, arguments: dict[str, object], text: str) -> None:
    assert text_of(key, arguments) == text
    small = {name: value for name, value in arguments.items() if name != "text"}
    if "text" not in key:
        assert text_of(key, small) == text
