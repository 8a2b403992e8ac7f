"""`amqptasks result`: what it prints of each state, and its exit status."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from amqptasks.cli import main
from amqptasks.errors import TaskRejected
from amqptasks.messages.codec import PLAIN
from amqptasks.messages.properties import Properties
from amqptasks.messages.request import Request
from amqptasks.results.address import ENVIRONMENT, read
from amqptasks.results.backend import Backend
from tests.harness.wait import wait_for

Run = Callable[..., Result]


class Kept:
    """A store with results of a task, written as a worker writes them."""

    def __init__(self, url: str) -> None:
        self.backend = Backend(read(url), PLAIN, 3600.0)
        self.request = Request("shop.add", "1", (2, 3), {"note": "x" * 100}, queue="default", hostname="worker-1")

    def write(self, how: str, *given: Any, **more: Any) -> None:
        record = getattr(self.backend.recording, how)(self.request, Properties(), *given, **more)
        self.backend.store.write([record])


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/results.db"


@pytest.fixture
def kept(url: str) -> Iterator[Kept]:
    made = Kept(url)
    yield made
    made.backend.close(1)


@pytest.fixture
def run(url: str) -> Run:
    def call(*arguments: str, backend: str = url) -> Result:
        return CliRunner().invoke(main, ["result", *arguments, "--backend", backend])

    return call


def test_a_success_is_shown(kept: Kept, run: Run) -> None:
    kept.write("success", 5, children=["2", "3"])
    shown = run("1")
    assert shown.exit_code == 0
    lines = shown.output.splitlines()
    assert lines[:2] == ["SUCCESS    shop.add", "result     5"]
    assert {"worker     worker-1", "queue      default", "args       [2,3]", 'children   ["2","3"]'} <= set(lines)
    assert max(map(len, lines)) <= 80


def test_a_success_in_json(kept: Kept, run: Run) -> None:
    kept.write("success", {"a": [1, None]})
    shown = run("1", "--json")
    told = json.loads(shown.output)
    assert (told["id"], told["state"], told["task"], told["result"]) == ("1", "SUCCESS", "shop.add", {"a": [1, None]})
    assert (told["args"], told["worker"], told["queue"], told["retries"]) == ([2, 3], "worker-1", "default", 0)
    assert "exception" not in told


@pytest.mark.parametrize("as_json", [False, True])
def test_a_failure_is_shown_with_its_traceback(kept: Kept, run: Run, as_json: bool) -> None:
    kept.write("failure", "FAILURE", ValueError("no\x1b[31m"), "Traceback:\n  here\nValueError: no")
    shown = run("1", *(["--json"] if as_json else []))
    assert shown.exit_code == 1
    if as_json:
        told = json.loads(shown.output)
        assert (told["exception"], told["message"]) == ("builtins.ValueError", "no\x1b[31m")
        assert told["traceback"].startswith("Traceback:\n")
    else:
        assert "exception  builtins.ValueError\nmessage    no\\x1b[31m" in shown.output
        assert shown.output.endswith("\nTraceback:\n  here\nValueError: no\n")


def test_a_rejected_task_is_shown_with_the_reason(kept: Kept, run: Run) -> None:
    kept.write("failure", "REJECTED", TaskRejected("expired: too late"), None, reason="expired: too late")
    shown = run("1")
    assert shown.exit_code == 1
    assert shown.output.startswith("REJECTED   shop.add\n")
    assert "reason     expired: too late\n" in shown.output


def test_a_state_on_the_way_is_no_failure(kept: Kept, run: Run) -> None:
    kept.write("on_the_way", "PROGRESS", {"done": 3})
    shown = run("1")
    assert (shown.exit_code, shown.output.splitlines()[:2]) == (0, ["PROGRESS   shop.add", 'result     {"done":3}'])


def test_an_unknown_id_has_a_status_of_its_own(run: Run) -> None:
    shown = run("nobody")
    assert shown.exit_code == 5
    assert shown.output == "PENDING    nothing is known of nobody: it waits, or there is no such call\n"
    assert json.loads(run("nobody", "--json").output) == {"id": "nobody", "state": "PENDING"}


def test_watching_shows_each_state_until_the_end(kept: Kept, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from amqptasks.cli.commands import result as command

    monkeypatch.setattr(command, "LOOK_EVERY", 0.005)
    seen: list[dict[str, Any]] = []
    told = command._told
    monkeypatch.setattr(command, "_told", lambda *given: (seen.append(told(*given)), seen[-1])[1])

    def work() -> None:
        for state in ("STARTED", "PROGRESS"):
            kept.write("on_the_way", state, {})
            wait_for(lambda state=state: seen[-1]["state"] == state, message=state)
        kept.write("success", 5)

    worker = threading.Thread(target=work)
    wait = threading.Thread(target=lambda: (wait_for(lambda: seen), worker.start()))
    wait.start()
    shown = run("1", "--watch", "--json")
    wait.join()
    worker.join()
    assert shown.exit_code == 0
    states = [json.loads(line)["state"] for line in shown.output.splitlines()]
    assert states == ["PENDING", "STARTED", "PROGRESS", "SUCCESS"]


def test_watching_ends_when_its_time_is_up(kept: Kept, run: Run) -> None:
    kept.write("on_the_way", "STARTED", {})
    shown = run("1", "--watch", "--timeout", "0.05", "--json")
    assert (shown.exit_code, json.loads(shown.output)["state"]) == (5, "STARTED")


def test_a_timeout_without_watch_is_wrong_use(run: Run) -> None:
    assert run("1", "--timeout", "1").exit_code == 2


@pytest.mark.parametrize(
    ("backend", "status", "words"),
    [
        ("rpc://", 1, "results are kept nowhere"),
        ("memory://", 1, "lives within one process"),
        ("nosuch://x", 1, "there is no result store for nosuch://"),
        ("results.db", 1, "with its scheme"),
        ("sqlite:////no/such/folder/results.db", 3, "unable to open database file"),
        ("sqlite:///x.db?expires=soon", 1, "expires= is a number of seconds"),
        ("sqlite:///x.db?compression=zip", 1, "zip"),
    ],
)
def test_a_store_that_cannot_be_asked_is_told(run: Run, backend: str, status: int, words: str) -> None:
    shown = run("1", backend=backend)
    assert (shown.exit_code, words in shown.output) == (status, True), shown.output


def test_the_environment_names_the_store(kept: Kept, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.write("success", 5)
    monkeypatch.setenv(ENVIRONMENT, url)
    assert CliRunner().invoke(main, ["result", "1"]).output.startswith("SUCCESS")
