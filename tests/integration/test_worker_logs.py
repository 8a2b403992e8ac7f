"""What a worker process logs: one line an event, tracebacks once, in the form that was asked for."""

from __future__ import annotations

import json

import psutil
import pytest

from amqptasks import App
from tests.harness.vhost import Vhost
from tests.harness.worker_process import WorkerFactory, WorkerProcess

SHOP = """
import logging
from amqptasks import App
from amqptasks.logs import get_task_logger
app = App("shop")
logger = get_task_logger("shop")

@app.task(name="shop.tell")
def tell(text):
    logger.info("told %s", text)
    logger.debug("in detail")
    logging.getLogger("a.package").info("heard")
    logging.getLogger("a.package").warning("doubted")

@app.task(name="shop.fail", max_retries=1, autoretry_for=(ValueError,), default_retry_delay=0.05)
def fail(text):
    raise ValueError(text)
"""


#: How the processes begin in which tasks run: as copies of the worker, or of an interpreter that knows nothing of how
#: it logs, or each as one; and as copies of such a one because the process that was copied is gone.
BEGINNINGS = ["fork", "forkserver", "spawn", "fork, but its fork server was killed"]

#: Seconds for a task to end whose process may have to begin first, on a busy machine.
BEGUN_WITHIN = 40.0


@pytest.fixture(params=BEGINNINGS)
def beginning(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def started(worker_process: WorkerFactory, beginning: str, source: str, *options: str) -> WorkerProcess:
    method, _, killed = beginning.partition(", ")
    worker = worker_process(source, "-c", "1", "--start-method", method, *options)
    if killed:
        (fork_server,) = psutil.Process(worker.pid).children()
        fork_server.kill()
        worker.wait_for_line("the fork server of the pool is gone")
    return worker


def test_json_lines_of_a_worker_are_objects_with_the_tasks_fields(
    vhost: Vhost, worker_process: WorkerFactory, beginning: str
) -> None:
    worker = started(worker_process, beginning, SHOP, "--log-format", "json")
    app = App("shop", vhost.url)
    try:
        told = app.send_task("shop.tell", ["ada"])
        told.get(timeout=BEGUN_WITHIN)
        failed = app.send_task("shop.fail", ["first\nsecond"])
        failed.get(timeout=10, propagate=False)
        worker.wait_for_line('"action":"failure"')
    finally:
        app.close()
    assert worker.terminate() == 0
    lines = [json.loads(line) for line in worker.output.splitlines()]
    of_tell = [line for line in lines if line.get("id") == told.id]
    (success,) = (line for line in of_tell if line.get("action") == "success")  # of another process than the others
    assert success["runtime"] > 0
    others = [line["message"] for line in of_tell if line is not success]
    assert others == ["told ada", "heard", "doubted"]
    assert {(line["task"], line["queue"], line["attempt"]) for line in of_tell} == {("shop.tell", "default", 1)}
    of_fail = [line for line in lines if line.get("id") == failed.id]
    assert [(line["action"], line["attempt"]) for line in of_fail] == [("retry", 1), ("failure", 2)]
    assert [("traceback" in line) for line in of_fail] == [False, True]
    assert worker.output.count("Traceback (most recent call last)") == 1


def test_plain_lines_have_no_colours_in_a_file_and_the_level_is_kept(
    vhost: Vhost, worker_process: WorkerFactory, beginning: str
) -> None:
    worker = started(worker_process, beginning, SHOP, "--log-level", "debug")
    app = App("shop", vhost.url)
    try:
        app.send_task("shop.tell", ["ada"]).get(timeout=BEGUN_WITHIN)
    finally:
        app.close()
    worker.wait_for_line(r"told ada \[task=shop.tell id=\S+ queue=default attempt=1\]")
    worker.wait_for_line(r"in detail \[task=shop.tell id=\S+ queue=default attempt=1\]")
    assert worker.terminate() == 0
    assert "\x1b" not in worker.output


def test_an_app_that_configures_logging_itself_keeps_its_own(
    vhost: Vhost, worker_process: WorkerFactory, beginning: str
) -> None:
    own = "import logging\nlogging.basicConfig(level='INFO', format='MINE %(message)s')\n" + SHOP
    worker = started(worker_process, beginning, own, "--log-format", "json")
    app = App("shop", vhost.url)
    try:
        app.send_task("shop.tell", ["ada"]).get(timeout=BEGUN_WITHIN)
    finally:
        app.close()
    worker.wait_for_line("MINE told ada")
    worker.wait_for_line(r"MINE shop.tell\[\S+\] succeeded in")
    assert worker.terminate() == 0
    assert all(line.startswith("MINE ") for line in worker.output.splitlines())
