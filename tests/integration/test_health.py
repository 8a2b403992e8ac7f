"""Probes say the truth: they fail when the worker cannot consume, and heal with it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from amqptasks import App
from amqptasks.errors import ConfigurationError
from amqptasks.worker.node import Node
from amqptasks.worker.probes.health import HealthServer
from tests.harness.command import run_command
from tests.harness.proxy import Proxy
from tests.harness.vhost import Vhost
from tests.harness.wait import wait_for
from tests.harness.worker_process import WorkerFactory

SOURCE = """
from amqptasks import App
app = App("probed")
"""

#: An app that fresh interpreters cannot import while a file says so.
BROKEN = """
import os, sys
from amqptasks import App
if os.path.exists("broken") and sys.argv[0].endswith("fork_server.py"):
    raise RuntimeError("no settings here")
app = App("broken")

@app.task(name="echo")
def echo(word):
    return word
"""

#: Seconds for fresh interpreters to be tried again and to import the app, on a busy machine.
TRIED_WITHIN = 60.0

#: Seconds in which a worker notices that its broker is gone, and in which it is back.
NOTICES_WITHIN = 30.0


def ask(port: int, path: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.fixture
def probed(proxy: Proxy) -> Iterator[tuple[Node, int]]:
    app = App("probed", proxy.url)
    with app.worker(["default"]) as node:
        server = HealthServer(node, 0, "127.0.0.1")
        server.start()
        yield node, server.port
        server.stop()


def test_a_probe_fails_without_the_broker_and_heals_with_it(probed: tuple[Node, int], proxy: Proxy) -> None:
    _, port = probed
    assert ask(port, "/ready") == (200, {"ready": True})
    proxy.refuse()
    wait_for(lambda: ask(port, "/ready")[0] == 503, NOTICES_WITHIN)
    assert ask(port, "/live") == (200, {"live": True}), "starting it again would mend nothing"
    assert ask(port, "/ready")[1]["why"]
    proxy.accept()
    wait_for(lambda: ask(port, "/ready")[0] == 200, NOTICES_WITHIN)


def test_a_probe_fails_while_a_queue_is_gone(probed: tuple[Node, int], vhost: Vhost) -> None:
    node, port = probed
    vhost.management.delete_queue("default")
    said = wait_for(lambda: ask(port, "/ready")[1].get("why"), NOTICES_WITHIN)
    assert "default" in str(said)
    wait_for(lambda: ask(port, "/ready")[0] == 200, NOTICES_WITHIN)  # the worker makes it again
    node.stop()
    wait_for(lambda: ask(port, "/ready")[1].get("why") == "it stops", 10)


def test_a_worker_whose_link_is_stuck_is_not_alive(probed: tuple[Node, int], monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    node, port = probed
    monkeypatch.setattr("amqptasks.worker.control.service.LINK_WITHIN", 0.3)
    held = threading.Event()
    node.link.call_soon(lambda: held.wait(30) and None)
    assert ask(port, "/live")[0] == 503
    held.set()
    wait_for(lambda: ask(port, "/live")[0] == 200)
    assert ask(port, "/else")[0] == 404


def test_a_port_that_is_taken_is_said(probed: tuple[Node, int]) -> None:
    node, port = probed
    with pytest.raises(ConfigurationError, match=str(port)):
        HealthServer(node, port, "127.0.0.1")


def test_a_probe_fails_while_no_process_can_run_a_task(
    vhost: Vhost, tmp_path: Path, worker_process: WorkerFactory
) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    arguments = ("-n", "broken", "-c", "2", "--start-method", "forkserver", "--health-port", "0")
    worker = worker_process(BROKEN, *arguments, module="forked")
    port = int(worker.wait_for_line(r"probes on port (\d+)")[0].split()[-1])
    wait_for(lambda: "no settings here" in ask(port, "/ready")[1].get("why", ""), TRIED_WITHIN)
    assert ask(port, "/live") == (200, {"live": True})
    pinged = run_command("inspect", "ping", "-t", "5", url=vhost.url, folder=tmp_path)
    assert pinged.returncode == 5
    assert "not ready: the prefork pool can run nothing: the app cannot be imported" in pinged.stdout
    broken.unlink()
    wait_for(lambda: ask(port, "/ready")[0] == 200, TRIED_WITHIN, lambda: str(ask(port, "/ready")))
    with closing(App("sender", vhost.url)) as sender:
        assert sender.send_task("echo", ("back",)).get(timeout=20) == "back"


def test_the_command_line_probes_and_asks(
    vhost: Vhost, proxy: Proxy, tmp_path: Path, worker_process: WorkerFactory
) -> None:
    def run(*arguments: str) -> Any:
        return run_command(*arguments, url=vhost.url, folder=tmp_path)

    nobody = run("inspect", "ping")
    assert (nobody.returncode, nobody.stderr) == (5, "No worker answered.\n")
    worker = worker_process(SOURCE, "-n", "probed", "--health-port", "0", "-E", broker_url=proxy.url)
    port = int(worker.wait_for_line(r"probes on port (\d+)")[0].split()[-1])
    assert ask(port, "/ready")[0] == 200
    pinged = run("inspect", "ping", "-d", "self", "-t", "5")
    assert pinged.returncode == 0, pinged.stderr
    assert pinged.stdout.startswith("probed: ready, up ")
    told = json.loads(run("inspect", "stats", "--json", "-t", "5").stdout)
    assert told["complete"]
    assert told["answers"]["probed"]["events"]["dropped"] == 0
    status = run("status", "-t", "5")
    assert status.returncode == 0, status.stderr
    assert "1 answered, 0 did not." in status.stdout
    paused = run("control", "pause", "default", "-t", "5")
    assert (paused.returncode, paused.stdout) == (0, "probed: paused default\n")
    assert "default (quorum): paused" in run("inspect", "active_queues", "-t", "5").stdout
    wrong = run("control", "pause", "nobody", "-t", "5")
    assert (wrong.returncode, "does not consume 'nobody'" in wrong.stderr) == (1, True)
    proxy.refuse()
    gone = run("inspect", "ping", "-d", "probed", "-t", "0.5")
    assert (gone.returncode, gone.stderr) == (5, "probed: no answer\n")
