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

from collections.abc import Mapping
from dataclasses import replace

from amqptasks.messages.outgoing import QUEUES_EXCHANGE, Outgoing
from amqptasks.messages.own_headers import (
    ATTEMPTS,
    DETAIL,
    DROPPED,
    EXCEPTION,
    FIRST_TIME,
    LAST_TIME,
    MESSAGE,
    QUEUE,
    REASON,
    TRACEBACK,
    WORKER,
    carried,
)
from amqptasks.messages.properties import Headers
from amqptasks.runtime.clock import broker_time
from amqptasks.tasks.outcomes import Expired, Failure, Reject, Revoked
from amqptasks.untrusted import bounds
from amqptasks.untrusted.bounds import OutOfBounds
from amqptasks.untrusted.field_table import LARGEST_HEADERS, field_size
from amqptasks.worker.job.job import Job

#: Bytes. A header frame over the negotiated 128 KiB closes the connection (501), and a reason is for reading: 16 KiB
#: in all leave room for the message's own headers.
TRACEBACK_SIZE = 12 * 1024
TEXT_SIZE = 1024

#: Bytes of the message's own headers in its dead letter: what is left beside the reason.
OWN_HEADERS = LARGEST_HEADERS - 20 * 1024

#: Headers of which a dead letter has at least the beginning, however large the message's own headers are.
ESSENTIAL = ("task", "id", "retries", "root_id", "parent_id", "group", "compression", "eta", "expires")

#: Headers with the reason, which a worker writes into each dead letter. All of them can be written, and are small.
REASONS = (
    REASON,
    DETAIL,
    EXCEPTION,
    MESSAGE,
    TRACEBACK,
    ATTEMPTS,
    QUEUE,
    WORKER,
    FIRST_TIME,
    LAST_TIME,
    DROPPED,
)


def dead_letter(job: Job, outcome: Failure | Reject | Expired | Revoked, worker: str) -> Outgoing:
    """The message for the dead-letter queue of the job's queue, which must have one. Its headers can be written,
    whatever the message has: a header that cannot is left out, and so are the last ones of too many."""
    assert job.queue.dead_letter is not None
    delivery = job.delivery
    headers = _writable(carried(delivery.properties.headers or {}, "dead letter"))
    headers.update(reason_headers(job, outcome, worker))
    properties = replace(delivery.properties, headers=headers, expiration=None, user_id=None, delivery_mode=2)
    return Outgoing(QUEUES_EXCHANGE, job.queue.dead_letter, delivery.body, properties)


def bare(letter: Outgoing) -> Outgoing:
    """The same letter with nothing but the reason and the essential headers, each cut, and without its other
    properties: for a letter that the broker refuses as it is."""
    headers = letter.properties.headers or {}
    kept: Headers = {
        name: _cut(headers[name], TEXT_SIZE) for name in ESSENTIAL if isinstance(headers.get(name), str | int)
    }
    kept.update({name: headers[name] for name in REASONS if name in headers})
    kept[DROPPED] = len(headers.keys() - kept.keys()) + _number(headers.get(DROPPED))
    given = letter.properties
    properties = replace(given, headers=kept, reply_to=None, type=None, app_id=None, message_id=None, timestamp=None)
    return Outgoing(letter.exchange, letter.routing_key, letter.body, properties, letter.mandatory)


def _writable(headers: Headers) -> Headers:
    """Those that can be written and fit beside the reason, the essential ones first."""
    kept: Headers = {}
    size = dropped = 0
    for name in sorted(headers, key=lambda name: name not in ESSENTIAL):  # the others keep their order
        value = headers[name]
        try:
            needed = field_size(name, value)
        except ValueError:
            dropped += 1
            continue
        if size + needed > OWN_HEADERS and name in ESSENTIAL and isinstance(value, str):
            value = _cut(value, TEXT_SIZE)
            needed = field_size(name, value)
        if size + needed > OWN_HEADERS:
            dropped += 1
            continue
        size += needed
        kept[name] = value
    if dropped:
        kept[DROPPED] = dropped
    return kept


def reason_headers(job: Job, outcome: Failure | Reject | Expired | Revoked, worker: str) -> Headers:
    now = broker_time.now()
    known = job.delivery.properties.headers or {}
    ran = job.started > 0
    retries = job.request.retries if job.request is not None else _number(known.get("retries"))
    return {
        **_described(job, outcome),
        ATTEMPTS: retries + (1 if ran else 0),
        QUEUE: job.delivery.queue,
        WORKER: _cut(worker, TEXT_SIZE),
        FIRST_TIME: first_time(known, now),
        LAST_TIME: now,
    }


def first_time(headers: Mapping[str, object], now: float) -> float:
    """When the message first came to a worker: as an earlier attempt noted, else now."""
    try:
        return bounds.moment(headers.get(FIRST_TIME))
    except OutOfBounds:
        return now


def _number(value: object) -> int:
    """A count in a header; 0 for what is none."""
    try:
        return bounds.whole(value, bounds.MOST_RETRIES)
    except OutOfBounds:
        return 0


def _described(job: Job, outcome: Failure | Reject | Expired | Revoked) -> Headers:
    if isinstance(outcome, Reject):
        return {REASON: outcome.reason, DETAIL: _cut(outcome.detail, TEXT_SIZE)}
    if isinstance(outcome, Expired | Revoked):
        reason = "expired" if isinstance(outcome, Expired) else "revoked"
        return {REASON: reason, DETAIL: _cut(outcome.detail, TEXT_SIZE)}
    info = job.info(outcome.cause)
    return {
        REASON: "failed",
        DETAIL: _cut(f"{info.type.__qualname__}: {info.message}", TEXT_SIZE),
        EXCEPTION: _cut(info.name, TEXT_SIZE),
        MESSAGE: _cut(info.message, TEXT_SIZE),
        TRACEBACK: _cut_middle(info.traceback, TRACEBACK_SIZE),
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
