"""The shop of these tests: its tasks say what they do on their worker's output, so that a killed worker said it too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pika

from amqptasks import App
from tests.harness.management import Management
from tests.harness.vhost import Vhost
from tests.harness.worker_process import WorkerFactory, WorkerProcess

SOURCE = """
import os
import time

from amqptasks import App

app = App("shop", topology="topology.yaml")


def say(event, word, request):
    line = f"{event} {word} {request.id} {request.delivery_count} {request.routing_key}\\n"
    os.write(1, line.encode())  # in one piece: the log writes to the same file from another thread


@app.task(bind=True)
def note(self, word):
    say("ran", word, self.request)


@app.task(bind=True)
def work(self, word, seconds):
    say("began", word, self.request)
    time.sleep(seconds)
    say("ended", word, self.request)


@app.task(bind=True)
def slow_at_first(self, word, seconds):
    say("began", word, self.request)
    if not self.request.delivery_count:
        time.sleep(seconds)
    say("ended", word, self.request)


@app.task(bind=True)
def fragile(self, word):
    say("began", word, self.request)
    self.retry()
"""


@dataclass(frozen=True, slots=True)
class Said:
    """One line of a task; `deliveries` is how often its message had been delivered before."""

    event: str
    word: str
    id: str
    deliveries: int
    routing_key: str


class Shop:
    """`app` publishes to the virtual host, `worker` starts processes that consume it."""

    def __init__(self, vhost: Vhost, folder: Path, topology: str) -> None:
        (folder / "topology.yaml").write_text(f"version: 1\n{topology}")
        self.management: Management = vhost.management
        self.url = vhost.url
        self.app = App("shop", broker=vhost.url, topology=folder / "topology.yaml", ignore_result=True)
        self._start = WorkerFactory(folder, vhost.url)

    def send(self, task: str, *args: Any, **options: Any) -> str:
        """Call `shop.TASK(*args)`; its id."""
        return self.app.send_task(f"shop.{task}", args, **options).id

    def worker(self, *arguments: str) -> WorkerProcess:
        """A worker process that is ready; Celery was measured with one child and a prefetch of four."""
        return self._start(SOURCE, "-c", "1", "--prefetch", "4", *arguments)

    def unacked(self) -> int:
        """Messages that workers hold, in all queues, as the management API counts them."""
        return sum(queue.get("messages_unacknowledged", 0) for queue in self.management.queues())

    def waiting(self) -> int:
        """Messages on the rungs of the delay ladder."""
        rungs = [queue for queue in self.management.queues() if queue["name"].startswith("amqptasks.delay.")]
        return sum(queue.get("messages_ready", 0) for queue in rungs)

    def dead_letters(self, queue: str = "default.dead") -> dict[str, str]:
        """Take all dead letters: the reason of each, by its task's id."""
        return {headers["id"]: headers["x-amqptasks-reason"] for headers, _ in taken(self.url, queue)}

    def close(self) -> None:
        self._start.end_all()
        self.app.close()


def said(worker: WorkerProcess, event: str, word: str = r"\S+", count: int = 1, timeout: float = 10.0) -> list[Said]:
    """What tasks said on the worker's output, once it was said `count` times; `word` is a regular expression."""
    lines = worker.wait_for_line(rf"(?m)^{event} {word} \S+ \d+ \S+$", timeout, count) if count else []
    found = []
    for line in lines:
        event, spoken, task_id, deliveries, routing_key = line.split(" ")
        found.append(Said(event, spoken, task_id, int(deliveries), routing_key))
    return found


def said_nothing(worker: WorkerProcess, word: str) -> bool:
    """Whether no task spoke of `word` (a regular expression) so far."""
    return re.search(rf"(?m)^\S+ {word} ", worker.output) is None


@contextmanager
def new_shop(vhost: Vhost, folder: Path, topology: str) -> Iterator[Shop]:
    """`topology` is the text of the topology file, without its version."""
    shop = Shop(vhost, folder, topology)
    try:
        yield shop
    finally:
        shop.close()


def taken(url: str, queue: str) -> list[tuple[dict[str, Any], bytes]]:
    """Take all messages out of a queue: headers and body of each."""
    found = []
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
            found.append((got[1].headers or {}, got[2]))
    return found
