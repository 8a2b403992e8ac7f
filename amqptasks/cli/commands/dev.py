"""`amqptasks dev`: all that an app needs, in one terminal, while it is being written."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from amqptasks import dial
from amqptasks.cli.support.target import Target, pass_target
from amqptasks.errors import BrokerUnreachable, ConfigurationError

if TYPE_CHECKING:
    from amqptasks.app.app import App

EXAMPLES = """\b
Examples:
  amqptasks -A shop dev                    a broker if none is there, and a worker that follows your changes
  amqptasks -A shop dev -c 2 -Q emails     with options of `worker`
  amqptasks -A shop dev --install          may install RabbitMQ (Debian, Ubuntu)

\b
Exit status: 0 stopped by Ctrl-C; 3 no broker can be had; else that of the part which ended.

Ctrl-C stops all of it, also a broker that was started here; its data stays. Tasks get 10 seconds to end. Once more: at
once.
"""

#: Colours of the names before the lines.
COLOURS = {"amqptasks": "magenta", "worker": "cyan", "beat": "yellow"}


@click.command(epilog=EXAMPLES, context_settings={"ignore_unknown_options": True})
@click.option("--install", is_flag=True, help="May install the package rabbitmq-server, where there is no broker.")
@click.argument("worker_options", nargs=-1, type=click.UNPROCESSED, metavar="[WORKER OPTION]...")
@pass_target
def command(target: Target, install: bool, worker_options: tuple[str, ...]) -> None:
    """A broker if there is none, and a worker that starts again when a file changes."""
    from amqptasks.cli import COMMANDS
    from amqptasks.dev.together import Together

    _require_watchfiles()
    app = target.load_app()
    amqptasks = [sys.executable, "-m", "amqptasks", "-A", str(target.app)]
    commands = {"worker": [*amqptasks, "worker", "--watch", *worker_options]}
    if "beat" in COMMANDS:
        commands["beat"] = [*amqptasks, "beat"]
    with _broker(target, app, install) as url:
        environment = {**os.environ, dial.ENVIRONMENT: url, "PYTHONUNBUFFERED": "1"}
        if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
            environment["FORCE_COLOR"] = "1"
        status = Together(commands, environment, _say).run()
    _say("amqptasks", "stopped")
    sys.exit(status)


@contextmanager
def _broker(target: Target, app: App, install: bool) -> Iterator[str]:
    """The address of the broker that the app has, or of one that is started for the while."""
    from amqptasks.dev.brokers import probe, search, state
    from amqptasks.dev.brokers.running import Running, Wish, shown

    urls = target.broker_urls()
    if dial.is_memory(urls):
        raise ConfigurationError("memory:// lives within one process: leave it out, and a broker is started")
    refusals = []
    for url in urls:
        try:
            version = probe.version(url)
        except ConnectionError as error:
            refusals.append(f"{shown(url)}: {error}")
        else:
            _say("amqptasks", f"RabbitMQ {version} at {shown(url)}")
            yield ";".join(urls)
            return
    if target.broker or os.environ.get(dial.ENVIRONMENT) or list(app.broker) != dial.addresses(None):
        raise BrokerUnreachable(f"the broker that was named does not answer ({'; '.join(refusals)})")
    _say("amqptasks", "no broker is running: starting one")
    with _patient() as asked:
        ours = search.current() is None
        found = search.find(Wish(state.folder() / "node", None, install))
    if not isinstance(found, Running):
        reasons = "; ".join(f"{absent.kind}: {absent.reason}" for absent in found)
        hint = "" if install else ". To have one installed: --install"
        raise BrokerUnreachable(f"no broker can be had ({reasons}){hint}")
    try:
        _say("amqptasks", f"RabbitMQ {found.version} at {shown(found.url)}")
        if asked:
            raise KeyboardInterrupt
        yield found.url
    finally:
        if ours and found.started:
            _say("amqptasks", "stopping the broker that was started")
            search.stop()


@contextmanager
def _patient() -> Iterator[list[int]]:
    """Signals that come in the block are noted: a broker that is half started could not be stopped."""
    asked: list[int] = []
    before = {
        number: signal.signal(number, lambda signum, _frame: asked.append(signum))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _require_watchfiles() -> None:
    from importlib.util import find_spec

    if find_spec("watchfiles") is None:
        raise ConfigurationError("`amqptasks dev` needs watchfiles: pip install 'amqptasks[dev]'")


def _say(name: str, line: str) -> None:
    """One write a line: several threads do it. click leaves colours out where there is no terminal."""
    click.echo(click.style(f"{name:<9} |", fg=COLOURS.get(name)) + f" {line}")
