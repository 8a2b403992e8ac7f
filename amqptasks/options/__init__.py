"""The options of a task and of a call, by name and type; one that does not exist is refused, with a suggestion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict

from amqptasks.options.catalogue import CALL, RETRY, TASK, TASK_DEFAULTS
from amqptasks.options.check import checked, checked_app, names_checked, refuse_two_places
from amqptasks.options.elsewhere import ELSEWHERE
from amqptasks.options.workers import WORKER

__all__ = [
    "CALL",
    "ELSEWHERE",
    "NO_OPTIONS",
    "RETRY",
    "TASK",
    "TASK_DEFAULTS",
    "WORKER",
    "CallOptions",
    "MessageOptions",
    "PublishRetryPolicy",
    "TaskOptions",
    "UnboundTaskOptions",
    "checked",
    "checked_app",
    "names_checked",
    "publish_timeout",
    "refuse_two_places",
]

#: A length of time: a number of seconds, or a `timedelta`.
Duration = float | timedelta

#: A moment: a `datetime`, or a text in ISO 8601. Without a zone it is in UTC.
Moment = datetime | str

#: One exception class, or several.
ErrorClasses = type[BaseException] | tuple[type[BaseException], ...]


class PublishRetryPolicy(TypedDict, total=False):
    """Celery's words for how long a publish is tried: `max_retries` tries more (None: as long as `timeout`), with
    `interval_start`, then `interval_step` more each time, up to `interval_max` seconds between two."""

    max_retries: int | None
    interval_start: Duration
    interval_step: Duration
    interval_max: Duration


class MessageOptions(TypedDict, total=False):
    """Of a task and of a call alike: those of a call come first. docs/options.md describes each."""

    priority: int
    queue: str
    exchange: str
    routing_key: str
    serializer: str
    compression: str
    expires: Duration | Moment | None
    time_limit: Duration | None
    soft_time_limit: Duration | None
    headers: Mapping[str, object]
    shadow: str
    ignore_result: bool
    link: Any
    link_error: Any
    unique: bool | str
    unique_for: Duration | None
    retry: bool
    retry_policy: PublishRetryPolicy


class UnboundTaskOptions(MessageOptions, total=False):
    """Of `@app.task(...)`, but `bind` and `base`. docs/options.md describes each."""

    name: str
    max_retries: int | None
    autoretry_for: ErrorClasses
    dont_autoretry_for: ErrorClasses
    retry_backoff: Duration | bool
    retry_backoff_max: Duration
    retry_jitter: bool
    retry_kwargs: Mapping[str, Any]
    default_retry_delay: Duration
    max_snoozes: int
    acks_late: bool
    throws: ErrorClasses
    typing: bool
    validate: bool
    track_started: bool
    track_sent: bool
    rate_limit: str | float | None
    cluster_rate_limit: str | float | None
    max_concurrency: int | None
    concurrency_key: str
    lock: str | bool
    throttle_for: Duration
    pool: str
    reject_on_worker_lost: bool
    result_expires: Duration | None


class TaskOptions(UnboundTaskOptions, total=False):
    """Of `@app.task(...)`. docs/options.md describes each."""

    bind: bool
    base: type


class CallOptions(MessageOptions, total=False):
    """Of `apply_async(...)` and its kin. docs/options.md describes each."""

    countdown: Duration | None
    eta: Moment | None
    task_id: str
    reply_to: str
    root_id: str
    parent_id: str
    chain: Sequence[Any]
    timeout: Duration


#: Of a task that has none.
NO_OPTIONS: TaskOptions = {}

#: Seconds that one try to connect takes at most, where a `retry_policy` counts tries (Celery's
#: `broker_connection_timeout`).
ONE_TRY = 4.0


def publish_timeout(options: Mapping[str, Any], default: float) -> float:
    """Seconds to wait for the broker's confirm, from `timeout`, else `retry` and `retry_policy`, else `default`.

    A publish is tried, over a new connection where need be, until that time is up; so a number of tries is the time
    that they would take at most. Raises `UnknownOption`.
    """
    if "timeout" in options:
        return float(options["timeout"])
    if options.get("retry", True) is False:
        return min(ONE_TRY, default)
    policy = options.get("retry_policy")
    if not policy:
        return default
    tries = policy.get("max_retries", 3)
    if tries is None:
        return default
    start, step, longest = (
        policy.get(name, usual) for name, usual in (("interval_start", 0), ("interval_step", 0.2), ("interval_max", 1))
    )
    waits = sum(min(start + step * number, longest) for number in range(tries))
    return float(ONE_TRY * (tries + 1) + waits)
