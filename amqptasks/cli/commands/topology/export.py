"""`amqptasks topology export`: a live broker as a topology file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from amqptasks.cli.support.management import management_option, need
from amqptasks.cli.support.output import write, write_new
from amqptasks.cli.support.target import Target, pass_target
from amqptasks.errors import ConfigurationError
from amqptasks.untrusted.numbers import counted
from amqptasks.untrusted.printable import printable

if TYPE_CHECKING:
    from amqptasks.management.client import Management
    from amqptasks.topology.broker.observed import Observed

HELP = """\b
`amqptasks plan` with the file finds nothing to do. What amqptasks generates (dead-letter queues, the ladder of delays,
retry queues) is folded into what it comes of; a queue that its keys cannot say is written with `exact: true`. Comments
say what is left out, and why. Nothing is changed, and no password is read.

\b
Examples:
  amqptasks topology export --broker amqp://guest:guest@localhost/shop -o shop.yaml
  amqptasks topology export --vhost shop | less
  amqptasks plan shop.yaml --broker amqp://guest:guest@localhost/shop

\b
Exit status: 0 written; 1 FILE exists, or no management API is found that lets us in; 2 wrong use; 3 it does not tell.
"""


@click.command("export", epilog=HELP)
@click.option("--vhost", metavar="NAME", help="The virtual host.  [default: the one of the broker's address]")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write here, not to the terminal.",
)
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@management_option
@pass_target
def command(target: Target, vhost: str | None, output: Path | None, force: bool, management_url: str | None) -> None:
    """Write a topology file that says what is on a broker."""
    from amqptasks import dial
    from amqptasks.topology.export.export import export

    if dial.is_memory(target.broker_urls()):
        raise ConfigurationError("memory:// lives within one process: there is nothing to export")
    management = need(target, management_url)
    if vhost is not None:
        management.vhost = vhost
    found = export(_observed(management))
    for one in (*found.left_out, *found.of_clients):
        click.secho(printable(f"left out: {one}"), fg="yellow", err=True)
    for one in found.notes:
        click.secho(printable(f"note: {one}"), fg="yellow", err=True)
    if output is None:
        click.echo(found.text, nl=False)
        return
    if force:
        write(output, found.text)
    else:
        write_new(output, found.text)
    written = f"{counted(len(found.topology.exchanges), 'exchange')}, {counted(len(found.topology.queues), 'queue')}"
    click.echo(f"{output}: {written}", err=True)


def _observed(management: Management) -> Observed:
    """Everything; for who is no administrator without users, permissions and limits."""
    from amqptasks.management.client import Unanswered
    from amqptasks.topology.broker.observed import Section, observe

    policies: frozenset[Section] = frozenset({"policies"})

    try:
        return observe(management)
    except Unanswered as unanswered:
        if unanswered.status not in (401, 403):
            raise
        return observe(management, policies)
