"""`docs/seeing.md` shows what the commands print, and pictures that they draw."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from amqptasks.cli import main
from tests.harness.worker_process import REPOSITORY

PAGE = (REPOSITORY / "docs" / "seeing.md").read_text()

#: A shown command, the last lines that it shows where it ends in `| tail`, and what it prints.
SHOWN = re.findall(r"^```text\n\$ amqptasks (.*?)(?: \| tail -(\d+))?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.delenv("COLUMNS", raising=False)  # pytest's processes may have it


@pytest.mark.parametrize(("command", "tail", "printed"), SHOWN, ids=[command for command, _, _ in SHOWN])
def test_a_command_prints_what_is_shown(command: str, tail: str, printed: str) -> None:
    lines = CliRunner().invoke(main, shlex.split(command)).stdout.splitlines(keepends=True)
    assert "".join(lines[-int(tail) :] if tail else lines) == printed


def test_the_commands_are_all_shown() -> None:
    assert {command.split()[1] for command, _, _ in SHOWN} == {"route", "simulate", "validate"}


def test_the_mermaid_graph_is_that_of_the_shop() -> None:
    shown = re.search(r"^```mermaid\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert shown is not None
    assert CliRunner().invoke(main, ["topology", "graph", "topology/shop.yaml"]).stdout == shown[1]


def test_the_picture_is_that_of_the_shop(tmp_path: Path) -> None:
    drawn = tmp_path / "shop.svg"
    assert CliRunner().invoke(main, ["topology", "graph", "topology/shop.yaml", "-o", str(drawn)]).exit_code == 0
    fix = "draw it again: amqptasks topology graph topology/shop.yaml -o docs/shop.svg"
    assert drawn.read_text() == (REPOSITORY / "docs" / "shop.svg").read_text(), fix
