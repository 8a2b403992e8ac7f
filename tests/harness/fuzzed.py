"""Messages of somebody who may publish to one queue and tries everything: all headers that we and the broker know, with
values of all kinds; bodies that are tasks, nearly so, or noise."""

from __future__ import annotations

import json
import os
import random
import sys
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pika

#: Messages that are published between two looks at what the broker says.
BATCH = 200

#: Headers of Celery's protocol, and RabbitMQ's own.
OTHERS = (
    "task", "id", "lang", "root_id", "parent_id", "group", "group_index", "retries", "eta", "expires", "timelimit",
    "argsrepr", "kwargsrepr", "origin", "shadow", "ignore_result", "replaced_task_nesting", "stamped_headers",
    "stamps", "compression", "x-death", "x-delivery-count", "x-acquired-count", "x-first-death-queue",
    "x-first-death-reason", "x-first-death-exchange", "x-last-death-queue", "x-opt-delivery-time", "CC", "BCC",
    "x-delay", "x-stream-offset", "x-received-from",
)  # fmt: skip

#: Ours.
OURS = tuple(
    f"x-amqptasks-{name}"
    for name in (
        "attempts", "deliveries", "detail", "errback", "exception", "first-time", "headers-dropped", "in", "last-time",
        "lost", "message", "queue", "reason", "signature", "snoozes", "throttled", "to", "traceback", "unique",
        "waiting", "worker", "d00", "d07", "d29",
    )
)  # fmt: skip

TASKS = ("shop.note", "shop.fail", "shop.again", "shop.locked", "shop.limited")


def hostile(source: random.Random, depth: int = 0) -> Any:
    """A value that AMQP can carry in a header."""
    return source.choice(_VALUES)(source, depth)


_VALUES = [
    lambda source, depth: None,
    lambda source, depth: source.choice([True, False]),
    lambda source, depth: source.choice([0, -1, 1, 255, 65536, 2**31, 2**63 - 1, -(2**63)]),
    lambda source, depth: source.choice(["", "0", "amqptasks.control", "amqptasks.queues", "other", "emails", "*"]),
    lambda source, depth: source.choice(["\x1b[2J", "a\nb", "\u202e", "größe", "☃" * 100]),
    lambda source, depth: "x" * source.choice([256, 5000, 20_000]),
    lambda source, depth: source.randbytes(source.choice([1, 300])),
    lambda source, depth: source.choice([Decimal("1.5"), Decimal(10) ** 9]),
    lambda source, depth: datetime(source.choice([1970, 2001, 2030]), 1, 1, tzinfo=UTC),
    lambda source, depth: [] if depth > 4 else [hostile(source, depth + 1) for _ in range(source.randrange(4))],
    lambda source, depth: (
        {} if depth > 4 else {source.choice(["queue", "reason", "count", "k"]): hostile(source, depth + 1)}
    ),
    lambda source, depth: [{"queue": "other", "reason": "expired", "count": 2**62, "time": datetime.now(UTC)}],
]


def call(source: random.Random, word: str, depth: int = 0) -> dict[str, Any]:
    """A follower, right or nearly so."""
    options: dict[str, Any] = {"queue": source.choice(["emails", "emails", "other", "amqptasks.control", 5])}
    if source.random() < 0.3:
        name = source.choice(["exchange", "routing_key", "reply_to", "countdown", "link", "headers", "priority", "odd"])
        options[name] = call(source, word, depth + 1) if name == "link" and depth < 3 else hostile(source, 4)
    return {
        "task": source.choice([*TASKS, "nobody.knows", 5]), "args": [word], "kwargs": {}, "options": options,
        "subtask_type": None, "immutable": True,
    }  # fmt: skip


def body(source: random.Random, word: str) -> bytes:
    """A task's with `word` as its argument, or another one."""
    kind = source.randrange(10)
    embed: dict[str, Any] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    if kind < 4:
        return json.dumps([[word], {}, embed]).encode()
    if kind < 6:
        name = source.choice(["callbacks", "errbacks", "chain"])
        embed[name] = [call(source, "follower") for _ in range(source.randrange(1, 4))]
        return json.dumps([[word], {}, embed], default=str).encode()
    if kind == 6:
        embed[source.choice(["callbacks", "errbacks", "chain", "chord"])] = source.choice([5, "x", {}, [{}], [[]]])
        return json.dumps([[word], {}, embed]).encode()
    if kind == 7:
        return source.choice([b"", b"null", b"[" * 5000, b"[[],{},{}", b'[[1],{"a":1},{}]', b"\xff\xfe"])
    if kind == 8:
        return zlib.compress(json.dumps([[word], {}, embed]).encode() * source.choice([1, 1000]))
    return source.randbytes(source.choice([10, 1000, 50_000]))


def messages(count: int, seed: int) -> Iterator[tuple[pika.BasicProperties, bytes]]:
    """So many; `app_id` has the number of each. None asks for more than a second of delay."""
    source = random.Random(seed)
    for number in range(count):
        word = str(number)
        headers: dict[str, Any] = {"task": source.choice(TASKS), "id": source.choice([word, "the-same"])}
        if source.random() < 0.1:
            headers["task"] = f"nobody.knows.{word}"
        for name in source.sample([*OURS, *OTHERS], source.choice([0, 0, 1, 2, 5, 20])):
            # RabbitMQ itself refuses other keys than texts in a list.
            headers[name] = source.sample(["other", "emails", "x"], 2) if name in ("CC", "BCC") else hostile(source)
        for name in ("eta", "expires"):
            if source.random() < 0.05:
                moment = datetime.now(UTC) + timedelta(seconds=source.choice([-5, 0.5, 1]))
                headers[name] = source.choice([moment.isoformat(), moment.replace(tzinfo=None).isoformat()])
        yield (
            pika.BasicProperties(
                source.choice(["application/json"] * 8 + ["application/x-python-serialize", "x" * 200]),
                source.choice(["utf-8", "utf-8", "binary", "klingon"]),
                headers,
                delivery_mode=source.choice([1, 2]),
                priority=source.choice([None, 0, 255]),
                correlation_id=source.choice([None, word, "x" * 255]),
                reply_to=source.choice([None, None, "other", "amqptasks.control", "amq.rabbitmq.reply-to.forged"]),
                expiration=source.choice([None] * 20 + ["0", "5", "60000"]),
                message_id=source.choice([None, word, "the-same"]),
                timestamp=source.choice([None, 0, 2**62]),
                type=source.choice([None, "x" * 255]),
                app_id=word,
            ),
            body(source, word),
        )


def main(url: str, exchange: str, routing_key: str, count: int) -> None:
    """Publish them all in a process that takes what others leave of the machine: what waits for a processor is then
    the sender, and not who is looked at."""
    os.nice(19)
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        for number, (properties, body_) in enumerate(messages(count, seed=count), start=1):
            channel.basic_publish(exchange, routing_key, body_, properties)
            if number % BATCH == 0:
                connection.process_data_events(0)
        channel.close()  # answered once the broker has read all before it


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
