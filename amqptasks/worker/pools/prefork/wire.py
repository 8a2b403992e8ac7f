"""Jobs and results between the node and its children, as bytes. Only built-in types travel, and outcomes
that the node itself decided: never a user's object.

Pickle, because header tables hold dates and decimals, and nothing in the standard library is faster. Both ends are the
same program on the same machine, over sockets that nobody else has.
"""

from __future__ import annotations

import pickle
import struct
from operator import attrgetter
from typing import Any

from amqptasks.messages.delivery import Delivery, Lease
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.results.record import Record
from amqptasks.tasks.outcomes import Outcome
from amqptasks.worker.job.job import Job
from amqptasks.worker.job.report import Report
from amqptasks.worker.job.settlement import Settlement
from amqptasks.worker.pools.time_limits import TimeLimits

#: The number of a job before its datagram, the length of a result before it.
NUMBER = struct.Struct("<Q")
LENGTH = struct.Struct("<I")

#: What a child takes as: leave now.
END = b"end"

#: In place of a settlement's kind: the job is to be acknowledged now, and is being run.
BEGUN = "begun"

#: In place of a settlement's kind: the child does not know the task of the job, whose result follows.
LACKS = "lacks"

#: In place of a settlement's kind, with no job: the child lives, and takes jobs from now on.
LIVES = "lives"

#: How a job was ended from outside: outcome, when it began (seconds, monotonic), runtime in seconds.
Ended = tuple[Outcome, float, float]

#: Of a job, in seconds: how long its task ran, and how long the child was busy with it.
Times = tuple[float, float]

_properties = attrgetter(*Properties.__slots__)


def encode_job(number: int, job: Job) -> bytes:
    """`number`, and the delivery without its lease, with the limits of its time; of one that was ended from outside,
    also how."""
    given = job.delivery
    return NUMBER.pack(number) + pickle.dumps(
        (
            given.queue,
            given.exchange,
            given.routing_key,
            given.redelivered,
            _properties(given.properties),
            given.body,
            job.acked,
            None if job.limits is None else (job.limits.hard, job.limits.soft),
            None if job.outcome is None else (job.outcome, job.started, job.runtime),
        ),
        pickle.HIGHEST_PROTOCOL,
    )


def decode_job(data: bytes, lease: Lease) -> tuple[int, Delivery, bool, TimeLimits | None, Ended | None]:
    """Number, delivery (with `lease`), whether it is acknowledged, its limits of time, and how it ended where that is
    only to be told."""
    (number,) = NUMBER.unpack_from(data)
    queue, exchange, routing_key, redelivered, properties, body, acked, limits, ended = pickle.loads(  # noqa: S301
        memoryview(data)[NUMBER.size :]
    )
    delivery = Delivery(queue, 0, exchange, routing_key, redelivered, Properties(*properties), body, lease)
    return number, delivery, acked, None if limits is None else TimeLimits(*limits), ended


def encode_begun(number: int) -> bytes:
    """Job `number` begins, and is to be acknowledged before."""
    return _encode_notice(number, BEGUN)


def encode_lacks(number: int) -> bytes:
    """The task of job `number` is not known where its result comes from."""
    return _encode_notice(number, LACKS)


def encode_lives() -> bytes:
    """The child that sends it lives."""
    return _encode_notice(0, LIVES)


def encode_result(number: int, job: Job, memory: int) -> bytes:
    """`memory` is the child's own, in KiB; 0 where nobody asked."""
    planned = job.planned
    assert planned is not None
    report = planned.report
    writes = None
    if planned.verdict != "ack" or planned.onward or planned.answer or planned.followers or planned.record:
        writes = (
            planned.verdict,
            [_outgoing(one) for one in planned.onward],
            planned.delay,
            None if planned.answer is None else _outgoing(planned.answer),
            [_outgoing(one) for one in planned.followers],
            None if planned.otherwise is None else _outgoing(planned.otherwise),
            None if planned.record is None else _record(planned.record),
        )
    said = None if report is None else (report.level, report.sentence, report.fields, report.traceback)
    data = pickle.dumps((number, planned.kind, (job.runtime, job.took), memory, writes, said), pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(data)) + data


def decode_result(data: bytes | memoryview) -> tuple[int, Settlement, Times, int]:
    """Number, settlement, times, memory in KiB."""
    number, kind, times, memory, writes, said = pickle.loads(data)  # noqa: S301
    report = None if said is None else Report(*said)
    if writes is None:
        return number, Settlement("ack", kind=kind, report=report), times, memory
    verdict, onward, delay, answer, followers, otherwise, record = writes
    settlement = Settlement(
        verdict,
        tuple(_incoming(one) for one in onward),
        delay,
        None if answer is None else _incoming(answer),
        tuple(_incoming(one) for one in followers),
        None if otherwise is None else _incoming(otherwise),
        kind,
        report,
        None if record is None else _recorded(record),
    )
    return number, settlement, times, memory


def _encode_notice(number: int, kind: str) -> bytes:
    data = pickle.dumps((number, kind, (0.0, 0.0), 0, None, None), pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(data)) + data


def _outgoing(message: Outgoing) -> tuple[Any, ...]:
    return (message.exchange, message.routing_key, message.body, _properties(message.properties), message.mandatory)


def _incoming(given: tuple[Any, ...]) -> Outgoing:
    exchange, routing_key, body, properties, mandatory = given
    return Outgoing(exchange, routing_key, body, Properties(*properties), mandatory)


def _record(record: Record) -> tuple[Any, ...]:
    head = (record.id, record.state, record.body, record.attempt, record.at, record.expires_at)
    return (*head, _properties(record.properties))


def _recorded(given: tuple[Any, ...]) -> Record:
    identity, state, body, attempt, at, expires_at, properties = given
    return Record(identity, state, body, Properties(*properties), attempt, at, expires_at)
