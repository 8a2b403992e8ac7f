"""When to run a failed task again: pure functions of a policy, the attempt and the error."""

from __future__ import annotations

import random as _random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from math import inf, isfinite, ldexp
from typing import Any

from amqptasks.errors import ConfigurationError, Ignore, InvalidArguments, MaxRetriesExceeded, NotAwaited, Reject, Retry
from amqptasks.untrusted.numbers import counted

ErrorTypes = tuple[type[BaseException], ...]

#: Full jitter spreads retries best (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), but a
#: draw near 0 asks a service that has just failed at once; a tenth of the delay is always kept.
_LEAST_PART = 0.1

#: Seconds; a year is the longest delay that the broker's ladder is built for.
LONGEST_DELAY = 365 * 86400.0


#: The options of a task that say how it is retried.
RETRY_OPTIONS = frozenset(
    {
        "max_retries",
        "autoretry_for",
        "retry_backoff",
        "retry_backoff_max",
        "retry_jitter",
        "retry_kwargs",
        "default_retry_delay",
    }
)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a task is retried. Times are in seconds; the defaults are Celery's.

    `max_retries` None means for ever. `autoretry_for` names what is retried without a call of `retry()`,
    `dont_autoretry_for` takes some of it out again. `retry_backoff` is the first delay of an exponential back-off (0 is
    off, True means 1), `retry_backoff_max` its longest; `retry_jitter` draws each delay of it between a tenth and the
    whole. Without back-off, `default_retry_delay` is the delay.

    `delays` is a queue's fixed list, the last repeats; it comes before the rest. `jitter` is a fraction (0.1 for 10 %)
    by which a delay varies to either side, where `retry_jitter` does not apply.

    Raises `ConfigurationError` for a number that cannot be.
    """

    max_retries: int | None = 3
    autoretry_for: ErrorTypes = ()
    dont_autoretry_for: ErrorTypes = ()
    retry_backoff: float = 0.0
    retry_backoff_max: float = 600.0
    retry_jitter: bool = True
    default_retry_delay: float = 180.0
    delays: tuple[float, ...] = ()
    jitter: float = 0.0

    def __post_init__(self) -> None:
        for name in ("autoretry_for", "dont_autoretry_for"):
            object.__setattr__(self, name, _error_types(name, getattr(self, name)))
        if self.max_retries is not None and (type(self.max_retries) is not int or self.max_retries < 0):
            raise ConfigurationError(f"max_retries is {self.max_retries!r}: give a whole number from 0 up, or None")
        object.__setattr__(self, "delays", tuple(_seconds("delays", value) for value in self.delays))
        for name in ("retry_backoff", "retry_backoff_max", "default_retry_delay"):
            object.__setattr__(self, name, _seconds(name, getattr(self, name)))
        if not isinstance(self.jitter, int | float) or not 0 <= self.jitter <= 1:
            raise ConfigurationError(f"jitter is {self.jitter!r}: give a fraction from 0 to 1 (0.1 for 10 %)")

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> RetryPolicy:
        """The policy in a task's options; options that are not about retries are passed over.

        `retry_kwargs` is Celery's way to give `max_retries` and `countdown` (our `default_retry_delay`).
        """
        given = {field.name: options[field.name] for field in fields(cls) if field.name in options}
        more = dict(options.get("retry_kwargs") or {})
        if "countdown" in more:
            given.setdefault("default_retry_delay", more.pop("countdown"))
        if "max_retries" in more:
            given.setdefault("max_retries", more.pop("max_retries"))
        if more:
            raise ConfigurationError(f"retry_kwargs has {min(more)!r}: give max_retries and countdown")
        return cls(**given)


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Run it again in `seconds`. `cause` is what made this attempt fail, where there was an exception."""

    seconds: float
    cause: BaseException | None


@dataclass(frozen=True, slots=True)
class GiveUp:
    """This attempt was the last: `cause` is the failure. `exhausted` tells that there had been retries to use up."""

    cause: BaseException
    exhausted: bool


def decide(
    policy: RetryPolicy, retries_so_far: int, error: BaseException, random: Callable[[], float] = _random.random
) -> RetryAfter | GiveUp:
    """What follows from `error` in an attempt that had `retries_so_far` retries before it (0 for the first)."""
    if isinstance(error, Retry):
        limit = policy.max_retries if error.max_retries is None else error.max_retries
        if limit is not None and retries_so_far >= limit:
            return GiveUp(
                error.cause or MaxRetriesExceeded(f"after {counted(retries_so_far, 'retry', 'retries')}"),
                exhausted=True,
            )
        seconds = delay(policy, retries_so_far, random) if error.delay is None else within(error.delay)
        return RetryAfter(seconds, error.cause)
    if (
        isinstance(error, Reject | Ignore | InvalidArguments | NotAwaited)
        or not isinstance(error, policy.autoretry_for)
        or isinstance(error, policy.dont_autoretry_for)
    ):
        return GiveUp(error, exhausted=False)
    if policy.max_retries is not None and retries_so_far >= policy.max_retries:
        return GiveUp(error, exhausted=True)
    return RetryAfter(delay(policy, retries_so_far, random), error)


def delay(policy: RetryPolicy, attempt: int, random: Callable[[], float]) -> float:
    """Seconds to wait after `attempt` (0 is the first) failed; `random` draws from 0 to 1."""
    if policy.delays:
        return _spread(policy.delays[min(attempt, len(policy.delays) - 1)], policy.jitter, random)
    if not policy.retry_backoff:
        return _spread(policy.default_retry_delay, policy.jitter, random)
    seconds = min(_doubled(policy.retry_backoff, attempt), policy.retry_backoff_max)
    if policy.retry_jitter:
        return within(seconds * (_LEAST_PART + (1 - _LEAST_PART) * random()))
    return _spread(seconds, policy.jitter, random)


def _doubled(seconds: float, times: int) -> float:
    try:
        return ldexp(seconds, times)
    except OverflowError:
        return inf


def _spread(seconds: float, fraction: float, random: Callable[[], float]) -> float:
    return within(seconds * (1 + fraction * (2 * random() - 1)) if fraction else seconds)


def within(seconds: float) -> float:
    """A delay that the ladder can make."""
    return min(max(seconds, 0.0), LONGEST_DELAY)


def _seconds(name: str, value: Any) -> float:
    if not isinstance(value, int | float) or not isfinite(value) or value < 0:
        raise ConfigurationError(f"{name} is {value!r}: give seconds, as a number from 0 up")
    return float(value)


def _error_types(name: str, value: Any) -> ErrorTypes:
    types = tuple(value) if isinstance(value, Iterable) and not isinstance(value, type) else (value,)
    for kind in types:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise ConfigurationError(f"{name} has {kind!r} in it: give exception classes, as {name}=(OSError,)")
    return types
