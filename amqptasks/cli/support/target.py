"""What every command aims at: the app (`-A MODULE[:ATTRIBUTE]`), the broker (`--broker URL`) and the result store
(`--backend URL`)."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from amqptasks.dial import ENVIRONMENT, REPLACES, addresses, listed
from amqptasks.errors import ConfigurationError
from amqptasks.options.environment import RESULT_BACKEND

if TYPE_CHECKING:
    import ssl

    from amqptasks.app.app import App
    from amqptasks.results.address import Streams

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

#: As `results.address.REPLACES`, which is not imported for every command.
BACKEND_REPLACES = "AMQPTASKS_RESULT_BACKEND_REPLACES"

#: The attribute that `-A MODULE` means.
ATTRIBUTE = "app"


@dataclass(slots=True)
class Target:
    """What the command line named; the context's object. Get it with `@pass_target`."""

    app: str | None = None
    broker: str | None = None
    backend: str | None = None

    def load_app(self) -> App:
        """See `load_app`."""
        return load_app(self.app)

    def broker_urls(self) -> list[str]:
        """See `broker_urls`; the app is loaded when one is named."""
        return broker_urls(self.broker, load_app(self.app) if self.app else None)

    def result_streams(self) -> Streams | None:
        """The streams of the result store, where it has some; the app is loaded when one is named."""
        from amqptasks.results import address

        return address.result_streams(load_app(self.app).backend if self.app else address.chosen(None))

    @property
    def tls(self) -> ssl.SSLContext | None:
        """What the app trusts and shows (`App(tls=)`); None: what the broker's address says of it."""
        return load_app(self.app).tls if self.app else None


#: Decorator: the command gets the `Target` as its first argument.
pass_target = click.make_pass_decorator(Target, ensure=True)


def load_app(spec: str | None) -> App:
    """The app that `MODULE[:ATTRIBUTE]` names; the current folder is searched first.

    Raises `ConfigurationError` where the module or the attribute is missing, with what there is, and where the module
    cannot be imported, with the place of its mistake.
    """
    from amqptasks.app.app import App

    if not spec:
        raise ConfigurationError("which app? Name its module: amqptasks -A MODULE[:ATTRIBUTE] COMMAND")
    module_name, _, attribute = spec.partition(":")
    module = _import(module_name)
    found = getattr(module, attribute or ATTRIBUTE, None)
    if isinstance(found, App):
        return found
    apps = [name for name, value in vars(module).items() if isinstance(value, App)]
    there = f"it has {', '.join(f'-A {module_name}:{name}' for name in apps)}" if apps else "it has no App at all"
    wrong = "is no App" if hasattr(module, attribute or ATTRIBUTE) else "is not there"
    raise ConfigurationError(f"{attribute or ATTRIBUTE!r} {wrong} in the module {module_name!r}: {there}")


def broker_urls(option: str | None, app: App | None = None) -> list[str]:
    """The broker's addresses: those of `--broker`, else of AMQPTASKS_BROKER_URL, else the app's, else localhost.
    Several are separated by `;` and tried in turn."""
    if option:
        return listed(option)
    return list(app.broker) if app is not None else addresses(None)


def target_options(decorated: Decorated) -> Decorated:
    """Add `-A/--app`, `--broker` and `--backend`; their values go to the context's `Target`."""
    for option in reversed(_options()):
        option(decorated)
    return decorated


def accept_target_options(command: click.Command) -> None:
    """Let `command`, and all below it, take these options behind its name too, unless it has its own."""
    taken = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    holder = click.Command("holder", params=[])
    for option in _options():
        option(holder)
    command.params.extend(option for option in holder.params if not taken & set(option.opts))
    if isinstance(command, click.Group):
        for below in command.commands.values():
            accept_target_options(below)


def _options() -> list[Callable[[Any], Any]]:
    return [
        click.option(
            "-A",
            "--app",
            metavar="MODULE[:ATTRIBUTE]",
            help=f"The app: a module of the current folder or of Python's path; attribute `{ATTRIBUTE}` by default.",
            expose_value=False,
            is_eager=True,  # others may need the app to make sense of what they are given
            callback=_keep_app,
        ),
        click.option(
            "--broker",
            metavar="URL",
            help=f"amqp://USER:PASSWORD@HOST:PORT/VHOST; before {ENVIRONMENT}, the app's own, and localhost.",
            expose_value=False,
            is_eager=True,
            callback=_keep_broker,
        ),
        click.option(
            "--backend",
            metavar="URL",
            help=f"Where results are kept, as stream:// or sqlite:///FILE; before {RESULT_BACKEND} and the app's own.",
            expose_value=False,
            is_eager=True,
            callback=_keep_backend,
        ),
    ]


def _keep_app(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:  # noqa: ARG001
    if value is not None:
        ctx.ensure_object(Target).app = value


def _keep_broker(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:  # noqa: ARG001
    if value is not None:
        ctx.ensure_object(Target).broker = value
        _set(ctx, ENVIRONMENT, REPLACES, value)


def _keep_backend(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:  # noqa: ARG001
    if value is not None:
        ctx.ensure_object(Target).backend = value
        _set(ctx, RESULT_BACKEND, BACKEND_REPLACES, value)


def _set(ctx: click.Context, variable: str, replaces: str, value: str) -> None:
    """The environment gets it too: an app reads its addresses there when it is made, and so do child processes."""
    before = {name: os.environ.get(name) for name in (variable, replaces)}
    os.environ[variable], os.environ[replaces] = value, "1"

    def restore() -> None:
        for name, earlier in before.items():
            if earlier is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = earlier

    ctx.find_root().call_on_close(restore)  # its own context is never closed where a further option is wrong


def _import(name: str) -> ModuleType:
    try:
        folder = str(Path.cwd())
    except OSError as error:
        raise ConfigurationError(
            f"the current folder cannot be read ({error.strerror}): it was removed, so {name!r} cannot be imported from"
            " it. Go to a folder that is there"
        ) from error
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not error.name or not f"{name}.".startswith(f"{error.name}."):
            raise ConfigurationError(f"importing {name!r} failed: {error}{_place(error)}") from error
        here = sorted(file.stem for file in Path(folder).glob("*.py")) or ["no Python file"]
        raise ConfigurationError(f"there is no module {name!r}; in {folder} there is: {', '.join(here)}") from error
    except SystemExit as error:
        raise ConfigurationError(
            f"importing {name!r} ended the program: it calls exit(){_place(error)}. A worker and every other command"
            " import this module, so it must not run the program: put that under `if __name__ == '__main__':`"
        ) from error
    except Exception as error:  # whatever the user's module raises is for the user to read, with its place
        raise ConfigurationError(
            f"importing {name!r} failed: {type(error).__name__}: {error}{_place(error)}"
        ) from error


def _place(error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
