"""The first try fails fast, and says what to do, for whoever has no broker yet."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from pika.exceptions import ConnectionOpenAborted

from amqptasks import App, dial
from amqptasks.amqp.failures.failures import explain
from amqptasks.cli import main
from amqptasks.cli.commands.worker import mistyped
from amqptasks.dev.brokers import state
from amqptasks.dev.brokers.running import Running
from amqptasks.errors import BrokerUnreachable
from tests.harness.vhost import Vhost
from tests.harness.worker_process import REPOSITORY

#: Seconds for a call, and until a command says a word, where nobody takes the connection. Python's own start is beside.
WITHIN = 2.2

#: And where somebody takes it, and stays silent.
SILENT_WITHIN = 12.0

SHOP = """
from amqptasks import App

app = App("shop")


@app.task
def ship(order):
    return order
"""

COMMANDS = {
    "call": ("-A", "shop", "call", "shop.ship", "1"),
    "worker": ("-A", "shop", "worker", "-c", "1"),
    "status": ("status",),
    "plan": ("plan", "f.yaml"),
}


@contextmanager
def refusing() -> Iterator[int]:
    """A port where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@contextmanager
def unheard() -> Iterator[int]:
    """A port at which tries to connect are not even refused, as behind a firewall: its backlog is full."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


@contextmanager
def silent() -> Iterator[int]:
    """A port that takes every connection and says nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield listening.getsockname()[1]


def address(port: int) -> str:
    return f"amqp://guest:s3cr3t@127.0.0.1:{port}/"


def until_first_words(arguments: Sequence[str], folder: Path, url: str) -> tuple[float, str]:
    """Seconds until the first line of the command, and what it printed until it told of the broker, or its version."""
    folder.joinpath("shop.py").write_text(SHOP)
    folder.joinpath("f.yaml").write_text("version: 1\nqueues:\n  default:\n")
    surroundings = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1", "AMQPTASKS_BROKER_URL": url}
    took, text = 0.0, ""
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "amqptasks", *arguments],
        cwd=folder,
        env=surroundings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            took = took or time.monotonic() - began
            text += line
            if "broker start" in line or "version" in line:
                break
        process.kill()
    return took, text


def start_takes(folder: Path) -> float:
    """Seconds that `amqptasks --version` takes on this machine now."""
    return max(until_first_words(["--version"], folder, address(9))[0] for _ in range(3))


@pytest.mark.parametrize("nobody", [refusing, unheard])
def test_a_call_without_a_broker_fails_within_two_seconds(nobody, record_property):
    dial.load([address(9)])
    with nobody() as port:
        app = App("shop", broker=address(port))
        task = app.task(len, name="shop.ship")
        began = time.monotonic()
        with pytest.raises(BrokerUnreachable, match="amqptasks broker start") as caught:
            task.delay("1")
        took = time.monotonic() - began
        app.close()
    record_property("counted", f"{nobody.__name__}: {took:.2f} s")
    assert took < WITHIN
    assert f"amqp://guest:***@127.0.0.1:{port}/" in str(caught.value)


#: What asks the broker more than one question, each of which would wait.
ASKED = {
    "ping": lambda app: app.control.ping(),
    "revoke": lambda app: app.control.revoke("an id"),
    "restore": lambda app: app.control.restore(task="shop.*"),
    "scheduled": lambda app: app.control.scheduled(),
    "a countdown": lambda app: app.send_task("shop.ship", countdown=5),
    "an expiry": lambda app: app.send_task("shop.ship", expires=60),
    "declare": lambda app: app.declare(),
}


@pytest.mark.parametrize("name", ASKED)
def test_nothing_waits_for_the_first_answer_twice(name: str):
    with refusing() as port:
        dial.load([address(port)])
        app = App("shop", broker=address(port), connect_timeout=1)
        began = time.monotonic()
        with pytest.raises(BrokerUnreachable, match="amqptasks broker start"):
            ASKED[name](app)
        took = time.monotonic() - began
        app.close()
    assert took < 1.9


def test_a_program_that_ends_before_the_broker_spoke_logs_no_failure(caplog: pytest.LogCaptureFixture):
    with silent() as port:
        app = App("shop", broker=address(port))
        with pytest.raises(BrokerUnreachable, match="somebody listens there, and said nothing within"):
            app.send_task("shop.ship", timeout=0.5)
        app.close()
    assert "failed" not in caplog.text


def test_a_connection_that_the_other_side_kept_silent_on_is_told_in_words():
    told = str(explain(ConnectionOpenAborted("Connection.close() called before connection finished opening"), "there"))
    assert told == "there: somebody listens there, and says nothing"


def test_events_end_where_there_never_was_a_broker():
    with refusing() as port:
        done = CliRunner().invoke(main, ["events", "--since", "1h", "--follow", "--broker", address(port)])
    assert done.exit_code == 3
    assert "amqptasks broker start" in done.stderr


def test_a_worker_is_told_of_a_queue_that_is_called_almost_like_one_of_the_app():
    app = App("shop", broker=address(9))
    app.task(len, name="shop.ship", queue="emails")
    assert mistyped(app, ["deflaut", "emials", "default", "reports"]) == [
        "no task of this app goes to the queue deflaut: did you mean `default`?",
        "no task of this app goes to the queue emials: did you mean `emails`?",
    ]
    assert mistyped(app, None) == []


def test_who_started_a_broker_and_did_not_export_its_address_is_told_of_it(
    vhost: Vhost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    state.folder().mkdir(parents=True)
    with refusing() as port:
        arguments = ["status", "--broker", address(port)]
        assert "another address" not in CliRunner().invoke(main, arguments).stderr
        state.remember(Running("private node", vhost.url, None, "4.3", started=True))
        told = CliRunner().invoke(main, arguments).stderr
    assert told.splitlines()[-1].endswith(f"another address: export AMQPTASKS_BROKER_URL={vhost.url}")


@pytest.mark.long
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("nobody", [refusing, unheard])
def test_commands_without_a_broker_say_so_within_two_seconds(nobody, name: str, tmp_path: Path, record_property):
    start = start_takes(tmp_path)
    with nobody() as port:
        seconds, text = until_first_words(COMMANDS[name], tmp_path, address(port))
    record_property("counted", f"{seconds - start:.2f} s beyond the {start:.2f} s of --version")
    assert f"amqp://guest:***@127.0.0.1:{port}/" in text
    assert seconds < start + WITHIN


@pytest.mark.long
@pytest.mark.parametrize("name", COMMANDS)
def test_a_broker_that_stays_silent_is_told_of_within_twelve_seconds(name: str, tmp_path: Path, record_property):
    start = start_takes(tmp_path)
    with silent() as port:
        seconds, text = until_first_words(COMMANDS[name], tmp_path, address(port))
    record_property("counted", f"{seconds - start:.2f} s beyond the {start:.2f} s of --version")
    assert "somebody listens there, and sa" in text
    assert seconds < start + SILENT_WITHIN


@pytest.mark.long
def test_a_call_to_a_broker_that_stays_silent_fails_within_twelve_seconds(record_property):
    with silent() as port:
        app = App("shop", broker=address(port))
        began = time.monotonic()
        with pytest.raises(BrokerUnreachable, match="somebody listens there"):
            app.send_task("shop.ship")
        took = time.monotonic() - began
        app.close()
    record_property("counted", f"{took:.2f} s")
    assert took < SILENT_WITHIN
