"""A worker that is told from which level on to log: so do its processes, and what is written of its tasks."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import pytest

from amqptasks import App
from tests.harness.vhost import Vhost
from tests.harness.worker_process import WorkerFactory

SOURCE = """
import os, time
from amqptasks import App
from amqptasks.logs import get_task_logger
app = App("told")
logger = get_task_logger("told")

@app.task(name="say")
def say(word):
    logger.info("says %s", word)
    logger.debug("thinks %s", word)

@app.task(name="until")
def until(path):
    os.write(1, b"waits\\n")
    while not os.path.exists(path):
        time.sleep(0.02)
"""


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_the_level_goes_up_and_down_while_the_worker_runs(
    vhost: Vhost, worker_process: WorkerFactory, tmp_path: Path, pool: str
) -> None:
    worker = worker_process(SOURCE, "-n", "told", "-c", "1", "-P", pool, module="told")
    with closing(App("told", vhost.url)) as app:

        def say(word: str) -> str:
            result = app.send_task("say", [word])
            result.get(timeout=10)
            return f"say[{result.id}] succeeded"

        usual = say("usual")
        worker.wait_for_line("says usual")
        worker.wait_for_line(re.escape(usual))

        running = app.send_task("until", [str(tmp_path / "over")])
        worker.wait_for_line("waits")
        assert app.control.log_level("error")["told"] == "error, before info"
        (tmp_path / "over").touch()  # it began when its end was still worth a line
        running.get(timeout=10)
        silent = say("nothing")

        assert app.control.log_level("DEBUG")["told"] == "debug, before error"
        say("everything")
        worker.wait_for_line("thinks everything")
        worker.wait_for_line("says everything")
        back = app.control.log_level("info")["told"]
        assert back == "info, before debug"
        say("less")
        worker.wait_for_line("says less")
        assert worker.terminate() == 0
    assert f"until[{running.id}] succeeded" not in worker.output
    assert silent not in worker.output
    assert "says nothing" not in worker.output
    assert "thinks less" not in worker.output


def test_processes_that_begin_later_have_the_level_too(vhost: Vhost, worker_process: WorkerFactory) -> None:
    worker = worker_process(SOURCE, "-n", "told", "-c", "1", "--max-tasks-per-child", "1", module="told")
    with closing(App("told", vhost.url)) as app:
        app.control.log_level("debug")
        for word in ("one", "two", "three"):
            app.send_task("say", [word])
            worker.wait_for_line(f"thinks {word}")
