"""The options of a task and of a call, by name and type; one that does not exist is refused, with a suggestion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict

from amqptasks.options.catalogue import CALL, RETRY, TASK, TASK_DEFAULTS
from amqptasks.options.check import checked, checked_app, refuse_two_places
from amqptasks.options.elsewhere import ELSEWHERE

__all__ = [
    "CALL",
    "ELSEWHERE",
    "NO_OPTIONS",
    "RETRY",
    "TASK",
    "TASK_DEFAULTS",
    "CallOptions",
    "MessageOptions",
    "PublishRetryPolicy",
    "TaskOptions",
    "UnboundTaskOptions",
    "checked",
    "checked_app",
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
    """Options of a task and of a call alike: of one call, they beat its task's. Times are in seconds.

    `priority`, `queue`, or `exchange` and `routing_key`: where it goes. `serializer`, `compression`: by name, see the
    app's. `expires`: too late after so long, or at a moment. `time_limit`, `soft_time_limit`: how long it may run.
    `headers`: the user's own. `shadow`: a name for logs in place of the task's. `ignore_result`: ask for no reply.
    `link`, `link_error`: signatures of what follows its success, its final failure. `retry` False: one try to publish;
    `retry_policy`: how many, both in Celery's words for `timeout`, the time to wait for the broker's confirm.
    `unique` (docs/limits.md): one such call waits at a time, and another raises `AlreadyQueued`; True: with the same
    arguments, or text with the names of those that count ("report-{shop}"). `unique_for`: one in so many seconds,
    whether it still waits or not.
    """

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
    """Options of `@app.task(...)`, but `bind` and `base`. Times are in seconds.

    Retries: see `RetryPolicy`; `max_snoozes`: see `Snooze`. `typing`: check the arguments of a call against the
    function's signature (default True). `validate`: turn them into what the type hints say where the task runs, with
    pydantic; what cannot be is a dead letter. `throws`: exceptions that are expected, logged without a traceback.
    `acks_late` False: acknowledge before the run, so that a worker that dies loses the task. `track_started`: tell the
    caller's result when it starts. `pool`: where a
    worker runs it, in place of its `-P` (prefork, threads, solo). `reject_on_worker_lost`: run it again when its
    process died, until its queue's delivery limit (default True; False: that is its failure).

    Limits (docs/limits.md): `rate_limit`: runs that each worker starts, as 10 (a second), "100/m", "2/h": ten workers
    start ten times as many. `cluster_rate_limit`: the same for all workers together. `max_concurrency`: how many run at
    once on all workers; with `concurrency_key`, text with the names of arguments ("account-{account}"), how many of
    that key. `lock`: one at once of such a key, or True for one of the task; it is as good as the connection to the
    broker, so what must never overlap needs a check of its own where it writes. `throttle_for`: seconds that limits may
    put a call off before it is a dead letter (default a week; `expires` of a call counts too).
    """

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
    rate_limit: str | float | None
    cluster_rate_limit: str | float | None
    max_concurrency: int | None
    concurrency_key: str
    lock: str | bool
    throttle_for: Duration
    pool: str
    reject_on_worker_lost: bool


class TaskOptions(UnboundTaskOptions, total=False):
    """Options of `@app.task(...)`. `bind`: the function gets its task as first argument, for `self.request` and
    `self.retry()`; `base`: its class, a subclass of `Task`."""

    bind: bool
    base: type


class CallOptions(MessageOptions, total=False):
    """Options of `apply_async(...)` and its kin. Times are in seconds.

    `eta` is when to run it (naive: UTC), `countdown` the same counted from now. `timeout` is how long to wait for the
    broker's confirm. `reply_to` is the queue for the reply, in place of the caller's own. `chain`: signatures of what
    follows one after the other, the next one last. `root_id` and `parent_id` are those of the running task, unless
    given.
    """

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
