"""The copy of a message that goes to its dead-letter queue: its bytes as they came, and in headers why it is there.

x-amqptasks-reason        failed, rejected, expired, malformed, unknown-task, too-many-deliveries, ...
x-amqptasks-detail        the reason in words
x-amqptasks-exception     the exception's class, as module.name
x-amqptasks-message       its text
x-amqptasks-traceback     where it was raised, cut in its middle
x-amqptasks-attempts      how often it was run
x-amqptasks-queue         the queue that it came from: where `dead replay` sends it
x-amqptasks-first-time, x-amqptasks-last-time     seconds since 1970: when it first and last came to a worker
x-amqptasks-worker        which worker gave it up
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from amqptasks.outgoing import Outgoing
from amqptasks.properties import Headers
from amqptasks.request import FIRST_TIME
from amqptasks.routing import QUEUES_EXCHANGE
from amqptasks.topology.delays import clean
from amqptasks.uniqueness import UNIQUE
from amqptasks.worker.job import DELIVERIES, THROTTLED, Job
from amqptasks.worker.outcomes import Expired, Failure, Reject, Revoked

PREFIX = "x-amqptasks-"

#: Bytes. A header frame over the negotiated 128 KiB closes the connection (501), and a reason is for reading: 16 KiB
#: in all leave room for the message's own headers.
TRACEBACK_SIZE = 12 * 1024
TEXT_SIZE = 1024

#: Headers that are kept even when the message's own are too large to be published again.
ESSENTIAL = ("task", "id", "retries", "root_id", "parent_id", "group", "compression", "eta", "expires")


def dead_letter(job: Job, outcome: Failure | Reject | Expired | Revoked, worker: str) -> Outgoing:
    """The message for the dead-letter queue of the job's queue, which must have one."""
    assert job.queue.dead_letter is not None
    delivery = job.delivery
    headers = clean(delivery.properties.headers or {})
    headers.pop(DELIVERIES, None)
    headers.pop(THROTTLED, None)
    headers.pop(UNIQUE, None)
    headers.update(reason_headers(job, outcome, worker))
    properties = replace(delivery.properties, headers=headers, expiration=None, user_id=None, delivery_mode=2)
    return Outgoing(QUEUES_EXCHANGE, job.queue.dead_letter, delivery.body, properties)


def without_foreign_headers(letter: Outgoing) -> Outgoing:
    """The same letter with nothing but our own headers and the essential ones, each cut: for one whose headers no
    broker takes a second time."""
    headers = letter.properties.headers or {}
    kept: Headers = {name: value for name, value in headers.items() if name.startswith(PREFIX)}
    kept.update(
        {name: _cut(headers[name], TEXT_SIZE) for name in ESSENTIAL if isinstance(headers.get(name), str | int)}
    )
    kept["x-amqptasks-headers-dropped"] = len(headers) - len(kept)
    properties = replace(letter.properties, headers=kept)
    return Outgoing(letter.exchange, letter.routing_key, letter.body, properties, letter.mandatory)


def reason_headers(job: Job, outcome: Failure | Reject | Expired | Revoked, worker: str) -> Headers:
    now = time.time()
    known = job.delivery.properties.headers or {}
    ran = job.started > 0
    attempts = job.request.retries + (1 if ran else 0) if job.request is not None else 0
    return {
        **_described(job, outcome),
        "x-amqptasks-attempts": attempts,
        "x-amqptasks-queue": job.delivery.queue,
        "x-amqptasks-worker": worker,
        FIRST_TIME: first_time(known, now),
        "x-amqptasks-last-time": now,
    }


def first_time(headers: Mapping[str, object], now: float) -> float:
    """When the message first came to a worker: as an earlier attempt noted, else now."""
    noted = headers.get(FIRST_TIME)
    return float(noted) if isinstance(noted, int | float) else now


def _described(job: Job, outcome: Failure | Reject | Expired | Revoked) -> Headers:
    if isinstance(outcome, Reject):
        return {"x-amqptasks-reason": outcome.reason, "x-amqptasks-detail": _cut(outcome.detail, TEXT_SIZE)}
    if isinstance(outcome, Expired | Revoked):
        reason = "expired" if isinstance(outcome, Expired) else "revoked"
        return {"x-amqptasks-reason": reason, "x-amqptasks-detail": _cut(outcome.detail, TEXT_SIZE)}
    info = job.info(outcome.cause)
    return {
        "x-amqptasks-reason": "failed",
        "x-amqptasks-detail": _cut(f"{info.type.__qualname__}: {info.message}", TEXT_SIZE),
        "x-amqptasks-exception": _cut(info.name, TEXT_SIZE),
        "x-amqptasks-message": _cut(info.message, TEXT_SIZE),
        "x-amqptasks-traceback": _cut_middle(info.traceback, TRACEBACK_SIZE),
    }


def _cut(value: object, size: int) -> object:
    """Text of at most `size` bytes; other values as they are."""
    if not isinstance(value, str):
        return value
    data = value.encode("utf-8", "replace")
    return data.decode("utf-8") if len(data) <= size else data[: size - 3].decode("utf-8", "ignore") + "..."


def _cut_middle(text: str, size: int) -> str:
    data = text.encode("utf-8", "replace")
    if len(data) <= size:
        return data.decode("utf-8")
    half = size // 2 - 20
    head, tail = data[:half].decode("utf-8", "ignore"), data[-half:].decode("utf-8", "ignore")
    return f"{head}\n... {len(data) - 2 * half} bytes cut ...\n{tail}"
