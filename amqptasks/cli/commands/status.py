"""`amqptasks status`: the workers at a glance."""

from __future__ import annotations

import json

import click

from amqptasks.cli.support import asking
from amqptasks.cli.support.failures import NO_ANSWER
from amqptasks.cli.support.tables import print_table
from amqptasks.cli.support.target import Target, pass_target
from amqptasks.untrusted.printable import printable

HELP = """\b
Examples:
  amqptasks status --broker amqp://guest:guest@localhost/
  amqptasks status --json | jq '.answers[] | select(.ready | not)'

\b
Exit status: 0 all answered and are ready; 5 nobody answered, or one that is there did not, or one is not ready;
             3 no broker.
"""


@click.command(epilog=HELP)
@asking.asking_options
@pass_target
def command(target: Target, destination: str | None, timeout: float, as_json: bool) -> None:
    """The workers that are there, and what they do, a line each."""
    with asking.control_of(target) as control:
        found = control.stats(asking.names(destination), timeout)
    if as_json:
        click.echo(json.dumps(asking.as_object(found)))
    else:
        rows: list[tuple[str, ...]] = []
        for node, stats in found.items():
            size = sum(pool.get("size", 0) for kind, pool in stats.pools.items() if kind != "async")
            row = (
                node,
                "yes" if stats.ready else "no",
                f"{stats.running}/{size}",
                str(stats.held),
                str(sum(stats.counts.values())),
                ",".join(stats.prefetch),
                f"{stats.memory / 2**20:.0f} MiB",
                stats.version,
            )
            rows.append(row)
        rows += [(node, "no answer", *[""] * 6) for node in found.missing]
        print_table(("worker", "ready", "running", "held", "done", "queues", "memory", "version"), rows)
        for node, stats in found.items():
            for line in [stats.trouble] if stats.trouble else asking.waits(stats.waits):
                click.echo(printable(f"{node}: {line}"))
            for line in stats.mended:
                click.secho(printable(f"{node}: {line}"), fg="yellow")
        click.echo(f"{len(found)} answered, {len(found.missing)} did not.")
    if not found or found.missing or not all(stats.ready for stats in found.values()):
        raise click.exceptions.Exit(NO_ANSWER)
