"""What the documentation shows, works: its programs run and print what their comments say, its commands exist, its
topologies load, and the way of a task that it tells is the way that a task takes."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from importlib import import_module
from pathlib import Path
from textwrap import indent
from typing import get_args

import pytest

from amqptasks import App, errors
from amqptasks.amqp.address import CONNECT_TIMEOUT, HEARTBEAT, OPTIONS, parameters
from amqptasks.cli.commands.plan import CHANGES
from amqptasks.cli.commands.topology.validate import FINDINGS
from amqptasks.cli.support import failures
from amqptasks.tasks.outcomes import DeadReason
from amqptasks.topology.read.loader import load
from tests.harness.command import refuse_what_does_not_exist
from tests.harness.vhost import Vhost
from tests.harness.worker_process import REPOSITORY

PAGES = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")])

#: A fenced block, by its language.
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

#: A line that prints, and what.
PRINTS = re.compile(r"print\(.*\)  # (.*)$", re.MULTILINE)

#: Runs a page's programs one after the other in one namespace; beside them a worker, as the page assumes, unless it
#: brings its own.
PROGRAM = """
import contextlib
with contextlib.ExitStack() as worker:
{blocks}
"""
APP = re.compile(r"^app = App\(.*$", re.MULTILINE)
START_WORKER = "worker.enter_context(app.worker(queues=['default']))"


def blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in BLOCK.findall(page.read_text()) if found == language]


def programs(page: Path) -> list[str]:
    return [text for text in blocks(page, "python") if "import celery" not in text and "from celery" not in text]


def with_programs() -> list[Path]:
    return [page for page in PAGES if programs(page)]


@pytest.mark.parametrize("page", with_programs(), ids=lambda page: page.name)
def test_a_pages_programs_print_what_their_comments_say(page: Path, tmp_path: Path) -> None:
    source = "\n".join(programs(page))
    if "app.worker(" not in source:
        source = APP.sub(rf"\g<0>\n{START_WORKER}", source, count=1)
    program = tmp_path / "page.py"
    program.write_text(PROGRAM.format(blocks=indent(source, "    ")))
    ended = subprocess.run(
        [sys.executable, str(program)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "AMQPTASKS_BROKER_URL": "memory://"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == PRINTS.findall(source)


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for block in blocks(page, "sh"):
            lines = (line.partition("  #")[0].strip() for line in block.splitlines())
            found += [(page.name, line) for line in lines if line.startswith("amqptasks ")]
    return found


@pytest.mark.parametrize(("page", "line"), commands())
def test_every_command_shown_exists_with_its_options(page: str, line: str) -> None:
    refuse_what_does_not_exist(line)


def topologies() -> list[tuple[str, str]]:
    return [(page.name, text) for page in PAGES for text in blocks(page, "yaml") if text.startswith("version:")]


@pytest.mark.parametrize(("page", "text"), topologies())
def test_every_topology_shown_loads(page: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "topology.yaml"
    file.write_text(text)
    assert load(file).queue_names


#: An address in a program or a command, and the files that it names, which are not here.
ADDRESS = re.compile(r"amqps?://[^\s'\"`;)]+")
FILES = re.compile(r"[?&](?:cacertfile|certfile|keyfile)=[^&]*")


def test_every_address_of_the_page_about_them_is_one() -> None:
    page = REPOSITORY / "docs" / "connecting.md"
    text = "\n".join(blocks(page, "sh") + blocks(page, "python"))
    found = [FILES.sub("", address) for address in ADDRESS.findall(text)]
    assert len(found) >= 4
    assert {parameters(address).credentials.username for address in found} == {"shop"}


def test_every_option_of_an_address_has_its_line_with_its_default() -> None:
    rows = re.findall(
        r"^\| (`.*?) \| .* \| (.*?) \|$", (REPOSITORY / "docs" / "connecting.md").read_text(), re.MULTILINE
    )
    told = {name: default for names, default in rows for name in re.findall(r"`(\w+)`", names)}
    assert tuple(sorted(told)) == tuple(sorted(OPTIONS))
    assert told["heartbeat"] == str(HEARTBEAT)
    assert told["connection_timeout"] == str(int(CONNECT_TIMEOUT * 1000))


def test_every_public_error_has_its_line() -> None:
    page = (REPOSITORY / "docs" / "errors.md").read_text()
    groups = {"AmqptasksError", "BrokerError", "PublishError", "ResultError", "TaskError"}
    kinds = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind)}
    names = {name for name, kind in kinds.items() if issubclass(kind, BaseException)} - groups
    assert {name for name in names if f"`{name}`" not in page} == set()


def test_the_page_of_dead_letters_tells_every_reason_and_no_other() -> None:
    page = (REPOSITORY / "docs" / "dead-letters.md").read_text()
    rows = re.findall(r"^\| (`.*?`) \|", page.partition("## ")[0], re.MULTILINE)
    assert Counter(name for row in rows for name in re.findall("`(.*?)`", row)) == Counter(get_args(DeadReason))


def test_the_page_of_errors_tells_every_exit_status() -> None:
    statuses = {value for name, value in vars(failures).items() if name.isupper()}
    page = (REPOSITORY / "docs" / "errors.md").read_text().partition("## Exit status")[2]
    assert {int(row) for row in re.findall(r"^\| (\d) \|", page, re.MULTILINE)} == statuses | {0, CHANGES, FINDINGS}


def test_every_page_is_in_the_navigation() -> None:
    navigation = (REPOSITORY / "mkdocs.yml").read_text()
    assert [page.name for page in PAGES if page.parent.name == "docs" and page.name not in navigation] == []


def test_the_layers_told_are_the_layers_checked() -> None:
    configuration = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    layers = configuration["tool"]["importlinter"]["contracts"][0]["layers"]
    page = (REPOSITORY / "docs" / "internals.md").read_text()
    told = page.partition("## Layers")[2].partition("## Threads")[0]
    places = [told.find(f"    {layer.partition(' | ')[0].removeprefix('amqptasks.')}") for layer in layers]
    assert -1 not in places
    assert places == sorted(places)


def steps() -> list[tuple[str, str]]:
    """File and function of each step that the page tells, in its order."""
    page = (REPOSITORY / "docs" / "internals.md").read_text()
    rows = re.findall(r"^\| \d \| `(.*?)` \| (.*?) \|", page, re.MULTILINE)
    return [(file, function) for file, functions in rows for function in re.findall(r"`(.*?)`", functions)]


def test_the_files_and_functions_of_the_tasks_way_exist() -> None:
    assert len({file for file, _ in steps()}) == 7
    for file, function in steps():
        found: object = import_module(file.removesuffix(".py").replace("/", "."))
        for name in function.split("."):
            found = getattr(found, name)
        assert callable(found)


def test_a_task_goes_the_way_that_is_told(vhost: Vhost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each function is watched; the order of the first calls is the order of the page."""
    monkeypatch.setenv("AMQPTASKS_BROKER_URL", vhost.url)
    app = App("traced")

    @app.task(name="traced.add")
    def add(x: int, y: int) -> int:
        return x + y

    seen: list[str] = []
    for file, function in steps():
        _watch(file, function, seen, monkeypatch)
    with app.worker(queues=["default"]):
        add.delay(0, 0).get(timeout=10)  # what happens once, to connect and to declare, is over now
        seen.clear()
        assert add.delay(2, 3).get(timeout=10) == 5
    assert seen == [function for _, function in steps()]


def _watch(file: str, function: str, seen: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Note the first call of a function, under the name that the page gives it."""
    owner: object = import_module(file.removesuffix(".py").replace("/", "."))
    *path, name = function.split(".")
    for part in path:
        owner = getattr(owner, part)
    original = getattr(owner, name)

    def watched(*args: object, **kwargs: object) -> object:
        if function not in seen:
            seen.append(function)
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, watched)
