"""An app whose queue is migrated: it publishes, a worker runs, and it is known what ran how often."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pika

from amqptasks import App
from amqptasks.management.client import Management
from amqptasks.topology.migrate.migration import Counts, Event, Migration
from amqptasks.topology.migrate.opening import opened
from amqptasks.topology.migrate.run import migrate
from amqptasks.topology.read.loader import load
from tests.harness.migrating import EVERY
from tests.harness.vhost import Broker, Vhost
from tests.harness.wait import wait_for

#: The queue of all these tests, with a binding to a topic exchange beside that to `amqptasks.queues`.
TOPOLOGY = """
version: 1
exchanges:
  tasks: {{type: topic}}
queues:
  emails: {{bindings: [{{exchange: tasks, routing_key: "email.#"}}], {settings}}}
  others:
delays: {{max: 5s}}  # few rungs: each is a quorum queue to make and to delete
routes:
  "note": {{exchange: tasks, routing_key: email.send}}
"""


class Place:
    """`write` makes a topology file in which the queue has these settings; the app knows the first one."""

    def __init__(self, vhost: Vhost, broker: Broker, folder: Path, settings: str) -> None:
        self.vhost, self.broker, self.folder = vhost, broker, folder
        self.api = Management(broker.management_url, vhost.url)
        self.old = self.write("old", settings)
        self.ran: Counter[int] = Counter()
        self.held = threading.Event()
        self.release = threading.Event()
        self.app = self.app_of(self.old)
        self.worker_app = self.app_of(self.old)
        self.app.declare()

    def app_of(self, topology: Path) -> App:
        app = App("shop", self.vhost.url, topology=topology, ignore_result=True)
        app.task(name="note")(self._note)
        app.task(name="hold")(self._hold)
        return app

    def _note(self, number: int) -> str:
        self.ran[number] += 1
        return f"noted {number}"

    def _hold(self, number: int) -> None:
        self.held.set()
        assert self.release.wait(60)
        self.ran[number] += 1

    def write(self, name: str, settings: str) -> Path:
        file = self.folder / f"{name}.yaml"
        file.write_text(TOPOLOGY.format(settings=settings))
        return file

    def send(self, number: int, **options: Any) -> Any:
        return self.app.tasks["note"].apply_async((number,), **options)

    @contextmanager
    def open(
        self, topology: Path, tell: Callable[[Event], None] = lambda _: None, queue: str = "emails", **options: Any
    ) -> Iterator[Migration]:
        options = {"every": EVERY, "patience": 30, **options}
        with opened(load(topology), queue, [self.vhost.url], self.api, tell=tell, **options) as migration:
            yield migration

    def migrate(self, topology: Path, tell: Callable[[Event], None] = lambda _: None, **options: Any) -> Counts:
        with self.open(topology, tell, **options) as migration:
            return migrate(migration)

    def type(self) -> str:
        queue = self.vhost.management.queue("emails")
        assert queue is not None
        return str(queue["arguments"]["x-queue-type"])

    def bound(self) -> set[tuple[str, str]]:
        return {(binding["source"], binding["routing_key"]) for binding in self.vhost.management.bindings("emails")}

    def check_clean(self) -> None:
        """Nothing of a migration is left, and the queue is bound as it was."""
        assert [queue["name"] for queue in self.vhost.management.queues() if "moving" in queue["name"]] == []
        names = [exchange["name"] for exchange in self.vhost.management.exchanges()]
        assert [name for name in names if "moving" in name or "migrations" in name] == []
        assert self.bound() >= {("amqptasks.queues", "emails"), ("tasks", "email.#")}

    def bodies(self, queue: str = "emails") -> list[tuple[pika.BasicProperties, bytes]]:
        """All that waits in a queue, first first; it is taken out."""
        found = []
        with pika.BlockingConnection(pika.URLParameters(self.vhost.url)) as connection:
            channel = connection.channel()
            while True:
                method, properties, body = channel.basic_get(queue, auto_ack=True)
                if method is None:
                    return found
                found.append((properties, body))

    def close(self) -> None:
        self.release.set()
        self.app.close()


@contextmanager
def place(vhost: Vhost, broker: Broker, folder: Path, settings: str) -> Iterator[Place]:
    created = Place(vhost, broker, folder, settings)
    try:
        yield created
    finally:
        created.close()


#: Callers that publish side by side: with 500 messages a second each has 16 ms for its confirm.
CALLERS = 8


class Load:
    """Confirmed publishes at `rate` a second, by several callers, while the block lasts. `slowest` is the longest that
    one of them waited for its confirm, in seconds."""

    def __init__(self, here: Place, rate: float) -> None:
        self._here = here
        self._pause = CALLERS / rate
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(caller / rate,)) for caller in range(CALLERS)]
        self._began = self._ended = 0.0
        self.sent: list[int] = []
        self.failed: list[BaseException] = []
        self.slowest = 0.0

    def __enter__(self) -> Load:
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._ended = time.monotonic()

    @property
    def achieved(self) -> float:
        """Messages a second that were confirmed while the block lasted."""
        return len(self.sent) / (self._ended - self._began)

    def _run(self, first: float) -> None:
        due = time.monotonic() + first
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            number, began = next(self._numbers), time.monotonic()
            try:
                self._here.send(number)
            except Exception as error:
                self.failed.append(error)
            else:
                self.sent.append(number)
            now = time.monotonic()
            self.slowest = max(self.slowest, now - began)
            due = max(due + self._pause, now - 1.0)

    def wait_run(self, timeout: float = 30.0) -> None:
        """Everything that was confirmed has run."""
        ran = self._here.ran
        wait_for(lambda: set(self.sent) <= set(ran), timeout, lambda: f"{len(set(self.sent) - set(ran))} did not run")
