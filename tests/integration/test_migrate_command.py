"""`amqptasks migrate` as a shell runs it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.command import run_command
from tests.harness.vhost import Broker, Vhost
from tests.integration.moving import place

Run = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def run(vhost: Vhost, broker: Broker, tmp_path: Path) -> Run:
    return lambda *arguments: run_command(
        "migrate", *arguments, "--figures-every", "500ms", "--management", broker.management_url,
        url=vhost.url, folder=tmp_path,
    )  # fmt: skip


def test_it_says_what_it_would_do_does_it_and_then_has_nothing_to_do(
    run: Run, vhost: Vhost, broker: Broker, tmp_path: Path
):
    with place(vhost, broker, tmp_path, "type: classic") as here:
        here.write("new", "type: quorum")
        for number in range(3):
            here.send(number)
        dry = run("emails", "new.yaml", "--dry-run")
        assert dry.returncode == 0, dry.stderr
        assert "x-queue-type: classic -> quorum" in dry.stdout
        assert " 5. drain: wait until workers have settled what they hold" in dry.stdout
        assert here.type() == "classic"
        ended = run("emails", "new.yaml", "--json")
        assert ended.returncode == 0, ended.stderr
        *steps, done = map(json.loads, ended.stdout.splitlines())
        assert steps[0] == {"stage": "prepare", "detail": "begins", "moved": None, "left": None}
        assert (done["done"], done["out"], done["home"], done["lost"]) == (True, 3, 3, 0)
        assert done["paused"] > done["absent"] > 0
        again = run("emails", "new.yaml")
        assert (again.returncode, again.stdout) == (0, "Nothing to do: emails is as wanted.\n")


def test_refusals_have_a_line_and_a_status(run: Run, vhost: Vhost, tmp_path: Path):
    (tmp_path / "t.yaml").write_text("version: 1\nqueues:\n  emails:\n  log: {type: stream}\n")
    for queue, status, says in (
        ("emials", 1, "did you mean `emails`?"),
        ("log", 1, "is a stream in the topology"),
        ("emails", 3, "`amqptasks declare` creates it as wanted"),
    ):
        ended = run(queue, "t.yaml")
        assert (ended.returncode, says in ended.stderr) == (status, True), ended.stderr
    nowhere = run_command("migrate", "emails", "t.yaml", url=vhost.url, folder=tmp_path)
    assert nowhere.returncode == 1
    assert "--management http://HOST:15672" in nowhere.stderr
    assert run("emails").returncode == 2
