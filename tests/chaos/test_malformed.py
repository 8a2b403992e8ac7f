"""A thousand messages that are no tasks, in front of a hundred that are."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from amqptasks import App, dial
from amqptasks.messages.ids import task_id
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import Properties
from amqptasks.messages.protocol import encode
from amqptasks.messages.request import Request
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory

MALFORMED = 1000
GOOD = 100

#: Bytes that a worker may grow by from the first quarter to the end: noise of the allocator, far below the 15 MiB of
#: noise that it would hold if it kept them.
GROWTH = 6 * 1024 * 1024

#: Of every 50 messages one is a mebibyte of noise.
NOISE = 1024 * 1024

SOURCE = """
import os
from amqptasks import App
app = App("poison", ignore_result=True)
log = os.open("ran.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

@app.task(name="note")
def note(number):
    os.write(log, f"{number}\\n".encode())
"""


@pytest.mark.long
def test_a_thousand_malformed_messages_end_in_the_dead_letter_queue_and_a_hundred_good_ones_run(
    vhost: Vhost, worker_process: WorkerFactory
) -> None:
    app = App("poison", vhost.url)
    app.declare()
    expected = Counter[str]()
    publisher = app.caller.publisher

    def outgoings() -> Iterator[Outgoing]:
        for reason, properties, body in malformed(MALFORMED):
            expected[reason] += 1
            yield Outgoing("amqptasks.queues", "default", body, properties)
        for number in range(GOOD):
            body, properties = encode(Request("note", task_id(), (number,)))
            yield Outgoing("amqptasks.queues", "default", body, properties)

    assert publisher.publish_many(outgoings(), 60) == []
    app.close()
    worker = worker_process(SOURCE, "-Q", "default:10", "-c", "4", "-l", "critical", ready=False)
    wait_for(lambda: vhost.management.ready("default.dead") >= MALFORMED // 4, 30, "a quarter is dead-lettered")
    before = worker.memory()
    ran = worker_process.folder / "ran.log"
    wait_for(lambda: ran.exists() and len(ran.read_text().split()) == GOOD, 60, lambda: worker.output)
    wait_for(lambda: vhost.management.ready("default.dead") == MALFORMED, 30, "all malformed ones are dead-lettered")
    grown = worker.memory() - before
    assert sorted(map(int, ran.read_text().split())) == list(range(GOOD))
    assert worker.terminate() == 0
    assert vhost.management.ready("default") == 0
    assert reasons(vhost.url) == expected
    print(f"\n{MALFORMED} malformed messages, the worker grew by {grown / 1024:.0f} KiB")
    assert grown < GROWTH


def reasons(url: str) -> Counter[str]:
    session = dial.session([url])
    found = Counter[str]()
    for letter in session.take("default.dead", MALFORMED + 1):
        headers = letter.properties.headers or {}
        assert headers["x-amqptasks-detail"], headers
        assert headers["x-amqptasks-queue"] == "default"
        found[str(headers["x-amqptasks-reason"])] += 1
    session.close()
    return found


def malformed(count: int) -> Iterator[tuple[str, Properties, bytes]]:
    """Reason expected, properties, body; every kind in turn."""
    source = random.Random(4242)
    well = orjson.dumps([[1], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])

    def headers(**more: object) -> dict[str, object]:
        return {"task": "note", "id": task_id(), **more}

    past = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    chord = {"chord": {"task": "note", "args": [], "kwargs": {}, "options": {}}}
    kinds: list[tuple[str, Properties, bytes]] = [
        ("malformed", Properties("application/json", "utf-8", headers()), b"not json at all"),
        ("malformed", Properties("application/json", "utf-8", headers()), b"null"),
        ("malformed", Properties("application/json", "utf-8", headers()), b""),
        ("malformed", Properties("application/json", "utf-8", headers()), b"[[1], {}"),
        ("malformed", Properties("application/json", "utf-8", headers()), b"[" * 5000),
        ("malformed", Properties("application/json", "utf-8", headers()), b'{"task": "note", "id": "x", "args": []}'),
        ("malformed", Properties("application/json", "utf-8", headers()), b"[1, 2, 3]"),
        ("malformed", Properties("application/json", "utf-8", headers()), b"[[1], [], {}]"),
        ("malformed", Properties("application/json", "utf-8", headers()), b'[[1], {}, "x"]'),
        ("malformed", Properties("application/json", "utf-8", headers()), b"\xff\xfe\x00 bytes"),
        ("malformed", Properties("application/json", "utf-8", headers(retries="many")), well),
        ("malformed", Properties("application/json", "utf-8", headers(retries=-1)), well),
        ("malformed", Properties("application/json", "utf-8", headers(eta="tomorrow")), well),
        ("malformed", Properties("application/json", "utf-8", headers(expires={"in": 1})), well),
        ("malformed", Properties("application/json", "utf-8", headers(compression="lzw")), well),
        ("malformed", Properties("application/json", "utf-8", headers(compression="zlib")), well),
        ("malformed", Properties("application/json", "klingon", headers()), well),
        ("malformed", Properties("application/x-python-serialize", "binary", headers()), b"\x80\x04."),
        ("malformed", Properties("application/json", "utf-8", {"id": "1"}), well),
        ("malformed", Properties("application/json", "utf-8", {"task": "note"}), well),
        ("malformed", Properties("application/json", "utf-8", {"task": 7, "id": []}), well),
        ("malformed", Properties("application/json", "utf-8", {}), well),
        ("malformed", Properties(), b'{"task": "note", "id": "1", "args": [1], "kwargs": {}, "retries": 0}'),
        ("malformed", Properties("application/json", "utf-8", headers(task=None)), well),
        ("malformed", Properties("application/json", "utf-8", headers(id="x" * 5000)), well),
        ("unknown-task", Properties("application/json", "utf-8", headers(task="nobody.knows")), well),
        ("unknown-task", Properties("application/json", "utf-8", headers(task="note ")), well),
        ("unsupported", Properties("application/json", "utf-8", headers()), orjson.dumps([[1], {}, chord])),
        ("expired", Properties("application/json", "utf-8", headers(expires=past)), well),
        ("malformed", Properties("application/json", "utf-8", {"junk": "x" * 100_000, "weight": 2.5}), well),
    ]
    for number in range(count):
        if number % 50 == 0:
            yield "malformed", Properties("application/json", "utf-8", headers()), source.randbytes(NOISE)
        else:
            yield kinds[number % len(kinds)]
