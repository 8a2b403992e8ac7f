"""`amqptasks broker` as people use it: from the shell, with a broker that it starts, finds or is told of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pika
import pytest

from amqptasks.dev.brokers import localhost
from amqptasks.dev.brokers.installation import find_installation
from amqptasks.dev.brokers.private_node import PrivateNode
from amqptasks.dev.brokers.running import Absent, Running, Wish
from tests.harness.management import Management
from tests.harness.vhost import Vhost
from tests.harness.worker_process import REPOSITORY

Shell = Callable[..., subprocess.CompletedProcess[str]]

needs_server = [
    pytest.mark.broker,
    pytest.mark.skipif(find_installation() is None, reason="no rabbitmq-server on this machine"),
]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """Run `amqptasks ARGUMENTS` in a shell with a state folder of its own; what it started is stopped in the end."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if name != "AMQPTASKS_BROKER_URL"}
        surroundings = {**inherited, "XDG_STATE_HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY), **environment}
        return subprocess.run(
            [sys.executable, "-m", "amqptasks", *arguments],
            cwd=tmp_path,
            env=surroundings,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )

    yield run
    run("broker", "stop")


def publish(url: str, queue: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare(queue, durable=True)
        channel.confirm_delivery()
        channel.basic_publish("", queue, b"x", pika.BasicProperties(delivery_mode=2))


@pytest.mark.long
@pytest.mark.parametrize("_", [pytest.param(None, marks=needs_server, id="private node")])
def test_a_private_node_is_started_told_of_and_stopped_from_separate_shells(shell: Shell, tmp_path: Path, _) -> None:
    if isinstance(localhost.find(Wish(tmp_path)), Running):
        pytest.skip("a server on localhost:5672 would be taken")
    started = shell("broker", "start", "--json")
    assert started.returncode == 0, started.stderr
    broker = json.loads(started.stdout)
    assert (broker["kind"], broker["named"]) == ("private node", False)
    assert urlsplit(broker["url"]).hostname == "127.0.0.1"
    publish(broker["url"], "kept")

    again = shell("broker", "start", "--json")
    assert json.loads(again.stdout) == broker
    told = shell("broker", "status")
    assert told.returncode == 0
    assert broker["url"] in told.stdout
    assert "amqptasks broker stop" in told.stdout

    stopped = shell("broker", "stop")
    assert stopped.returncode == 0
    assert "Stopped the private node" in stopped.stdout
    assert shell("broker", "status").returncode == 3
    assert "Nothing to stop" in shell("broker", "stop").stdout

    restarted = json.loads(shell("broker", "start", "--json").stdout)
    assert restarted == broker
    assert Management(broker["url"], broker["management_url"]).ready("kept") == 1

    PrivateNode(Path(broker["folder"])).kill()
    crashed = shell("broker", "status")
    assert crashed.returncode == 3
    assert "does not answer" in crashed.stderr
    assert json.loads(shell("broker", "start", "--json").stdout) == broker
    assert Management(broker["url"], broker["management_url"]).ready("kept") == 1


def test_a_url_given_is_used_as_it_is_and_never_stopped(shell: Shell, vhost: Vhost) -> None:
    named = shell("broker", "start", "--json", "--broker", vhost.url)
    assert named.returncode == 0, named.stderr
    broker = json.loads(named.stdout)
    assert (broker["kind"], broker["named"], broker["url"]) == ("given", True, None)
    assert json.loads(shell("broker", "status", "--json", AMQPTASKS_BROKER_URL=vhost.url).stdout) == broker
    told = shell("broker", "status", AMQPTASKS_BROKER_URL=vhost.url)
    assert "at the URL given" in told.stdout
    assert "Nothing to stop" in shell("broker", "stop").stdout
    publish(vhost.url, "still-there")


def test_a_wrong_password_is_refused_and_not_printed(shell: Shell, vhost: Vhost) -> None:
    parts = urlsplit(vhost.url)
    url = parts._replace(netloc=f"guest:hushhush@{parts.hostname}:{parts.port}").geturl()
    done = shell("broker", "start", "--broker", url)
    assert done.returncode == 3
    assert "wrong user or password" in done.stderr
    assert "hushhush" not in done.stdout + done.stderr


def test_a_vhost_that_is_not_there_is_named_as_the_reason(shell: Shell, vhost: Vhost) -> None:
    done = shell("broker", "start", "--broker", f"{vhost.url}-not")
    assert done.returncode == 3
    assert "virtual host does not exist" in done.stderr


def test_a_url_that_is_none_is_a_mistake_of_configuration(shell: Shell) -> None:
    done = shell("broker", "start", "--broker", "http://localhost/")
    assert done.returncode == 1
    assert "amqp://" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_on_localhost_is_taken_when_it_lets_guest_in(broker, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(localhost, "PORT", urlsplit(broker.url).port)
    found = localhost.find(Wish(tmp_path))
    assert isinstance(found, Running)
    assert (found.kind, found.version, found.started) == ("localhost", broker.version, False)


def test_a_web_server_on_the_port_is_not_taken_for_a_broker(broker, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(localhost, "PORT", urlsplit(broker.management_url).port)
    assert isinstance(localhost.find(Wish(tmp_path)), Absent)
