"""The command line's frame: commands by name, the app and the broker they aim at, errors as a line and a status."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import amqptasks.cli
from amqptasks import errors
from amqptasks.app.app import App
from amqptasks.cli import COMMANDS, main
from amqptasks.cli.support.target import Target, broker_urls, load_app, pass_target

URL = "amqp://shop:hush@h/"


@pytest.fixture(autouse=True)
def _no_broker_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AMQPTASKS_BROKER_URL", raising=False)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: an empty one, that is taken off Python's path again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.fixture
def aim(monkeypatch: pytest.MonkeyPatch) -> list[Target]:
    """A command `doctor` (and `doctor deep`) that notes what it was aimed at."""
    seen: list[Target] = []

    @click.group(invoke_without_command=True)
    def command() -> None: ...

    @command.command()
    @pass_target
    def deep(target: Target) -> None:
        seen.append(target)

    module = type(sys)("amqptasks.cli.commands.doctor")
    module.command = command
    monkeypatch.setitem(sys.modules, "amqptasks.cli.commands.doctor", module)
    return seen


def test_help_lists_every_command_and_imports_none() -> None:
    code = "import sys; from amqptasks.cli import main; main(['--help'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    text, _, modules = done.stdout.rpartition("\n" if not done.stdout.endswith("\n") else "\n\n")
    for name in COMMANDS:
        assert name in text
        assert f"amqptasks.cli.{name}" not in modules.split()
    assert not {"rich", "pydantic", "yaml"} & set(modules.split())


def test_an_unknown_command_is_a_usage_error() -> None:
    done = CliRunner().invoke(main, ["wroker"])
    assert done.exit_code == 2
    assert "No such command 'wroker'" in done.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["-A", "hello", "--broker", URL, "doctor", "deep"],
        ["doctor", "-A", "hello", "--broker", URL, "deep"],
        ["doctor", "deep", "--app", "hello", "--broker", URL],
        ["-A", "other", "--broker", "amqp://other/", "doctor", "deep", "-A", "hello", "--broker", URL],
    ],
)
def test_app_and_broker_stand_before_or_after_the_command(aim: list[Target], arguments: list[str]) -> None:
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert aim == [Target("hello", URL)]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.ConfigurationError("write it so"), 1),
        (errors.BrokerUnreachable("nobody there"), 3),
        (errors.AccessRefused("not you"), 3),
        (errors.DeclarationConflict("queue", "q", "x-max-length", "1", "2"), 4),
        (errors.ResultTimeout("too late"), 1),
    ],
)
def test_our_errors_are_one_line_and_a_status_not_a_traceback(
    error: errors.AmqptasksError, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def command() -> None:
        raise error

    module = type(sys)("amqptasks.cli.commands.doctor")
    module.command = command
    monkeypatch.setitem(sys.modules, "amqptasks.cli.commands.doctor", module)
    done = CliRunner().invoke(amqptasks.cli.main, ["doctor"])
    assert (done.exit_code, done.stderr) == (status, f"amqptasks: {error}\n")


def test_an_app_is_found_in_the_current_folder(here: Path) -> None:
    (here / "found_here.py").write_text("from amqptasks.app.app import App\napp = App('a')\nother = App('b')\n")
    assert isinstance(load_app("found_here"), App)
    assert load_app("found_here:other").name == "b"


def test_a_missing_module_lists_what_is_there(here: Path) -> None:
    (here / "shop_app.py").touch()
    with pytest.raises(errors.ConfigurationError, match=r"no module 'shopapp'.*shop_app"):
        load_app("shopapp")


def test_a_missing_attribute_lists_the_apps_of_the_module(here: Path) -> None:
    (here / "two_apps.py").write_text("from amqptasks.app.app import App\nshop = App('a')\nmail = App('b')\napp = 3\n")
    with pytest.raises(errors.ConfigurationError, match=r"'app' is no App.*-A two_apps:shop, -A two_apps:mail"):
        load_app("two_apps")
    with pytest.raises(errors.ConfigurationError, match="'sohp' is not there"):
        load_app("two_apps:sohp")


def test_a_module_that_fails_names_its_line(here: Path) -> None:
    (here / "broken_app.py").write_text("x = 1\ny = x / 0\n")
    with pytest.raises(errors.ConfigurationError, match=r"ZeroDivisionError.*broken_app\.py:2"):
        load_app("broken_app")
    (here / "lacking_app.py").write_text("import nowhere_to_be_found\n")
    with pytest.raises(errors.ConfigurationError, match=r"nowhere_to_be_found.*lacking_app\.py:1"):
        load_app("lacking_app")


def test_no_app_says_how_to_name_one() -> None:
    with pytest.raises(errors.ConfigurationError, match="-A MODULE"):
        load_app(None)


def test_the_brokers_address_is_the_options_then_the_environments_then_the_apps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = App("a", broker="amqp://app/")
    assert broker_urls(None) == ["amqp://guest:guest@localhost:5672/"]
    assert broker_urls(None, app) == ["amqp://app/"]
    assert broker_urls("amqp://one/; amqp://two/", app) == ["amqp://one/", "amqp://two/"]
    monkeypatch.setenv("AMQPTASKS_BROKER_URL", "amqp://env/")
    assert broker_urls(None, App("a", broker="amqp://app/")) == ["amqp://env/"]


def test_a_command_that_was_used_wrongly_leaves_no_broker_in_the_environment() -> None:
    refused = CliRunner().invoke(main, ["plan", "--broker", "memory://", "--management", "http://user:hush@here"])
    assert refused.exit_code == 1
    assert "AMQPTASKS_BROKER_URL" not in os.environ


def test_an_app_loaded_by_a_command_takes_the_broker_of_the_command_line(here: Path, monkeypatch) -> None:
    (here / "aimed_app.py").write_text("from amqptasks.app.app import App\napp = App('a', broker='amqp://app/')\n")
    seen = []

    @click.command()
    @pass_target
    def command(target: Target) -> None:
        seen.append(target.load_app().broker)

    module = type(sys)("amqptasks.cli.commands.doctor")
    module.command = command
    monkeypatch.setitem(sys.modules, "amqptasks.cli.commands.doctor", module)
    done = CliRunner().invoke(main, ["doctor", "-A", "aimed_app", "--broker", URL], catch_exceptions=False)
    assert done.exit_code == 0
    assert seen == [[URL]]
