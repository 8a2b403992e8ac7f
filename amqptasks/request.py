"""A request: one call of a task, and for the task that runs, what is known about its delivery."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from amqptasks.transport import Headers


@dataclass(slots=True)
class Request:
    """One call of a task, as it travels.

    `time_limit` and `soft_time_limit` are in seconds, `eta` and `expires` in UTC. `ignore_result` None leaves it to
    the task. `headers` are all that this protocol does not name: ours (`x-amqptasks-*`), Celery's further ones, the
    user's. The last five fields are facts of a delivery; `delivery_count` is how often it was delivered before.
    """

    task: str
    id: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    retries: int = 0
    root_id: str | None = None
    parent_id: str | None = None
    group: str | None = None
    eta: datetime | None = None
    expires: datetime | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    origin: str | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    shadow: str | None = None
    ignore_result: bool | None = None
    reply_to: str | None = None
    correlation_id: str | None = None
    priority: int | None = None
    callbacks: list[Any] | None = None
    errbacks: list[Any] | None = None
    chain: list[Any] | None = None
    chord: dict[str, Any] | None = None
    headers: Headers = field(default_factory=dict)
    queue: str | None = None
    exchange: str | None = None
    routing_key: str | None = None
    redelivered: bool = False
    delivery_count: int = 0
