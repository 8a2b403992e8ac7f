"""Each kind of `retry:` on a real broker: how long a failed task waits, what it is told, and how it ends."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pika
import pytest

from amqptasks import App
from amqptasks.transport.capabilities import Capabilities
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for

#: Seconds by which an attempt may be late on a machine that does other things too.
LATE = 1.5


class Attempts:
    """A task that fails always, and notes each of its attempts."""

    def __init__(self, vhost: Vhost, folder: Path, queue: str) -> None:
        file = folder / "topology.yaml"
        file.write_text(f"version: 1\ndelays: {{max: 1h}}\nqueues:\n  work: {queue}\n  other:\ndefault_queue: work\n")
        self.vhost = vhost
        self.app = App("retries", vhost.url, topology=file, ignore_result=True)
        self.noted: list[tuple[str, float, int]] = []
        self.app.task(name="fail")(self._fail)
        self.app.task(name="note", bind=True)(self._note)
        self.app.task(name="later", bind=True)(self._later)

    def _fail(self, word: str) -> None:
        request = self.app.tasks["fail"].request
        self.noted.append((word, time.monotonic(), request.retries))
        raise ValueError(word)

    def _note(self, task: Any, word: str) -> None:
        self.noted.append((word, time.monotonic(), task.request.retries))

    def _later(self, task: Any, word: str) -> None:
        self.noted.append((word, time.monotonic(), task.request.retries))
        if task.request.retries < 2:
            task.retry(countdown=0.2, max_retries=5)

    def waits(self, word: str) -> list[float]:
        """Seconds between the attempts."""
        times = [at for noted, at, _ in self.noted if noted == word]
        return [after - before for before, after in itertools.pairwise(times)]

    def retries(self, word: str) -> list[int]:
        return [count for noted, _, count in self.noted if noted == word]

    @property
    def capabilities(self) -> Capabilities:
        assert self.app.capabilities is not None
        return self.app.capabilities

    def letters(self, count: int) -> list[dict[str, Any]]:
        """The headers of so many dead letters, once they are there."""
        wait_for(lambda: self.vhost.management.ready("work.dead") == count, 20, "the dead letters")
        found = []
        with pika.BlockingConnection(pika.URLParameters(self.vhost.url)) as connection:
            channel = connection.channel()
            while (got := channel.basic_get("work.dead", auto_ack=True))[0] is not None:
                found.append(got[1].headers)
        return found


KINDS = {
    "ladder": ("{retry: {delays: [300ms, 900ms]}}", [0.3, 0.9]),
    "queues": ("{retry: {delays: [300ms, 900ms], queues: true}}", [0.3, 0.9]),
    "repeated": ("{retry: {delays: [300ms], queues: true, max_retries: 3}}", [0.3, 0.3, 0.3]),
    "native": ("{retry: {native: true, first: 300ms, max: 700ms, max_retries: 3}}", [0.3, 0.6, 0.7]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_failing_task_waits_as_its_queue_says_and_ends_among_the_dead(
    kind: str, vhost: Vhost, tmp_path: Path
) -> None:
    queue, delays = KINDS[kind]
    here = Attempts(vhost, tmp_path, queue)
    with here.app.worker(queues=["work"], concurrency=2):
        here.app.tasks["fail"].delay("a")
        headers = here.letters(1)[0]
    waits = here.waits("a")
    assert len(waits) == len(delays)
    for waited, delay in zip(waits, delays, strict=True):
        assert delay - 0.01 <= waited <= delay + LATE
    assert here.retries("a") == list(range(len(delays) + 1))
    assert headers["x-amqptasks-reason"] == "failed"
    assert headers["x-amqptasks-attempts"] == len(delays) + 1
    assert "x-amqptasks-to" not in headers
    assert vhost.management.ready("work") == 0


def test_where_a_task_waits_is_where_the_file_says(vhost: Vhost, tmp_path: Path) -> None:
    here = Attempts(vhost, tmp_path, "{retry: {delays: [20s], queues: true}}")
    with here.app.worker(queues=["work"]):
        here.app.tasks["fail"].delay("a")
        wait_for(lambda: vhost.management.ready("work.retry.20s") == 1, 10, "the task in its retry queue")


def test_a_task_that_asks_for_another_delay_or_has_a_policy_of_its_own_takes_the_ladder(
    vhost: Vhost, tmp_path: Path
) -> None:
    here = Attempts(vhost, tmp_path, "{retry: {native: true, first: 30s, max: 30s}}")
    with here.app.worker(queues=["work"]):
        here.app.tasks["later"].delay("a")
        wait_for(lambda: len(here.noted) == 3, 15, lambda: f"three attempts: {here.noted}")
    assert here.retries("a") == [0, 1, 2]
    assert max(here.waits("a")) < 10


def test_a_native_retry_stays_in_its_queue_where_the_broker_can_and_others_overtake_it(
    vhost: Vhost, tmp_path: Path
) -> None:
    here = Attempts(vhost, tmp_path, "{retry: {native: true, first: 2s, max: 2s, max_retries: 1}}")
    with here.app.worker(queues=["work"], concurrency=1):
        here.app.tasks["fail"].delay("failing")
        wait_for(lambda: here.noted, 10, "the first attempt")
        here.app.tasks["note"].delay("following")
        wait_for(lambda: len(here.noted) == 2, 10, "the second task")
        if here.capabilities.delayed_retry:
            state = vhost.management.request("GET", "queues", vhost.name, "work")
            assert state["arguments"]["x-delayed-retry-type"] == "failed"
            wait_for(
                lambda: vhost.management.request("GET", "queues", vhost.name, "work").get("messages_delayed") == 1,
                10,
                "the message that the queue holds back",
            )
        here.letters(1)
    assert [word for word, _, _ in here.noted] == ["failing", "following", "failing"]


def test_many_native_retries_are_not_taken_for_poison(vhost: Vhost, tmp_path: Path) -> None:
    queue = "{retry: {native: true, first: 50ms, max: 50ms, max_retries: 9}, delivery_limit: 2}"
    here = Attempts(vhost, tmp_path, queue)
    with here.app.worker(queues=["work"]):
        here.app.tasks["fail"].delay("a")
        headers = here.letters(1)[0]
    assert headers["x-amqptasks-reason"] == "failed"
    assert here.retries("a") == list(range(10))


def test_what_falls_to_the_delivery_limit_is_dead_not_lost_with_every_kind(vhost: Vhost, tmp_path: Path) -> None:
    """The broker's own limit, with no worker of ours: its dead-lettering must not lead into a retry queue, where the
    broker would drop the message as a cycle."""
    here = Attempts(vhost, tmp_path, "{retry: {delays: [1s], queues: true}, delivery_limit: 1}")
    here.app.declare()
    with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("", "work", b"poison", pika.BasicProperties(delivery_mode=2))
        for _ in range(7):
            got = wait_for(lambda: next(iter([one for one in [channel.basic_get("work")] if one[0]]), None), 10, "it")
            channel.basic_reject(got[0].delivery_tag, requeue=True)
    assert here.letters(1)[0]["x-death"][0]["reason"] == "delivery_limit"
