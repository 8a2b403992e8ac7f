"""SIGKILL of a child, of a node, of the supervisor, at each named step of a delivery.

What a child ran is run again, and the broker counts that against it; nobody else is touched. What a node held runs
again on another, and RabbitMQ counts one delivery for each message of a connection that breaks, on every release.
A supervisor takes its nodes with it, and they stop as they should: what they give back is counted before 4.3 only.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from amqptasks import App
from tests.chaos.faults import IN_CHILD, IN_NODE, PLACE, place
from tests.harness.management import Management
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for, wait_while_moving
from tests.harness.whereabouts import whereabouts
from tests.harness.worker_process import WorkerFactory, WorkerProcess

#: Printed with the figures: the same seed kills in the same order.
SEED = int(os.environ.get("AMQPTASKS_TEST_SEED", "4"))

#: Kills in all; the first part hits children alone, so that what others lose shows.
KILLS = int(os.environ.get("AMQPTASKS_TEST_KILLS", "200"))
OF_CHILDREN = KILLS * 2 // 5

PROCESSES, CONCURRENCY, PREFETCH = 2, 2, 8

#: Tasks that wait on the broker at most: enough that every process is busy.
BACKLOG = 100

#: Seconds without any task run, or any message moved, that are a failure: both nodes may be starting again, on a
#: machine with ten times as much to do. How fast the rest goes is the machine's business.
STILL = 60.0

SOURCE = """
import os, time
from amqptasks import App
from tests.chaos import faults

app = App("killed", ignore_result=True)
log = os.open("ran.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

def note(self, word):
    request = self.request
    failed = request.headers.get("x-delivery-count", 0)
    line = f"{word} {request.id} {request.retries} {request.delivery_count} {failed}\\n"
    os.write(log, line.encode())
    time.sleep(0.002)

@app.task(name="plain", bind=True)
def plain(self, word):
    note(self, word)

@app.task(name="again", bind=True)
def again(self, word):
    note(self, word)
    if not self.request.retries:
        self.retry(countdown=0.1)

@app.task(name="fails", bind=True)
def fails(self, word):
    note(self, word)
    raise ValueError("as it must")

faults.install()
"""


@dataclass(frozen=True, slots=True)
class Run:
    word: str
    id: str
    retries: int
    #: How often it had been delivered before, and how often of those it was not handed back.
    deliveries: int
    failed: int


@pytest.fixture
def sent(vhost: Vhost) -> Iterator[Sent]:
    made = Sent(vhost)
    yield made
    made.over.set()
    made.join(30)
    made.app.close()


class Sent(threading.Thread):
    """Publishes tasks of four kinds until `over`, never more than the backlog ahead."""

    def __init__(self, vhost: Vhost) -> None:
        super().__init__(daemon=True)
        self.app = App("sender", vhost.url, ignore_result=True)
        self.management = vhost.management
        self.tasks = {name: self.app.task(name=name)(lambda word: None) for name in ("plain", "again", "fails")}
        self.over = threading.Event()
        self.ids: dict[str, str] = {}
        self.app.declare()

    def run(self) -> None:
        number = 0
        while not self.over.is_set():
            if self.management.ready("default") > BACKLOG:
                self.over.wait(0.05)
                continue
            for _ in range(20):
                number += 1
                self._send(number)

    def _send(self, number: int) -> None:
        kind = ("plain", "plain", "again", "plain", "follow", "plain", "plain", "fails")[number % 8]
        word = f"{kind}-{number}"
        name, options = kind, {}
        if kind == "follow":
            name, options = "plain", {"link": self.tasks["plain"].si(f"after-{number}")}
        self.ids[word] = self.app.send_task(name, (word,), **options).id


class Killer:
    """Puts tickets at fault points, and keeps a worker of several processes running."""

    def __init__(self, folder: Path, workers: WorkerFactory, management: Management) -> None:
        self.faults = folder / "faults"
        self.faults.mkdir()
        self._folder = folder
        self._workers = workers
        self._management = management
        self.worker = self._start(SOURCE)

    def _start(self, source: str | None) -> WorkerProcess:
        worker = self._workers(
            source,
            *("-c", str(CONCURRENCY), "--processes", str(PROCESSES), "--prefetch", str(PREFETCH), "-l", "warning"),
            module="killed",
            environment={PLACE: str(self.faults)},
            ready=False,
        )
        wait_for(lambda: len(psutil.Process(worker.pid).children()) == PROCESSES, STILL, "nodes begin")
        return worker

    def kill(self, step: str, who: str) -> None:
        nodes = psutil.Process(self.worker.pid).children()
        ticket = place(self.faults, step, who)
        self.wait(lambda: not ticket.exists(), lambda: f"somebody comes to {step}, for {who}")
        if who == "supervisor":
            self.worker.wait(10)
            wait_for(lambda: not any(alive(node) for node in nodes), STILL, "its nodes stop with it")
            self.worker = self._start(None)

    def wait(self, predicate: Callable[[], object], message: Callable[[], str]) -> None:
        """For as long as tasks run, or messages move."""

        def moving() -> object:
            ran = self._folder / "ran.log"
            depths = {queue["name"]: queue.get("messages") for queue in self._management.queues()}
            return ran.stat().st_size if ran.exists() else 0, depths

        def told() -> str:
            return f"{message()}\n{whereabouts(self._management, self._workers.started, self._folder)}"

        wait_while_moving(predicate, moving, STILL, told)

    @property
    def taken(self) -> list[tuple[str, str, str]]:
        """Step, who was killed, the task's id as far as that step knows it."""
        log = self.faults / "taken.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [(step, who, task) for step, who, task in (line.split() for line in lines)]


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def runs(folder: Path) -> list[Run]:
    found = []
    for line in (folder / "ran.log").read_text().splitlines():
        word, task_id, retries, deliveries, failed = line.split()
        found.append(Run(word, task_id, int(retries), int(deliveries), int(failed)))
    return found


def points(rng: random.Random) -> Iterator[tuple[str, str]]:
    """Step and victim: at first children alone, each step in turn; then whoever, wherever."""
    for number in range(OF_CHILDREN):
        yield IN_CHILD[number % len(IN_CHILD)], "child"
    for _ in range(KILLS - OF_CHILDREN):
        who = rng.choices(["child", "node", "supervisor"], [6, 5, 1])[0]
        yield rng.choice(IN_CHILD if who == "child" else IN_CHILD + IN_NODE), who


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_no_task_is_lost_when_processes_are_killed_at_any_step(
    vhost: Vhost, sent: Sent, tmp_path: Path, worker_process: WorkerFactory
) -> None:
    began = time.monotonic()
    management = vhost.management
    killer = Killer(tmp_path, worker_process, management)
    sent.start()
    for number, (step, who) in enumerate(points(random.Random(SEED))):
        if number == OF_CHILDREN:
            only_children(killer, runs(tmp_path))
        killer.kill(step, who)
    sent.over.set()
    sent.join(30)
    killer.wait(lambda: not missing(sent, tmp_path), lambda: unrun(sent, tmp_path))
    killer.wait(lambda: settled(management), lambda: "nothing is left, ready or unacked, but dead letters")
    assert killer.worker.status is None, killer.worker.output
    assert killer.worker.terminate(40) == 0, killer.worker.output

    found, taken = runs(tmp_path), killer.taken
    kills = Counter(who for _, who, _ in taken)
    letters = Counter(headers["id"] for headers in taken_letters(sent.app))
    failing = {task for word, task in sent.ids.items() if word.startswith("fails")}
    assert set(letters) == failing, "what failed is a dead letter, and nothing else is"

    twice = sum(count - 1 for count in Counter((run.id, run.retries) for run in found).values())
    hit = {task for _, who, task in taken if who == "child"}
    counted = {run.id for run in found if run.failed} - hit
    # What a node held was delivered; before 4.3 so was what it gave back when it stopped.
    held = kills["node"] * PREFETCH
    if vhost.management.release() < (4, 3, 0):
        held += kills["supervisor"] * PROCESSES * PREFETCH
    print(
        f"\nRabbitMQ {management.overview()['rabbitmq_version']}, seed {SEED}: {len(taken)} kills {dict(kills)} in"
        f" {time.monotonic() - began:.0f} s, {len(wanted(sent))} tasks, {len(found)} runs, 0 lost, {twice} twice,"
        f" {sum(letters.values()) - len(letters)} dead letters twice, {len(counted)} of others delivered again"
        f" (at most {held})"
    )
    assert len(taken) == KILLS
    assert len(counted) <= held
    assert twice <= kills["child"] + 2 * (held + kills["supervisor"] * PROCESSES * CONCURRENCY)


def only_children(killer: Killer, found: list[Run]) -> None:
    """So far children alone were killed: what they ran is known by its id, and nothing else was delivered again."""
    hit = {task for _, _, task in killer.taken}
    assert {run.id for run in found if run.deliveries} <= hit
    again = Counter((run.id, run.retries) for run in found if run.id not in hit)
    # A task that followed on one that was hit after it had published has the same id both times.
    assert all(count == 1 for (task, _), count in again.items()), again.most_common(3)


def wanted(sent: Sent) -> set[str]:
    """The words of all that must run: with each link, what follows."""
    return set(sent.ids) | {word.replace("follow", "after") for word in sent.ids if word.startswith("follow")}


def missing(sent: Sent, folder: Path) -> set[str]:
    return wanted(sent) - {run.word for run in runs(folder)}


def unrun(sent: Sent, folder: Path) -> str:
    left = missing(sent, folder)
    ids = {sent.ids[word] for word in left if word in sent.ids}
    with sent.app.session() as session:  # looks, and gives back
        letters = [dict(letter.properties.headers or {}) for letter in session.take("default.dead", 100_000)]
    reasons = Counter(letter.get("x-amqptasks-reason") or broken(letter) for letter in letters if letter["id"] in ids)
    return f"all but {len(left)} of {len(wanted(sent))} ran; dead letters of them: {dict(reasons)}; {sorted(left)}"


def broken(letter: dict[str, Any]) -> object:
    """Why the broker, and no worker, made it a dead letter."""
    return (letter.get("x-death") or [{}])[0].get("reason")


def settled(management: Management) -> bool:
    queues = [queue for queue in management.queues() if queue["name"] == "default" or ".delay." in queue["name"]]
    return all(queue.get("messages") == 0 for queue in queues)


def taken_letters(app: App) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    with app.session() as session:
        for letter in session.take("default.dead", 100_000):
            found.append(dict(letter.properties.headers or {}))
            session.ack(letter)
    return found
