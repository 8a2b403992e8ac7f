"""What becomes of tasks that were acknowledged when they began (`acks_late=False`) and run when their worker stops."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from amqptasks import App
from tests.harness.management import Management
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory
from tests.integration.stopping import send, waiting

SOURCE = """
import os, time
from amqptasks import App
app = App("stop", ignore_result=True)

def say(text):
    os.write(1, (text + "\\n").encode())

@app.task(name="hang")
def hang(word):
    say(f"began {word}")
    while True:
        try:
            time.sleep(100)
        except BaseException:
            pass

@app.task(name="early", acks_late=False)
def early(word):
    say(f"began {word}")
    while True:
        time.sleep(0.01)

@app.task(name="early-fail", acks_late=False)
def early_fail(word):
    say(f"began {word}")
    time.sleep(0.3)
    raise ValueError(word)

@app.task(name="early-hang", acks_late=False)
def early_hang(word):
    hang(word)
"""


@pytest.fixture
def sender(vhost: Vhost) -> Iterator[App]:
    app = App("sender", vhost.url, ignore_result=True)
    yield app
    app.close()


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_task_that_was_acknowledged_when_it_began_is_published_again_when_it_is_told_to_end(
    vhost: Vhost, sender: App, worker_process: WorkerFactory, management: Management, pool: str
) -> None:
    worker = worker_process(SOURCE, "-c", "1", "-P", pool, "--on-shutdown", "interrupt", module="stop")
    send(sender, "early", "word", headers={"tenant": "acme"})
    worker.wait_for_line("began word")
    wait_for(lambda: (depth := management.depth("default")) and depth.total == 0, message="it is acknowledged")
    assert worker.terminate() == 0, worker.output
    assert "goes back to its queue" in worker.output
    (left,) = waiting(vhost.url)
    assert left["tenant"] == "acme"
    assert not left.get("retries"), "no attempt was counted"
    assert management.ready("default.dead") == 0


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_task_that_was_acknowledged_when_it_began_is_said_to_be_lost_in_a_cold_stop(
    vhost: Vhost, sender: App, worker_process: WorkerFactory, management: Management, pool: str
) -> None:
    worker = worker_process(SOURCE, "-c", "2", "-P", pool, module="stop")
    send(sender, "early-hang", "lost")
    send(sender, "hang", "back")
    worker.wait_for_line(r"(?m)^began ", count=2)
    wait_for(lambda: (depth := management.depth("default")) and depth.total == 1, message="one is acknowledged")
    worker.signal(signal.SIGQUIT)
    assert worker.wait(10) == 0, worker.output
    assert re.search(r"early-hang\[\S+\] is lost: it was acknowledged when it began", worker.output)
    assert not re.search(r"early-hang\[\S+\] goes back", worker.output)
    (left,) = waiting(vhost.url)
    assert left["task"] == "hang"
    (letter,) = waiting(vhost.url, "default.dead")
    assert (letter["task"], letter["x-amqptasks-attempts"]) == ("early-hang", 1)
    assert "WorkerLostError" in letter["x-amqptasks-detail"]


def test_a_cold_stop_says_what_is_lost_whose_dead_letter_nobody_takes(
    vhost: Vhost, tmp_path: Path, worker_process: WorkerFactory
) -> None:
    (tmp_path / "full.yaml").write_text("version: 1\nqueues:\n  default: {dead_letter: {max_length: 1}}\n")
    source = SOURCE.replace("ignore_result=True", 'ignore_result=True, topology="full.yaml"', 1)
    worker = worker_process(source, "-P", "threads", "-c", "1", module="stop")
    with closing(App("sender", vhost.url, ignore_result=True, topology=tmp_path / "full.yaml")) as sender:
        for number in range(6):
            send(sender, "early-fail", f"word-{number}")
    worker.wait_for_line("queue default is paused", 20)
    worker.signal(signal.SIGQUIT)
    assert worker.wait(10) == 0, worker.output
    began = re.findall(r"(?m)^began (word-\d)$", worker.output)
    lost = set(re.findall(r"early-fail\[(\S+)\] is lost: it was acknowledged when it began", worker.output))
    letters, left = waiting(vhost.url, "default.dead"), waiting(vhost.url)
    assert lost
    assert len(began) == len(set(began)) == len(letters) + len(lost), worker.output
    assert len(left) == 6 - len(began), "what has failed does not begin again"
