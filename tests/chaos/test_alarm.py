"""An alarm of more than three minutes, with tasks of every kind under way, and a worker that is stopped meanwhile."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from amqptasks import App
from amqptasks.amqp.blocking.session import Session
from amqptasks.dead_letters.queue import letters
from amqptasks.messages.protocol import Request
from amqptasks.runtime.clock import monotonic
from tests.harness.alarm import alarm
from tests.harness.nodes import StartedBroker
from tests.harness.vhost import Vhost, new_vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory

#: Tasks of each kind, seconds of the alarm, and when in it a worker is stopped.
EACH = 500
ALARM_FOR, STOPPED_AFTER = 200.0, 100.0

#: Seconds after the alarm in which all has ended.
ENDS_WITHIN = 180.0

#: What a task needs to be under way when the alarm comes: it waits for a file.
SOURCE = """
import os, time
from amqptasks import App
app = App("alarmed", ignore_result=True)
log = os.open("ran.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

def ran(what, number):
    os.write(log, f"{what} {number}\\n".encode())

def wait():
    while not os.path.exists("gate"):
        time.sleep(0.05)

@app.task(name="plain")
def plain(number):
    wait()
    ran("plain", number)

@app.task(name="reply", ignore_result=False)
def reply(number):
    wait()
    ran("reply", number)
    return number

@app.task(name="link")
def link(number):
    wait()
    ran("link", number)

@app.task(name="follow")
def follow(number):
    ran("follow", number)

@app.task(name="retry", bind=True, max_retries=2, default_retry_delay=1)
def retry(self, number):
    wait()
    ran(f"retry{self.request.retries}", number)
    if not self.request.retries:
        self.retry()

@app.task(name="failing")
def failing(number):
    wait()
    ran("failing", number)
    raise ValueError(number)

@app.task(name="early", acks_late=False)
def early(number):
    wait()
    ran("early", number)
"""

#: What runs once for each number of a kind, at least, when all has ended.
RUNS = ("plain", "reply", "link", "follow", "retry0", "retry1", "failing", "early")


def runs(folder: Path) -> Counter[tuple[str, int]]:
    log = folder / "ran.log"
    words = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return Counter((what, int(number)) for what, number in words)


def publish(app: App) -> list[Any]:
    """All kinds in turn; the results of those with a reply."""
    results = []
    for number in range(EACH):
        for name in ("plain", "retry", "failing", "early"):
            app.send_task(name, (number,), ignore_result=True)
        follow = app.signature("follow", (number,), immutable=True)
        app.send_task("link", (number,), link=follow, ignore_result=True)
        results.append(app.send_task("reply", (number,)))
    return results


def dead_numbers(vhost: Vhost) -> Counter[tuple[str, int]]:
    """Task and number of each dead letter."""
    found: Counter[tuple[str, int]] = Counter()
    with Session([vhost.url]) as session:
        for letter in letters(session, "default.dead"):
            assert isinstance(letter.content, Request), letter.content
            found[letter.content.task, letter.content.args[0]] += 1
    return found


def until(seconds: float, since: float) -> Callable[[], bool]:
    return lambda: monotonic() - since >= seconds


@pytest.mark.long
@pytest.mark.timeout(900)
def test_all_ends_after_a_long_alarm_as_it_would_have_without(own_broker: StartedBroker, tmp_path: Path) -> None:
    with new_vhost(own_broker) as vhost:
        workers = WorkerFactory(tmp_path, vhost.url)
        with closing(App("alarmed", vhost.url)) as app:
            app.declare()
            results = publish(app)
            steady, stopped = (
                workers(source, "-P", "threads", "-c", "8", "-n", name, module="alarmed")
                for source, name in ((SOURCE, "steady"), (None, "stopped"))
            )
            with alarm(own_broker):
                began = monotonic()
                (tmp_path / "gate").touch()
                wait_for(until(STOPPED_AFTER, began), ALARM_FOR, every=1.0)
                in_alarm = runs(tmp_path)
                status = stopped.terminate(60)
                wait_for(until(ALARM_FOR, began), ALARM_FOR, every=1.0)
            ended = monotonic()
            whole = {(what, number) for what in RUNS for number in range(EACH)}
            wait_for(
                lambda: whole <= set(runs(tmp_path)) and vhost.management.depth("default").total == 0,
                ENDS_WITHIN,
                lambda: (
                    f"{missing(whole, runs(tmp_path))}, {vhost.management.depth('default')}\n{steady.output[-3000:]}"
                ),
                every=0.5,
            )
            seconds = monotonic() - ended
            states = Counter(result.status for result in results)
        found, dead = runs(tmp_path), dead_numbers(vhost)
        lost = sum(int(count) for count in re.findall(r"(\d+) repl(?:y is|ies are) dropped", stopped.output))
        print(f"in the first {STOPPED_AFTER:.0f} s of the alarm: {dict(Counter(what for what, _ in in_alarm))}")
        print(f"the stopped worker ended with {status}; it dropped {lost} replies; states of replies: {dict(states)}")
        print(f"all ended {seconds:.0f} s after the alarm; runs: {by_kind(found)}, of them again: {again(found)}")
        print(f"dead letters: {by_kind(dead)}, twice: {again(dead)}")
        assert status == 0
        assert set(found) == whole, "nothing else ran"
        assert set(dead) == {("failing", number) for number in range(EACH)}, "what succeeded is no dead letter"
        assert states == Counter({"SUCCESS": EACH - lost, "LOST": lost}) - Counter()
        assert not [one for one in again(found) if one == "early"], "an early ack lets nothing run again"
        assert steady.terminate(30) == 0
        workers.end_all()


def missing(whole: set[tuple[str, int]], found: Counter[tuple[str, int]]) -> dict[str, int]:
    return dict(Counter(what for what, _ in whole - set(found)))


def by_kind(found: Counter[tuple[str, int]]) -> dict[str, int]:
    """How many runs or letters of each kind."""
    counts: Counter[str] = Counter()
    for (what, _), count in found.items():
        counts[what] += count
    return dict(counts)


def again(found: Counter[tuple[str, int]]) -> dict[str, int]:
    """How many of each kind more than one for a number."""
    counts: Counter[str] = Counter()
    for (what, _), count in found.items():
        if count > 1:
            counts[what] += count - 1
    return dict(counts)
