"""The options of a task and of a call, by name and type; one that does not exist is refused, with a suggestion."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TypedDict

from amqptasks.errors import UnknownOption


class UnboundTaskOptions(TypedDict, total=False):
    """Options of `@app.task(...)`, but `bind`. Times are in seconds.

    Retries: see `RetryPolicy`. `typing`: check the arguments of a call against the function's signature (default
    True). `throws`: exceptions that are expected, logged without a traceback. `acks_late` is here for code that comes
    from Celery: acknowledging late is the only way, False is refused where it is read. `pool`: where a worker runs it,
    in place of its `-P` (prefork, threads, solo). `reject_on_worker_lost`: run it again when its process died, until
    its queue's delivery limit (default True; False: that is its failure).
    """

    name: str
    queue: str
    exchange: str
    routing_key: str
    priority: int
    max_retries: int | None
    autoretry_for: tuple[type[BaseException], ...]
    dont_autoretry_for: tuple[type[BaseException], ...]
    retry_backoff: float | bool
    retry_backoff_max: float
    retry_jitter: bool
    default_retry_delay: float
    ignore_result: bool
    expires: float
    acks_late: bool
    throws: tuple[type[BaseException], ...]
    typing: bool
    time_limit: float
    soft_time_limit: float
    serializer: str
    compression: str
    pool: str
    reject_on_worker_lost: bool


class TaskOptions(UnboundTaskOptions, total=False):
    """Options of `@app.task(...)`. `bind`: the function gets its task as first argument, for `self.request` and
    `self.retry()`."""

    bind: bool


class CallOptions(TypedDict, total=False):
    """Options of `apply_async(...)` and its kin. Times are in seconds.

    `eta` is when to run it (naive: UTC), `countdown` the same counted from now; `expires` in seconds from now or as a
    moment. `timeout` is how long to wait for the broker's confirm.
    """

    countdown: float
    eta: datetime
    expires: float | datetime
    priority: int
    queue: str
    exchange: str
    routing_key: str
    task_id: str
    headers: Mapping[str, object]
    ignore_result: bool
    shadow: str
    time_limit: float
    soft_time_limit: float
    root_id: str
    parent_id: str
    timeout: float
    serializer: str
    compression: str


def check(options: Iterable[str], known: type, where: str) -> None:
    """Raise `UnknownOption` for a name in `options` that `known` (a TypedDict) does not have.

    `where` begins the message: "task 'shop.send' has no option ...".
    """
    unknown = set(options) - known.__annotations__.keys()
    if not unknown:
        return
    name = min(unknown)
    close = difflib.get_close_matches(name, known.__annotations__, n=1)
    suggestion = f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(sorted(known.__annotations__))}"
    raise UnknownOption(f"{where} has no option {name!r}; {suggestion}")
