"""`amqptasks topology definitions FILE...`: a topology as RabbitMQ's own file of definitions."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amqptasks.cli.commands.topology.files import release_option, topology_of
from amqptasks.cli.support.output import write_private
from amqptasks.cli.support.target import Target, pass_target

if TYPE_CHECKING:
    from amqptasks.transport.capabilities import Capabilities

HELP = """\b
For brokers that load their definitions when they start, and for tools that know nothing else. Passwords come from the
variables that `password_from` names, as salted hashes. An import never changes a queue or an exchange that exists.

\b
Examples:
  amqptasks topology definitions shop.yaml --release 4.3 -o shop.json
  rabbitmqctl import_definitions shop.json
  curl -u guest:guest -H content-type:application/json -d @shop.json http://localhost:15672/api/definitions/shop

\b
Exit status: 0 written, also where a user got no password; 1 a file is wrong; 2 wrong use.
"""


@click.command("definitions", epilog=HELP)
@click.argument("files", nargs=-1, metavar="FILE...", type=click.Path())
@click.option("--vhost", metavar="NAME", help="The virtual host.  [default: the file's, else /]")
@click.option("--no-delays", is_flag=True, help="Leave out the ladder of delay queues.")
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write it to FILE."
)
@release_option
@pass_target
def command(
    target: Target,
    files: tuple[str, ...],
    vhost: str | None,
    no_delays: bool,
    output: Path | None,
    capabilities: Capabilities,
) -> None:
    """Write a topology as RabbitMQ's definitions (JSON). No broker needed.

    Without FILE, the topology of the app (-A).
    """
    from amqptasks.cli.support.wanted import objects_of
    from amqptasks.topology.expand.definitions import definitions

    topology = topology_of(target, files)
    objects = objects_of(topology, capabilities, not no_delays)
    found = definitions(objects, vhost or topology.vhost or "/", capabilities, os.environ)
    for user in found.without_password:
        click.secho(f"the user {user} gets no password: its variable is not set", fg="yellow", err=True)
    text = json.dumps(found.document, indent=1, ensure_ascii=False) + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    write_private(output, text)  # it has the hashes of passwords
