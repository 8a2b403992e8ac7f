"""A worker whose stderr nobody reads goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from amqptasks import App
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import REPOSITORY

SHOP = """
import logging
from amqptasks import App
app = App("shop")

@app.task(name="note")
def note(number):
    logging.getLogger("shop").warning("x" * 1000)
    return number
"""

#: Seconds for which nobody reads. The broker gives a connection up after two heartbeats of five seconds.
BLOCKED = 40.0

#: Seconds for one task meanwhile, and for the end of the worker: nothing runs in it.
WITHIN = 10.0


def connections(vhost: Vhost) -> set[str]:
    return {str(one["name"]) for one in vhost.management.connections()}


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_whose_stderr_blocks_for_40_seconds_consumes_keeps_its_connections_and_ends(
    pool: str, vhost: Vhost, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    worker = subprocess.Popen(
        [sys.executable, "-m", "amqptasks", "-A", "shop", "worker", "-P", pool, "-c", "2"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "AMQPTASKS_BROKER_URL": f"{vhost.url}?heartbeat=5"},
        stderr=subprocess.PIPE,
    )
    app = App("caller", vhost.url)
    try:
        assert worker.stderr is not None
        while b"ready" not in worker.stderr.readline():
            assert worker.poll() is None
        for number in range(300):  # a pipe takes 64 KiB
            assert app.send_task("note", (number,)).get(timeout=WITHIN) == number
        before: set[str] = wait_for(lambda: connections(vhost), WITHIN)
        end = time.monotonic() + BLOCKED
        number = 0
        pause = threading.Event()
        while time.monotonic() < end:
            number += 1
            assert app.send_task("note", (number,)).get(timeout=WITHIN) == number
            pause.wait(0.2)
        assert connections(vhost) == before
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(WITHIN + 5) == 0
    finally:
        app.close()
        worker.kill()
        worker.wait(10)
        if worker.stderr is not None:
            worker.stderr.close()
