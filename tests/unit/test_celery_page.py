"""The page for those who come from Celery: what it calls the same is there, under that name, what it calls absent is
not, and no name of Celery's is forgotten."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable
from typing import Any

import click
import pytest

import amqptasks
from amqptasks import App, Request, Task, errors, serializers, signals
from amqptasks.cli import main
from amqptasks.control.client import Control
from amqptasks.errors import ConfigurationError
from amqptasks.events.event import TYPES
from amqptasks.messages import compression
from amqptasks.options import ELSEWHERE, CallOptions, TaskOptions
from amqptasks.options.limits import LIMIT_OPTIONS
from tests.harness.worker_process import REPOSITORY

PAGE = (REPOSITORY / "docs" / "celery.md").read_text()

ROW = re.compile(r"^\| `?@?([\w. -]+?)`? \| (.*?) \| (.*?) ?\|$", re.MULTILINE)

Row = tuple[str, str, str]


def rows(section: str) -> list[Row]:
    """Celery's name, ours, and what is said of it."""
    text = PAGE.partition(f"### {section}\n")[2].partition("\n##")[0]
    found = [row for row in ROW.findall(text) if row[0] != "Celery"]
    assert found, f"no rows under {section!r}"
    return found


def _task(name: str) -> bool:
    if "." not in name:
        return hasattr(amqptasks, name)
    owner, _, attribute = name.partition(".")
    app = App("shop", "memory://unused")
    return hasattr({"app": app, "Task": app.task(lambda: None)}[owner], attribute)


def _content(name: str) -> bool:
    """A serializer, a compression, or how an app is told of them."""
    if name in inspect.signature(App).parameters or hasattr(serializers, name):
        return True
    for find in (serializers.find, compression.find):
        with contextlib.suppress(ConfigurationError):
            return bool(find(name))
    return False


COMMANDS: click.Group = main
CONTEXT = click.Context(COMMANDS)
WORKER: Any = COMMANDS.get_command(CONTEXT, "worker")

#: How a name of each section is looked up.
LOOK_UP: dict[str, Callable[[str], bool]] = {
    "Tasks": _task,
    "Options of a task": lambda name: name in TaskOptions.__annotations__,
    "Options of a call": lambda name: name in CallOptions.__annotations__,
    "The request": lambda name: hasattr(Request("shop.add", "id"), name),
    "Errors": lambda name: hasattr(errors, name),
    "Signals": lambda name: isinstance(getattr(signals, name, None), signals.Signal),
    "Options of the worker": lambda name: name in {opt for given in WORKER.params for opt in given.opts},
    "Settings of the worker": lambda name: name in {opt for given in WORKER.params for opt in given.opts},
    "Content of messages": _content,
    "Events": lambda name: name in TYPES,
    "Inspect and control": lambda name: name in vars(Control),
    "Commands": lambda name: COMMANDS.get_command(CONTEXT, name) is not None,
}

ALL = [(section, *row) for section in LOOK_UP for row in rows(section)]


@pytest.mark.parametrize(("section", "name", "ours", "said"), ALL, ids=[f"{row[0]}: {row[1]}" for row in ALL])
def test_a_row_of_the_page_is_true(section: str, name: str, ours: str, said: str) -> None:
    if " " in name:  # a sentence, not a name
        return
    there = LOOK_UP[section](name)
    if ours == "same":
        assert there, f"{name} is not there"
        return
    assert not there, f"{name} is there, under its own name"
    if ours in ("no", "always"):
        assert said, "why not, and what instead?"
    elif section != "Tasks":
        (instead,) = re.findall(r"`([\w-]+)`", ours)
        assert LOOK_UP[section](instead), f"{instead} is not there"


def test_options_that_are_not_there_are_answered_in_the_program_too() -> None:
    for section in ("Options of a task", "Options of a call"):
        absent = {name for name, ours, _ in rows(section) if ours != "same"}
        assert absent <= ELSEWHERE.keys()


def test_no_option_of_ours_that_celery_has_is_missing() -> None:
    ours = {"max_snoozes", "validate", "pool", "headers", "shadow", "link", "link_error", "retry", "retry_policy"}
    ours |= {"result_expires", "track_sent"}
    unique = {"unique", "unique_for"}
    ours |= unique
    ours |= LIMIT_OPTIONS - {"rate_limit"}
    listed = {name for name, _, _ in rows("Options of a task")}
    assert TaskOptions.__annotations__.keys() - ours <= listed
    assert CallOptions.__annotations__.keys() - unique <= {name for name, _, _ in rows("Options of a call")}


def test_every_signal_is_listed() -> None:
    listed = {name: ours for name, ours, _ in rows("Signals")}
    ours = {name for name, value in vars(signals).items() if isinstance(value, signals.Signal)}
    assert ours <= {name for name, here in listed.items() if here == "same"}
    theirs: Any = pytest.importorskip("celery.signals")
    assert set(theirs.__all__) - {"Signal"} <= listed.keys()


def test_every_command_of_celerys_and_every_option_of_its_worker_is_listed() -> None:
    celery: Any = pytest.importorskip("celery.bin.celery").celery
    listed = {row[0] for row in rows("Options of the worker")}
    unlisted = [given.opts for given in celery.commands["worker"].params if listed.isdisjoint(given.opts)]
    assert unlisted == []
    assert celery.commands.keys() - {row[0] for row in rows("Commands")} == set()
    panel: Any = pytest.importorskip("celery.worker.control").Panel
    assert panel.meta.keys() - {row[0] for row in rows("Inspect and control")} == set()


def test_every_hook_and_method_of_celerys_task_is_listed() -> None:
    theirs: Any = pytest.importorskip("celery.app.task")
    internal = {
        "annotate", "add_around", "add_trail", "bind", "from_config", "push_request", "pop_request", "on_bound",
        "signature_from_request", "subtask_from_request", "shadow_name", "get_app", "app", "backend", "name", "run",
    }  # fmt: skip
    public = {name for name, value in vars(theirs.Task).items() if not name.startswith("_") and callable(value)}
    listed = {name.removeprefix("Task.") for name, _, _ in rows("Tasks")}
    unlisted = public - internal - listed
    assert {name for name in unlisted if name[0].islower()} == set()
    assert hasattr(Task, "before_start")
