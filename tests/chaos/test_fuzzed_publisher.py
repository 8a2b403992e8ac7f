"""Somebody who may publish to one queue, and tries everything, against a worker that also has another queue."""

from __future__ import annotations

import socket
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pika
import pytest

from amqptasks import App
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for, wait_while_moving
from tests.harness.worker_process import WorkerFactory

#: Bytes that a worker may grow by from the first quarter to the end. It would hold some 200 MB of 100,000 messages.
GROWTH = 24 * 1024 * 1024

#: Dead letters that are held unacknowledged while they are looked at.
PIECE = 400

TOPOLOGY = """
version: 1
exchanges:
  mail: {{type: direct}}
queues:
  emails: {{type: {kind}, bindings: [{{exchange: mail, routing_key: emails}}]}}
  other:
  quiet:
delays: {{max: 1m}}
"""

SOURCE = """
import os, time
from amqptasks import App
app = App("shop", topology="shop.yaml", ignore_result=True)
log = os.open("ran.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

def ran(word):
    os.write(log, f"{str(word)[:40]}\\n".encode("ascii", "replace"))

@app.task(name="shop.note")
def note(word):
    ran(word)

@app.task(name="shop.fail")
def fail(word):
    raise ValueError(word)

@app.task(name="shop.again", bind=True, max_retries=1)
def again(self, word):
    if self.request.retries == 0:
        raise self.retry(countdown=0)
    ran(word)

@app.task(name="shop.locked", lock="lock-{word}")
def locked(word):
    ran(word)

@app.task(name="shop.limited", rate_limit="100000/s")
def limited(word):
    ran(word)

@app.task(name="shop.ping")
def ping(queue, sent):
    os.write(log, f"{queue} waited {time.time() - sent}\\n".encode())
"""


@dataclass
class Ready:
    """What `/ready` of the worker said, as often as it was asked."""

    port: int
    said: Counter[int] = field(default_factory=Counter)

    def ask(self) -> None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ready", timeout=10) as answer:
                self.said[answer.status] += 1
        except urllib.error.HTTPError as error:
            self.said[error.code] += 1


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_fuzzed_messages_of_a_one_queue_publisher_run_or_are_dead_letters(
    kind: str, vhost: Vhost, worker_process: WorkerFactory
) -> None:
    bombard(kind, 300, vhost, worker_process, longer=10.0)  # a busy machine; what stops a queue stops it for longer


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_hundred_thousand_fuzzed_messages_of_a_one_queue_publisher(
    kind: str, vhost: Vhost, worker_process: WorkerFactory
) -> None:
    bombard(kind, 100_000, vhost, worker_process, longer=1.0)


def bombard(kind: str, count: int, vhost: Vhost, worker_process: WorkerFactory, longer: float) -> None:
    """`longer` is how many seconds a task of the other queue may wait longer than one of a worker beside it, which gets
    no such messages."""
    folder = worker_process.folder
    (folder / "shop.yaml").write_text(TOPOLOGY.format(kind=kind))
    with closing(App("shop", vhost.url, topology=str(folder / "shop.yaml"), ignore_result=True)) as app:
        app.declare()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ready = Ready(listener.getsockname()[1])
        worker = worker_process(
            SOURCE, "-Q", "emails,other", "-c", "4", "-l", "critical", "--health-port", str(ready.port), ready=False
        )
        beside = worker_process(None, "-Q", "quiet", "-c", "4", "-l", "critical", ready=False)
        wait_for(lambda: all(map(vhost.management.consumer_count, ("quiet", "emails"))), 60)
        ended = Ended(vhost, folder)
        with one_queue_publisher(vhost) as url, pinging(app, ready):
            sender = worker_process.command(url, "mail", "emails", str(count), program="tests.harness.fuzzed")
            memory = 0

            def all_ended() -> bool:
                nonlocal memory
                ended.look()
                if not memory and len(ended.numbers) >= count // 4:
                    memory = worker.memory()
                return len(ended.numbers) == count

            # What waits for its lock or its time is on the ladder, for a second at most.
            wait_while_moving(
                all_ended,
                lambda: len(ended.numbers),
                60,
                lambda: f"neither ran nor dead-lettered: {ended.missing(count)}; {sender.output[-2000:]}",
                every=0.2,
            )
            assert sender.wait() == 0
        grown = worker.memory() - memory
        by_queue = waits(folder)
        longest = {queue: round(max(times), 3) for queue, times in by_queue.items()}
        pings = {queue: len(times) for queue, times in by_queue.items()}
        print(f"\n{kind}: {count} messages, {ended.letters} dead letters; the worker grew by {grown / 1024:.0f} KiB,")
        print(f"longest waits {longest} of {pings} pings, /ready said {dict(ready.said)}")
        assert ended.without_reason == []
        assert vhost.management.ready("emails") == 0
        assert vhost.management.ready("other") == 0
        assert longest["other"] < longest["quiet"] + longer
        assert set(ready.said) == {200}
        assert worker.status is None
        assert grown < GROWTH
        assert worker.terminate() == 0
        assert beside.terminate() == 0


@contextmanager
def one_queue_publisher(vhost: Vhost) -> Iterator[str]:
    """A user who may write to the exchange `mail`, and nothing else."""
    name = f"{vhost.name}-mail"
    vhost.management.request("PUT", "users", name, body={"password": "hunter2", "tags": ""})
    rights = {"configure": "^$", "write": "^mail$", "read": "^$"}
    vhost.management.request("PUT", "permissions", vhost.name, name, body=rights)
    yield vhost.url.replace("guest:guest", f"{name}:hunter2")
    vhost.management.request("DELETE", "users", name)


@contextmanager
def pinging(app: App, ready: Ready) -> Iterator[None]:
    """Tasks for both workers ten times a second, and a question to the first one whether it is ready."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.1):
            for queue in ("other", "quiet"):
                app.send_task("shop.ping", (queue, time.time()), queue=queue)
            ready.ask()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)


class Ended:
    """The numbers of the messages that ran or are dead letters. The letters are taken out of their queue as they come:
    a consumer that keeps many unacknowledged gets no more."""

    def __init__(self, vhost: Vhost, folder: Path) -> None:
        self._vhost = vhost
        self._log = folder / "ran.log"
        self._read = 0
        self.numbers: set[str] = set()
        self.letters = 0
        #: Those to which nobody gave a reason.
        self.without_reason: list[str | None] = []

    def look(self) -> None:
        """Take in what has ended since the last look."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            lines = log.read()
        whole = lines.rfind(b"\n") + 1
        self._read += whole
        self.numbers |= {line for line in lines[:whole].decode().splitlines() if line.isdecimal()}
        with pika.BlockingConnection(pika.URLParameters(self._vhost.url)) as connection:
            channel = connection.channel()
            count = channel.queue_declare("emails.dead", passive=True).method.message_count
            if not count:
                return
            channel.basic_qos(prefetch_count=PIECE)
            for number, (method, properties, _) in enumerate(channel.consume("emails.dead"), start=1):
                self._take(properties)
                if number % (PIECE // 2) == 0 or number == count:
                    channel.basic_ack(method.delivery_tag, multiple=True)
                if number == count:
                    break
            channel.cancel()

    def _take(self, letter: pika.BasicProperties) -> None:
        self.letters += 1
        if letter.app_id is not None:  # else that of a follower
            self.numbers.add(letter.app_id)
        headers = letter.headers or {}
        by_worker = isinstance(headers.get("x-amqptasks-reason"), str) and headers.get("x-amqptasks-detail")
        if not by_worker and not headers.get("x-death"):
            self.without_reason.append(letter.app_id)

    def missing(self, count: int) -> list[str]:
        """Numbers of which neither is known; at most ten."""
        return [str(number) for number in range(count) if str(number) not in self.numbers][:10]


def waits(folder: Path) -> dict[str, list[float]]:
    """By queue, how long each ping waited."""
    found: dict[str, list[float]] = {}
    for line in (folder / "ran.log").read_text().splitlines():
        words = line.split(" waited ")
        if len(words) == 2:
            found.setdefault(words[0], []).append(float(words[1]))
    return found
