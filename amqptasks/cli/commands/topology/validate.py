"""`amqptasks topology validate FILE...`: is this what was meant? No broker needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from amqptasks.cli.commands.topology.files import release_option, topology_of
from amqptasks.cli.support.target import Target, pass_target
from amqptasks.untrusted.numbers import counted

if TYPE_CHECKING:
    from amqptasks.errors import TopologyError
    from amqptasks.topology.advice.advice import Advice
    from amqptasks.topology.read.source_map import Places
    from amqptasks.transport.capabilities import Capabilities

#: The exit status of a topology that can be, and has something that is probably not meant.
FINDINGS = 2

HELP = """\b
An error cannot be declared; a warning loses messages or does not do what it says; a note is good to know.

\b
Examples:
  amqptasks topology validate shop.yaml
  amqptasks topology validate shop.yaml emails.yaml --release 3.10 --strict
  amqptasks topology validate shop.yaml --json | jq -r '.findings[] | .rule'

\b
Exit status: 0 nothing but notes, 1 an error, 2 warnings (with --strict notes too).
"""


@click.command("validate", epilog=HELP)
@click.argument("files", nargs=-1, metavar="FILE...", type=click.Path())
@click.option("--strict", is_flag=True, help="Notes make the exit status 2 as well.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@release_option
@pass_target
def command(target: Target, files: tuple[str, ...], strict: bool, as_json: bool, capabilities: Capabilities) -> None:
    """Look a topology over without a broker: what cannot be, and what is probably not meant.

    Without FILE, the topology of the app (-A).
    """
    from amqptasks.errors import TopologyError
    from amqptasks.topology.advice.lints import advise
    from amqptasks.topology.read.source_map import Places, places

    try:
        topology = topology_of(target, files)
    except TopologyError as error:
        if not as_json:
            raise
        _print_json([_error(error)])
        raise click.exceptions.Exit(1) from None
    found = advise(topology, capabilities)
    where = places(files) if files else Places()
    if as_json:
        _print_json([_record(advice, where) for advice in found])
    else:
        _print(
            found, where, f"{counted(len(topology.exchanges), 'exchange')}, {counted(len(topology.queues), 'queue')}"
        )
    if any(strict or advice.severity == "warning" for advice in found):
        raise click.exceptions.Exit(FINDINGS)


def _print(found: list[Advice], places: Places, looked_at: str) -> None:
    from amqptasks.topology.read.document import path

    for advice in found:
        place = places.of(advice.where)
        severity = click.style(advice.severity, fg="yellow" if advice.severity == "warning" else "cyan")
        click.echo(f"{f'{place}: ' if place else ''}{severity}: {path(advice.where)}: {advice.problem} [{advice.rule}]")
        click.echo(f"    {advice.fix}")
    counts = {kind: sum(advice.severity == kind for advice in found) for kind in ("warning", "note")}
    words = [counted(count, kind) for kind, count in counts.items() if count]
    click.echo(f"{looked_at}: {', '.join(words) or 'nothing to say'}")


def _record(advice: Advice, places: Places) -> dict[str, str | None]:
    from amqptasks.topology.read.document import path

    return {
        "severity": advice.severity,
        "rule": advice.rule,
        "place": places.of(advice.where),
        "path": path(advice.where),
        "problem": advice.problem,
        "fix": advice.fix,
    }


def _error(error: TopologyError) -> dict[str, str | None]:
    place = ":".join(str(part) for part in (error.file, error.line) if part is not None)
    return {
        "severity": "error",
        "rule": "cannot-be",
        "place": place or None,
        "path": error.path,
        "problem": error.problem,
        "fix": error.hint,
    }


def _print_json(findings: list[dict[str, str | None]]) -> None:
    import json

    click.echo(json.dumps({"findings": findings}, indent=2))
