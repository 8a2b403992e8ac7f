"""`amqptasks topology schema`: what editors need to complete and check topology files."""

from __future__ import annotations

import click

HELP = """\b
Examples:
  amqptasks topology schema > topology.schema.json

\b
In a topology file, for editors with the YAML language server:
  # yaml-language-server: $schema=topology.schema.json

\b
Exit status: 0 printed; 2 wrong use.
"""


@click.command("schema", epilog=HELP)
def command() -> None:
    """Print the JSON Schema of topology files (draft 2020-12)."""
    from amqptasks.topology.read.schema import text

    click.echo(text(), nl=False)
