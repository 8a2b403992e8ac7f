"""`amqptasks broker`: a RabbitMQ for whoever has none."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amqptasks.cli.support.failures import NO_BROKER
from amqptasks.cli.support.target import Target, pass_target
from amqptasks.dial import ENVIRONMENT

if TYPE_CHECKING:
    from amqptasks.dev.brokers.running import Running

START_HELP = """\b
Tried in this order:
  1. the URL given with --broker or AMQPTASKS_BROKER_URL (then nothing else)
  2. what an earlier `broker start` started and still runs
  3. a server on localhost:5672 that speaks AMQP and lets guest in
  4. rabbitmq-server of this machine, as a private node: data folder, ports, name of its own
  5. Docker: a container `amqptasks-broker`
  6. with --install, as root or with passwordless sudo on Debian or Ubuntu: the package, then 4

\b
Examples:
  amqptasks broker start
  amqptasks broker start --install
  export AMQPTASKS_BROKER_URL=${AMQPTASKS_BROKER_URL:-$(amqptasks broker start --json | jq -r '.url // empty')}

\b
Exit status: 0 there is a broker; 1 the URL is none; 3 no broker can be had.

A broker that is started here listens on 127.0.0.1 only, with RabbitMQ's own user guest and password guest, which are
printed. A password of a URL that you gave is never printed: with --json, `named` is then true, and `url` null.
"""

STOP_HELP = """\b
Examples:
  amqptasks broker stop

\b
Exit status: 0 stopped, or there was nothing to stop; 1 or 3 it could not be stopped.
"""

STATUS_HELP = """\b
Examples:
  amqptasks broker status
  amqptasks broker status --json

\b
Exit status: 0 it answers; 3 there is none, or it does not answer.
"""


HELP = """\b
Examples:
  amqptasks broker start --install
  amqptasks broker status
  amqptasks broker stop

\b
Exit status: 0 done; 1 the URL is none; 3 there is no broker, or it does not answer.
"""


@click.group(name="broker", epilog=HELP)
def command() -> None:
    """Find or start a RabbitMQ for those who have none."""


@command.command(epilog=START_HELP)
@click.option("--install", is_flag=True, help="May install the package rabbitmq-server.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where a private node keeps its data. Default: $XDG_STATE_HOME/amqptasks/node (~/.local/state).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@pass_target
def start(target: Target, install: bool, folder: Path | None, as_json: bool) -> None:
    """Find a broker, or start one, and say which."""
    from amqptasks.dev.brokers import search, state
    from amqptasks.dev.brokers.running import Running, Wish

    wish = Wish(folder or state.folder() / "node", _named(target), install)
    found = search.find(wish)
    if isinstance(found, Running):
        click.echo(_json(found) if as_json else _words(found))
        return
    reasons = "".join(f"\n  {absent.kind}: {absent.reason}" for absent in found)
    hint = "" if install or wish.url else "\nTo have one installed: amqptasks broker start --install"
    click.secho(f"amqptasks: no broker can be had:{reasons}{hint}", fg="red", err=True)
    raise click.exceptions.Exit(NO_BROKER)


@command.command(epilog=STOP_HELP)
def stop() -> None:
    """Stop what `start` started; its data stays (a container is removed with its data)."""
    from amqptasks.dev.brokers import search
    from amqptasks.dev.brokers.running import shown

    stopped = search.stop()
    if stopped is None:
        click.echo("Nothing to stop: amqptasks started no broker.")
        return
    kept = f" Its data stays in {stopped.folder}." if stopped.folder else ""
    click.echo(f"Stopped the {stopped.kind} at {shown(stopped.url)}.{kept}")


@command.command(epilog=STATUS_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@pass_target
def status(target: Target, as_json: bool) -> None:
    """Say which broker there is, without starting one."""
    from amqptasks.dev.brokers import given, localhost, search, state
    from amqptasks.dev.brokers.running import Running, Wish, shown

    url = _named(target)
    wish = Wish(state.folder() / "node", url)
    found = given.find(wish) if url else search.current() or localhost.find(wish)
    if isinstance(found, Running):
        click.echo(_json(found) if as_json else _words(found))
        return
    earlier = None if url else state.recall()
    if earlier is not None:
        words = f"the {earlier.kind} at {shown(earlier.url)} was started, and does not answer: amqptasks broker start"
    else:
        words = f"there is no broker: {found.reason}"
    click.secho(f"amqptasks: {words}", fg="red", err=True)
    raise click.exceptions.Exit(NO_BROKER)


def _named(target: Target) -> str | None:
    return target.broker or os.environ.get(ENVIRONMENT)


def _json(running: Running) -> str:
    """Of a URL that was named nothing is told: masked, a script would take its `***` for the password."""
    from amqptasks.dev.brokers import given
    from amqptasks.dev.brokers.running import shown

    named = running.kind == given.KIND
    return json.dumps(
        {
            "kind": running.kind,
            "version": running.version,
            "url": None if named else shown(running.url),
            "named": named,
            "management_url": running.management_url,
            "started": running.started,
            "folder": None if running.folder is None else str(running.folder),
        }
    )


def _words(running: Running) -> str:
    from amqptasks.dev.brokers.running import shown

    url = shown(running.url)
    lines = [
        f"Broker      RabbitMQ {running.version}, {_how(running)}",
        f"URL         {url}",
        f"Management  {running.management_url or 'not found at its usual port'}",
    ]
    if running.folder is not None:
        lines.append(f"Data        {running.folder}")
    if running.started:
        lines += [f"Use it      export {ENVIRONMENT}={url}", "Stop it     amqptasks broker stop"]
    else:
        lines.append("Stop it     not by amqptasks, which did not start it")
    return "\n".join(lines)


def _how(running: Running) -> str:
    return {
        "given": "at the URL given",
        "localhost": "already running on this machine",
        "private node": "a private node of this machine's rabbitmq-server, started by amqptasks",
        "docker": "a Docker container, started by amqptasks",
    }[running.kind]
