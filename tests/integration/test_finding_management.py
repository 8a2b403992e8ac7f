"""Where commands look for the management API when nobody names it."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result

from amqptasks.cli import main
from amqptasks.dev.brokers import probe
from tests.harness.impostor import impostor
from tests.harness.vhost import Broker, Vhost

#: On loopback like 127.0.0.1, where our own nodes listen, and nobody listens there.
DEAD = "127.0.0.2"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A topology; and no broker that `amqptasks broker` started is known."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("AMQPTASKS_MANAGEMENT_URL", raising=False)
    written = tmp_path / "topology.yaml"
    written.write_text("version: 1\nqueues:\n  mails:\n")
    return written


def usual_port(port: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "MANAGEMENT_PORTS", {"http": port})


def run(*arguments: str) -> Result:
    done = CliRunner().invoke(main, arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done


def at(host: str, url: str, port: int | None = None) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"guest:guest@{host}:{port or parts.port}").geturl()


@pytest.mark.parametrize("answer", [b"220 mail.example\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[]", b""])
def test_what_is_no_management_api_stands_in_nobodys_way(
    answer: bytes, vhost: Vhost, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`declare` does without it; who cannot says who is there instead."""
    with impostor(answer) as other:
        usual_port(other.port, monkeypatch)
        url = at("127.0.0.1", vhost.url)
        declared = run("declare", str(file), "--broker", url, "--no-delays")
        assert declared.exit_code == 0, declared.output
        assert vhost.management.ready("mails") == 0
        left_out = json.loads(run("doctor", "--broker", url, "--json").stdout)["left_out"]
        assert other.url in left_out["nodes"]
        planned = run("plan", str(file), "--broker", url)
    assert planned.exit_code == 1
    assert f"was not found ({other.url}" in planned.stderr


@pytest.mark.kills_broker
def test_the_next_address_is_asked_where_the_first_is_dead(
    vhost: Vhost, broker: Broker, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual_port(urlsplit(broker.management_url).port, monkeypatch)
    urls = f"{at(DEAD, vhost.url)};{at('127.0.0.1', vhost.url)}"
    planned = run("plan", str(file), "--broker", urls, "--no-delays", "--json")
    assert planned.exit_code == 2, planned.output
    assert json.loads(planned.stdout)["broker"] == at("127.0.0.1", vhost.url)
    assert run("declare", str(file), "--broker", urls, "--no-delays").exit_code == 0
    assert run("plan", str(file), "--broker", urls, "--no-delays").exit_code == 0
    assert "\n  mails:\n" in run("topology", "export", "--broker", urls).stdout
    drawn = run("topology", "graph", str(file), "--live", "--broker", urls)
    assert drawn.exit_code == 0, drawn.stderr
    moved = run("migrate", "mails", str(file), "--dry-run", "--broker", urls)
    assert "Nothing to do" in moved.stdout, moved.stderr


@pytest.mark.kills_broker
def test_where_none_answers_each_place_is_told(
    vhost: Vhost, broker: Broker, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual_port(1, monkeypatch)
    urls = f"amqp://shop:hush@{DEAD}/;{vhost.url}"
    for command in (["plan"], ["topology", "graph", "--live"], ["migrate", "mails"]):
        done = run(*command, str(file), "--broker", urls)
        assert done.exit_code != 0
        assert f"http://{DEAD}:1: [Errno 111]" in done.stderr, command
        assert "http://127.0.0.1:1: [Errno 111]" in done.stderr
        assert "rabbitmq-plugins enable rabbitmq_management" in done.stderr
        assert "hush" not in done.stderr


@pytest.mark.parametrize("command", ["plan", "declare", "demo", "doctor"])
def test_an_address_with_a_password_is_refused_and_not_shown(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQPTASKS_MANAGEMENT_URL", "http://shop:hush@broker.example:15672")
    done = run(command, "--broker", "memory://")
    assert done.exit_code == 1
    assert "holds no user or password" in done.stderr
    assert "hush" not in done.output
