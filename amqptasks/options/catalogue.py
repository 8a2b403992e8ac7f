"""Every option with its values, its default, a line of documentation and, where it has one, its trap.

Calls, tasks, apps and the command line are checked by these descriptions, and docs/options.md is made of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from amqptasks.options import rates
from amqptasks.options.keys import checked_key
from amqptasks.options.kinds import (
    Anything,
    Either,
    ErrorClasses,
    Flag,
    Headers,
    Kind,
    Moment,
    Named,
    OneOf,
    Optional,
    Parsed,
    Seconds,
    Secret,
    Signatures,
    Text,
    Whole,
)
from amqptasks.untrusted import bounds


@dataclass(frozen=True, slots=True)
class Option:
    """`default` as people read it. `trap` is what goes wrong with this option, where something does."""

    kind: Kind
    default: str
    line: str
    trap: str | None = None


#: Seconds that a publish may wait for its confirm: a day. Longer is a program that hangs.
LONGEST_PUBLISH = 86_400.0

#: Seconds of `unique_for`, at most: RabbitMQ counts the time of a queue in 32 bits of milliseconds, which is 49 days.
LONGEST_UNIQUE = 4_294_967.0

_SECONDS, _ABOVE, _FLAG = Seconds(), Seconds(above=True), Flag()
_LIMIT = Optional(_ABOVE)
_KEY = Parsed('text with names of arguments, as "account-{account}"', checked_key)
_TRUE_OR_KEY = Either((_FLAG, _KEY))
_NAME, _NAME_OR_NONE = Text(), Optional(Text())
_MANY = Whole(bounds.MOST_RETRIES)

#: Where a worker runs plain functions.
POOLS = ("prefork", "threads", "solo")

#: Celery's words for how long a publish is tried.
PUBLISH_RETRY: Mapping[str, Kind] = {
    "max_retries": Optional(Whole(1000)),
    "interval_start": _SECONDS,
    "interval_step": _SECONDS,
    "interval_max": _SECONDS,
}

#: Of tasks and of calls alike.
MESSAGE: dict[str, Option] = {
    "priority": Option(
        Optional(Whole(bounds.HIGHEST_PRIORITY)),
        "the route's",
        "before those of lower priority",
        "before RabbitMQ 4.3 a queue has priorities only with `max_priority`, and is then a classic queue",
    ),
    "queue": Option(_NAME_OR_NONE, "the route's", "to this queue, whatever the routes say"),
    "exchange": Option(
        Optional(Text(least=0)),
        "the route's",
        "to this exchange",
        "not together with `queue`, which names the place alone",
    ),
    "routing_key": Option(Optional(Text(least=0)), "the task's name", "with this routing key"),
    "serializer": Option(_NAME_OR_NONE, "the app's", "how the body is written"),
    "compression": Option(_NAME_OR_NONE, "the app's", "how the body is compressed"),
    "expires": Option(
        Optional(Either((_SECONDS, Moment()))),
        "never",
        "too late after so long, or at this moment: then it becomes a dead letter instead of running",
    ),
    "time_limit": Option(
        _LIMIT,
        "the worker's",
        "ends a run by force after so long",
        "threads cannot be ended: the run goes on, its end is dropped",
    ),
    "soft_time_limit": Option(_LIMIT, "the worker's", "raises `SoftTimeLimitExceeded` in a run after so long"),
    "headers": Option(Optional(Headers()), "none", "headers of your own; the task finds them in `request.headers`"),
    "shadow": Option(Optional(Text(bounds.LONGEST_TEXT)), "the task's name", "a name for logs"),
    "ignore_result": Option(_FLAG, "the app's", "asks for no reply"),
    "link": Option(Optional(Signatures()), "none", "what is called with its value once it succeeded"),
    "link_error": Option(Optional(Signatures()), "none", "what is called once it failed for good"),
    "unique": Option(
        Optional(_TRUE_OR_KEY),
        "False",
        "one such call waits at a time, and another raises `AlreadyQueued`",
        "True compares all arguments, so a timestamp among them makes each call another one",
    ),
    "unique_for": Option(
        Optional(Seconds(LONGEST_UNIQUE, above=True)),
        "while it waits",
        "one such call in so long, whether it waits or not",
    ),
    "retry": Option(_FLAG, "True", "False: one try to publish"),
    "retry_policy": Option(
        Optional(Named(PUBLISH_RETRY)), "by `timeout`", "how often a publish is tried, in Celery's words"
    ),
}

#: Of calls.
CALL: dict[str, Option] = {
    **MESSAGE,
    "countdown": Option(Optional(_SECONDS), "0", "runs it in so long; it waits on the broker"),
    "eta": Option(
        Optional(Moment()), "now", "runs it at this moment", "a moment without a zone is in UTC, not in local time"
    ),
    "task_id": Option(_NAME_OR_NONE, "a new UUIDv7", "an id of your own"),
    "reply_to": Option(_NAME_OR_NONE, "the caller's", "the reply goes to this queue"),
    "root_id": Option(_NAME_OR_NONE, "the running task's", "the id of the first call of all"),
    "parent_id": Option(_NAME_OR_NONE, "the running task's", "the id of the call that made this one"),
    "chain": Option(Optional(Signatures()), "none", "what follows step by step, the next one last"),
    "timeout": Option(
        Seconds(LONGEST_PUBLISH, above=True), "`publish_timeout`", "how long to wait for the broker's confirm"
    ),
}

#: Of tasks.
TASK: dict[str, Option] = {
    **MESSAGE,
    "name": Option(_NAME, "`module.function`", "the task's name"),
    "bind": Option(_FLAG, "False", "the function gets its task as first argument"),
    "base": Option(Anything("a subclass of amqptasks.Task"), "`Task`", "the task's class"),
    "max_retries": Option(Optional(_MANY), "3", "how often a failed task is run again; None: for ever"),
    "autoretry_for": Option(
        ErrorClasses(),
        "none",
        "exceptions after which it is run again by itself",
        "`Exception` retries mistakes of the code, too",
    ),
    "dont_autoretry_for": Option(ErrorClasses(), "none", "exceptions that `autoretry_for` leaves out"),
    "retry_backoff": Option(Either((_FLAG, _SECONDS)), "off", "the first delay of an exponential back-off; True: 1 s"),
    "retry_backoff_max": Option(_SECONDS, "600", "the longest delay of the back-off"),
    "retry_jitter": Option(_FLAG, "True", "draws each delay of the back-off between a tenth and the whole"),
    "retry_kwargs": Option(
        Named({"max_retries": Optional(_MANY), "countdown": _SECONDS}), "none", "Celery's way to write two of these"
    ),
    "default_retry_delay": Option(_SECONDS, "180", "the delay of a retry without a back-off"),
    "max_snoozes": Option(_MANY, "1000", "how often it may `Snooze`"),
    "acks_late": Option(
        _FLAG, "True", "False: acknowledged before it runs", "with False, a worker that dies loses the task"
    ),
    "throws": Option(ErrorClasses(), "none", "exceptions that are expected: logged without a traceback"),
    "typing": Option(_FLAG, "True", "False: arguments are not checked where it is called"),
    "validate": Option(_FLAG, "False", "arguments become what the type hints say, where it runs"),
    "track_started": Option(_FLAG, "False", "the caller's result says STARTED, and where"),
    "track_sent": Option(
        _FLAG,
        "the app's",
        "the result store knows of each call before the broker does: its state is SENT",
        "each call waits for the store, and fails with `StoreUnavailable` where that is down",
    ),
    "rate_limit": Option(
        Parsed('"10/s", "100/m", "2/h", or a number a second', rates.parse),
        "none",
        "runs that each worker starts",
        "ten workers start ten times as many: see `cluster_rate_limit`",
    ),
    "cluster_rate_limit": Option(
        Parsed('"10/s", "100/m", "4/h", or a number a second', lambda given: rates.parse(given, "cluster_rate_limit")),
        "none",
        "runs that all workers together start",
    ),
    "max_concurrency": Option(Optional(Whole(10_000, 1)), "none", "how many run at once on all workers"),
    "concurrency_key": Option(Optional(_KEY), "the task", "of what `max_concurrency` counts"),
    "lock": Option(
        Optional(_TRUE_OR_KEY),
        "False",
        "one run at once of such a key, or of the task",
        "it is as good as the connection: what must never overlap needs a check of its own where it writes",
    ),
    "throttle_for": Option(_ABOVE, "604,800", "how long limits may put a call off before it is a dead letter"),
    "pool": Option(Optional(OneOf(POOLS)), "the worker's", "where a worker runs it"),
    "result_expires": Option(
        Optional(Seconds(above=True)), "the app's", "how long its result is kept, where the app has a result store"
    ),
    "reject_on_worker_lost": Option(
        _FLAG,
        "True",
        "runs it again when its process died, until its queue's delivery limit; False: that is its failure",
    ),
}

#: Of tasks, those that all tasks of an app may share.
TASK_DEFAULTS = {name: option for name, option in TASK.items() if name not in {"bind", "base"}}

#: Of `retry()` in a task.
RETRY: dict[str, Option] = {
    **{name: CALL[name] for name in ("countdown", "eta")},
    "max_retries": TASK["max_retries"],
}

_NAMES = Parsed("names", lambda _: None)

#: Of apps. What has no row here is checked by its own type: keys, TLS contexts.
APP: dict[str, Option] = {
    "name": Option(_NAME, "`amqptasks`", "the app's name; it stands for `__main__` in names of tasks"),
    "ignore_result": Option(_FLAG, "False", "calls ask for no reply"),
    "backend": Option(
        Optional(Secret("an address, as stream:// or sqlite:///results.db")),
        "`rpc://`",
        "where results are kept, besides the reply that is pushed to the caller",
        "a result that a worker stores is found only by an app with the same address",
    ),
    "result_expires": Option(
        Optional(_ABOVE), "86,400", "how long results are kept, unless a task or the backend's address says otherwise"
    ),
    "track_sent": Option(
        _FLAG,
        "False",
        "each call whose result somebody may want is SENT in the result store; an id without a record is UNKNOWN",
        "each call waits for the store, and fails with `StoreUnavailable` where that is down",
    ),
    "publish_timeout": Option(
        Seconds(LONGEST_PUBLISH, above=True), "30", "how long a call waits for the broker's confirm"
    ),
    "connect_timeout": Option(
        Seconds(LONGEST_PUBLISH, above=True), "2", "how long a first call waits where nobody answers at the address"
    ),
    "serializer": Option(_NAME, "`json`", "how bodies are written"),
    "result_serializer": Option(_NAME_OR_NONE, "as asked", "how replies are written"),
    "compression": Option(_NAME_OR_NONE, "none", "how bodies are compressed"),
    "compression_min_size": Option(Whole(bounds.LARGEST_BODY), "1024", "bytes below which a body stays as it is"),
    "largest_body": Option(Optional(Whole(1 << 40, 1)), "134,217,728", "bytes that may come out of a compressed body"),
    "events": Option(_FLAG, "False", "sends an event for each call, and makes workers send theirs"),
}
