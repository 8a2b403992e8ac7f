"""What `inspect`, `control` and `status` share: whom to ask, how long to wait, and how answers are shown."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from amqptasks import dial
from amqptasks.cli.support.failures import FAILED, NO_ANSWER
from amqptasks.errors import ConfigurationError
from amqptasks.untrusted.printable import printable

if TYPE_CHECKING:
    from amqptasks.app.app import App
    from amqptasks.cli.support.target import Target
    from amqptasks.control.answers import Answers
    from amqptasks.control.client import Control

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

#: For the help of every command that asks workers: `show` ends with these.
EXIT_STATUS = """\b
Exit status: 0 all answered; 5 nobody did, or one that is there did not; 1 one could not do it; 3 no broker.
"""


def asking_options(decorated: Decorated) -> Decorated:
    """`--destination`, `--timeout` and `--json`, as `destination`, `timeout` and `as_json`."""
    for option in reversed(
        [
            click.option(
                "-d",
                "--destination",
                metavar="NAME,...",
                help="Workers by name or pattern ('web*'); `self`: those of this machine.  [default: all]",
            ),
            click.option(
                "-t",
                "--timeout",
                metavar="S",
                type=click.FloatRange(0.05, 600),
                default=1.0,
                show_default=True,
                help="Seconds to wait for who does not answer.",
            ),
            click.option("-j", "--json", "as_json", is_flag=True, help="Print one JSON object."),
        ]
    ):
        decorated = option(decorated)
    return decorated


def example_help(*lines: str, status: str = EXIT_STATUS) -> str:
    """What stands below a command's help: its examples, and the exit status."""
    listed = "\n".join(f"  amqptasks {line}" for line in lines)
    return f"\b\nExamples:\n{listed}\n\n{status}"


def names(destination: str | None) -> list[str] | None:
    """`web1,web2:*` as a list; None for everybody."""
    if destination is None:
        return None
    found = [name.strip() for name in destination.split(",") if name.strip()]
    if not found:
        raise click.BadParameter("name a worker, or leave it out for all", param_hint="--destination")
    return found


@contextmanager
def control_of(target: Target) -> Iterator[Control]:
    """The control of what the command line names. Nothing is declared: whoever asks changes nothing."""
    app = app_of(target)
    try:
        link = app.caller.new_link()
        link.start()
        app.caller.use(link)
        yield app.control
    finally:
        app.caller.leave()


def app_of(target: Target) -> App:
    """The app of `-A`, else one that has only the broker's address."""
    from amqptasks.app.app import App

    app = target.load_app() if target.app else App("amqptasks", target.broker_urls())
    if dial.is_memory(app.broker):
        raise ConfigurationError("memory:// lives within one process: ask there, with app.control")
    return app


def show(
    answers: Answers[Any], as_json: bool, lines: Callable[[Any], list[str]], *, bad: Callable[[Any], bool] | None = None
) -> None:
    """Print the answers, each worker's `lines` below its name, and end with the exit status that they deserve. `bad`
    tells an answer that says no."""
    if as_json:
        click.echo(json.dumps(as_object(answers)))
    else:
        for node, value in answers.items():
            _show_node(node, lines(value))
        for node, error in answers.errors.items():
            click.secho(printable(f"{node}: {error}"), fg="red", err=True)
        for node in answers.missing:
            click.secho(printable(f"{node}: no answer"), fg="red", err=True)
        if not answers.complete:
            click.echo("Who should have answered is not known: the list of workers cannot be read here.", err=True)
        if not (answers or answers.errors or answers.missing):
            click.secho("No worker answered.", fg="red", err=True)
    if answers.missing or not (answers or answers.errors) or (bad is not None and any(map(bad, answers.values()))):
        raise click.exceptions.Exit(NO_ANSWER)
    if answers.errors:
        raise click.exceptions.Exit(FAILED)


def as_object(answers: Answers[Any]) -> dict[str, Any]:
    """As `--json` prints it."""
    return {
        "answers": {node: plain(value) for node, value in answers.items()},
        "errors": dict(answers.errors),
        "missing": list(answers.missing),
        "complete": answers.complete,
    }


def waits(told: Iterable[Mapping[str, Any]]) -> list[str]:
    """What a worker waits for, a line each."""
    return [f"waits: {wait.get('detail')}" for wait in told]


def plain(value: Any) -> Any:
    """Records as JSON has them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, tuple | list) else value


def _show_node(node: str, lines: list[str]) -> None:
    if len(lines) == 1:
        click.echo(printable(f"{node}: {lines[0]}"))
        return
    click.echo(printable(f"{node}:" if lines else f"{node}: nothing"))
    for line in lines:
        click.echo(f"  {printable(line)}")
