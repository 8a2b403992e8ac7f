"""What a task's options say about how often it may run, and how many of it at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amqptasks.errors import ConfigurationError
from amqptasks.options import rates
from amqptasks.options.keys import checked_key, text_of
from amqptasks.options.rates import Rate

#: Seconds that a task may be put off by its limits before it is given up: a week. Long enough for a backlog over a
#: holiday, and an end for one that its rate can never work off.
THROTTLE_FOR = 7 * 86400.0

#: The options of a task that limit it.
LIMIT_OPTIONS = frozenset(
    {"rate_limit", "cluster_rate_limit", "max_concurrency", "concurrency_key", "lock", "throttle_for"}
)

#: Seconds between two runs by `cluster_rate_limit`, at most. A token is held unacknowledged as long, and RabbitMQ takes
#: back what is not acknowledged for 30 minutes (`consumer_timeout`): half of that is safe.
LONGEST_INTERVAL = 900.0

#: At most so many of a task at once by `max_concurrency`: each is a message on the broker. More is no limit.
MOST_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class TaskLimits:
    """`rate` is for each worker, `cluster_rate` for all together; `at_once` for all together, of the task or, with a
    `key` (a format string over the arguments' names), of what the key comes to. `throttle_for` in seconds."""

    rate: Rate | None = None
    cluster_rate: Rate | None = None
    at_once: int | None = None
    key: str | None = None
    throttle_for: float = THROTTLE_FOR

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> TaskLimits | None:
        """None for a task without limits. Raises `ConfigurationError`."""
        at_once, key = options.get("max_concurrency"), options.get("concurrency_key")
        lock = options.get("lock")
        if lock:
            if at_once is not None or key is not None:
                raise ConfigurationError("lock= is max_concurrency=1 with a concurrency_key=: give one of them")
            at_once, key = 1, None if lock is True else lock
        if at_once is not None and (type(at_once) is not int or not 1 <= at_once <= MOST_AT_ONCE):
            raise ConfigurationError(f"max_concurrency is {at_once!r}: give a whole number from 1 to {MOST_AT_ONCE}")
        if key is not None and at_once is None:
            raise ConfigurationError("concurrency_key= says of what, and max_concurrency= how many: give both")
        limits = cls(
            rates.parse(options.get("rate_limit")),
            _of_all(rates.parse(options.get("cluster_rate_limit"), "cluster_rate_limit")),
            at_once,
            None if key is None else checked_key(key),
            _seconds(options.get("throttle_for", THROTTLE_FOR)),
        )
        return limits if limits.rate or limits.cluster_rate or limits.at_once else None

    def key_of(self, arguments: Mapping[str, Any]) -> str | None:
        """What the key comes to for these arguments; None without a key. Raises `ConfigurationError` where it names
        what is not there."""
        return None if self.key is None else text_of(self.key, arguments)


def _of_all(given: Rate | None) -> Rate | None:
    if given is not None and given.interval > LONGEST_INTERVAL:
        raise ConfigurationError(
            f"cluster_rate_limit is {given.written}: the slowest that a token on the broker can keep is 4/h"
        )
    return given


def _seconds(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not given > 0:
        raise ConfigurationError(f"throttle_for is {given!r}: give seconds above 0")
    return float(given)
