"""What cannot run ends in its dead-letter queue, with the reason; and what becomes of it where there is no room, or no
such queue."""

from __future__ import annotations

import struct
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pika
import pytest

from tests.harness.management import Management
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory
from tests.integration.recovery import Place, place

BODY = b"[[1], {}, {}]"


class RawProperties(pika.BasicProperties):
    """Properties with a field table as another client would write it; pika cannot."""

    def __init__(self, fields: bytes) -> None:
        super().__init__()
        self.fields = fields

    def encode(self) -> list[bytes]:
        return [b"\x30\x00", struct.pack(">I", len(self.fields)), self.fields, b"\x02"]


def field(name: str, value: bytes) -> bytes:
    return bytes([len(name)]) + name.encode() + value


def text(value: str) -> bytes:
    return b"S" + struct.pack(">I", len(value)) + value.encode()


def publish(vhost: Vhost, body: bytes, properties: pika.BasicProperties, queue: str = "default") -> None:
    with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("", queue, body, properties, mandatory=True)


def raw(vhost: Vhost, body: bytes = BODY, queue: str = "default", **headers: Any) -> None:
    properties = pika.BasicProperties(headers=headers, content_type="application/json", delivery_mode=2)
    publish(vhost, body, properties, queue)


def letters(vhost: Vhost, count: int, queue: str = "default.dead") -> list[dict[str, Any]]:
    """The headers of so many dead letters, once they are there; the queue is empty afterwards."""
    wait_for(
        lambda: vhost.management.ready(queue) == count,
        20,
        lambda: f"{vhost.management.ready(queue)} of {count} dead letters",
    )
    found = []
    with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
        channel = connection.channel()
        while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
            found.append(got[1].headers)
    return found


def emptied(here: Place, queue: str = "default") -> None:
    def empty() -> bool:
        depth = here.management.depth(queue)
        assert depth is not None
        assert (depth.ready, depth.unacked, depth.total) == (0, 0, 0), str(depth)
        return True

    wait_for(empty, 20)


@pytest.mark.parametrize("type", ["quorum", "classic"])
def test_every_reason_is_told_and_good_tasks_run_between_them(vhost: Vhost, tmp_path: Path, type: str) -> None:
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    with place(vhost, tmp_path, topology=f"queues: {{default: {{type: {type}}}}}\n") as here:
        raw(vhost, task="absent", id="unknown")
        raw(vhost, b"{", task="note", id="malformed")
        raw(vhost, task="note", id="late", expires=past)
        raw(vhost, task="note", id="many", **{"x-amqptasks-deliveries": 20})
        raw(vhost, b'[[1], {}, {"chord": {"task": "next"}}]', task="note", id="workflow")
        raw(vhost, b'[["failed"], {}, {}]', task="fail", id="failed")
        raw(vhost, b'[["good"], {}, {}]', task="note", id="good")
        wait_for(lambda: here.ran["good"])
        expected = {
            "unknown": "unknown-task",
            "malformed": "malformed",
            "late": "expired",
            "workflow": "unsupported",
            "failed": "failed",
            "many": "too-many-deliveries",
        }
        found = letters(vhost, len(expected))
        assert {letter["id"]: letter["x-amqptasks-reason"] for letter in found} == expected
        emptied(here)


@pytest.mark.parametrize(
    ("name", "odd"),
    [
        ("a time in milliseconds", field("sent", b"T" + struct.pack(">Q", 1_763_838_000_000))),
        ("a name that is no UTF-8", b"\x02\xff\xfe" + text("x")),
        ("a text that is no UTF-8", field("user", b"S\0\0\0\x02\xc3\x28")),
        ("a fraction", field("ratio", b"d" + struct.pack(">d", 1.5))),
    ],
)
def test_headers_that_pika_cannot_read_or_write_stop_nobody(
    vhost: Vhost, tmp_path: Path, name: str, odd: bytes
) -> None:
    """A task of it runs; one that fails becomes a dead letter with them; the next one runs."""
    with place(vhost, tmp_path) as here:
        for task in ("note", "fail"):
            fields = field("task", text(task)) + field("id", text(f"odd-{task}")) + odd
            publish(vhost, b'[["odd"], {}, {}]', RawProperties(fields))
        wait_for(lambda: here.ran["odd"], message=f"{name}: it runs")
        assert [letter["id"] for letter in letters(vhost, 1)] == ["odd-fail"]
        here.prove_consuming()
        assert not here.node.counts["Lost"]


def test_headers_nested_a_thousand_deep_stop_nobody(vhost: Vhost, tmp_path: Path) -> None:
    deep = b""
    for _ in range(1000):
        deep = b"A" + struct.pack(">I", len(deep)) + deep
    with place(vhost, tmp_path) as here:
        publish(
            vhost,
            b'[["deep"], {}, {}]',
            RawProperties(field("task", text("fail")) + field("id", text("1")) + field("n", deep)),
        )
        wait_for(lambda: here.begun["deep"])
        here.send("note", "after")
        wait_for(lambda: here.ran["after"])
        wait_for(lambda: vhost.management.ready("default.dead") == 1)


def test_headers_too_large_to_be_sent_again_leave_the_essential_ones(vhost: Vhost, tmp_path: Path) -> None:
    """What came in fits in a frame; with the reason added it does not, and a frame too large costs the connection."""
    with place(vhost, tmp_path) as here:
        raw(vhost, b'[["large"], {}, {}]', task="fail", id="large", tenant="x" * 130_800)
        letter = letters(vhost, 1)[0]
        assert (letter["id"], letter["task"], letter["x-amqptasks-reason"]) == ("large", "fail", "failed")
        assert letter["x-amqptasks-headers-dropped"] == 1
        assert "tenant" not in letter
        here.prove_consuming()
        assert not here.node.counts["Lost"]


@pytest.mark.long
@pytest.mark.parametrize("type", ["quorum", "classic"])
def test_a_message_whose_worker_dies_each_time_is_given_up_at_the_limit(
    vhost: Vhost, tmp_path: Path, worker_process: WorkerFactory, type: str
) -> None:
    """On a classic queue, which counts nothing, the workers count themselves."""
    topology = f"version: 1\nqueues: {{default: {{type: {type}, delivery_limit: 2}}}}\n"
    (tmp_path / "deadly.yaml").write_text(topology)
    source = """
import os
from amqptasks import App
app = App("deadly", topology="deadly.yaml", ignore_result=True)
@app.task(name="die", bind=True)
def die(self):
    os.write(1, f"dies {self.request.delivery_count}\\n".encode())
    os._exit(9)
@app.task(name="live")
def live():
    os.write(1, b"lives\\n")
"""
    worker_process(source, "-P", "threads", module="deadly").terminate()
    raw(vhost, b"[[], {}, {}]", task="die", id="deadly")
    died = []
    for _ in range(4):
        worker = worker_process(None, "-P", "threads", "-c", "1", module="deadly", ready=False)
        wait_for(lambda worker=worker: worker.status is not None or vhost.management.ready("default.dead") == 1, 20)
        died += [line for line in worker.output.splitlines() if line.startswith("dies ")]
        if worker.status is None:
            break
    assert died == ["dies 0", "dies 1"], "two deliveries that killed, and then no third"
    raw(vhost, b"[[], {}, {}]", task="live", id="good")
    worker.wait_for_line("(?m)^lives$")
    letter = letters(vhost, 1)[0]
    assert (letter["id"], letter["x-amqptasks-reason"]) == ("deadly", "too-many-deliveries")
    assert "delivered 2 times" in letter["x-amqptasks-detail"]
    assert "x-amqptasks-deliveries" not in letter


@pytest.mark.parametrize("room", ["made", "never"])
def test_a_full_dead_letter_queue_pauses_its_queue_and_loses_nothing(vhost: Vhost, tmp_path: Path, room: str) -> None:
    topology = "queues:\n  default: {dead_letter: {max_length: 1}}\n  other: {}\n"
    with place(vhost, tmp_path, topology=topology) as here:
        for number in range(6):
            here.send("fail", f"word-{number}")
        paused = here.node.queues["default"]
        wait_for(lambda: paused.subscription is not None and not paused.consuming, 20, "it is paused")
        here.send("note", "behind")
        here.send("note", "elsewhere", queue="other")
        wait_for(lambda: here.ran["elsewhere"], message="other queues go on")
        assert not here.ran["behind"]
        assert vhost.management.ready("default") >= 1
        found: list[dict[str, Any]] = []
        if room == "made":
            deadline = time.monotonic() + 60

            def all_there() -> bool:
                held = vhost.management.ready("default.dead")
                if held > 0:
                    found.extend(letters(vhost, held))
                return len(found) >= 6 or time.monotonic() > deadline

            wait_for(all_there, 70, lambda: f"{len(found)} of 6", every=0.2)
            here.prove_consuming()
    kept = vhost.management.ready("default") + vhost.management.ready("default.dead")
    assert len(found) + kept == (6 if room == "made" else 7), "left with a warm stop, which gave back what it held"
    assert len({letter["id"] for letter in found}) == len(found)


def test_a_queue_without_dead_letters_drops_what_cannot_run_as_it_was_told(vhost: Vhost, tmp_path: Path) -> None:
    with place(vhost, tmp_path, topology="queues: {default: {dead_letter: false}}\n") as here:
        here.send("fail", "word")
        raw(vhost, b"{", task="note", id="malformed")
        here.send("note", "after")
        wait_for(lambda: here.ran["after"])
        emptied(here)
        assert vhost.management.queue("default.dead") is None
        assert here.node.counts["Failure"] == here.node.counts["Reject"] == 1


def test_a_worker_that_may_not_configure_works_with_what_is_there(
    vhost: Vhost, management: Management, tmp_path: Path
) -> None:
    management.request("PUT", "users", vhost.name, body={"password": "secret", "tags": ""})
    rights = {"configure": "", "write": ".*", "read": ".*"}
    management.request("PUT", "permissions", vhost.name, vhost.name, body=rights)
    try:
        with place(vhost, tmp_path) as owner:
            owner.send("note", "owner")
            wait_for(lambda: owner.ran["owner"])
        url = vhost.url.replace(f"{management.user}:{management.password}", f"{vhost.name}:secret")
        with place(vhost, tmp_path, url) as here:
            here.send("note", "word")
            here.send("fail_once", "retried")
            here.send("fail", "dead")
            wait_for(lambda: {"word", "retried"} <= set(here.ran), 20, lambda: str(here.ran))
            assert len(letters(vhost, 1)) == 1
            emptied(here)
    finally:
        management.request("DELETE", "users", vhost.name)


def test_a_retry_reaches_only_the_queue_that_it_came_from(vhost: Vhost, tmp_path: Path) -> None:
    """The publisher's CC was for the first time."""
    with place(vhost, tmp_path, topology="queues: {default: {}, copies: {}}\n", queues=["default"]) as here:
        raw(vhost, b'[["word"], {}, {}]', task="fail_once", id="1", CC=["copies"])
        wait_for(lambda: here.ran["word"], 20)
        raw(vhost, b'[["dead"], {}, {}]', task="fail", id="2", CC=["copies"])
        assert len(letters(vhost, 1)) == 1
        assert vhost.management.ready("copies") == 2


def test_a_task_whose_exception_and_result_are_odd_ends_like_any_other(vhost: Vhost, tmp_path: Path) -> None:
    """Their code runs where tasks run, and takes nothing else with it."""

    class Odd(Exception):
        def __str__(self) -> str:
            raise SystemExit

        def __json__(self) -> object:
            raise KeyError("no JSON")

    with place(vhost, tmp_path, topology="queues: {default: {retry: {delays: [100ms]}}}\n") as here:

        @here.app.task(name="raise_odd")
        def raise_odd() -> None:
            raise Odd

        @here.app.task(name="return_odd")
        def return_odd() -> object:
            return Odd()

        for _ in range(5):
            here.send("raise_odd")
            here.sender.send_task("return_odd", ignore_result=False)
        assert len(letters(vhost, 10)) == 10
        here.prove_consuming()
        assert not here.node.counts["Lost"]
