"""`amqptasks topology`: look at a topology, ask it questions, hand it on. One module of this package a command."""

from __future__ import annotations

import click

from amqptasks.cli.support.lazy import LazyGroup

#: Name and one line for each command. `amqptasks.cli.commands.topology.NAME` exports it as `command`.
COMMANDS: dict[str, str] = {
    "graph": "Draw a topology: where tasks go, how they wait, and where they end.",
    "route": "Say which queues a task goes to, by which rule, and why not elsewhere.",
    "validate": "Look a topology over without a broker: what is probably not meant.",
    "simulate": "Tell what becomes of a task, hop by hop: in no time, without a broker.",
    "schema": "Print the JSON Schema of topology files, for editors.",
    "definitions": "Write a topology as definitions of RabbitMQ, in JSON.",
    "permissions": "Say what each kind of user must be allowed, and no more.",
    "export": "Write a topology file that says what is on a broker.",
}


class TopologyCommands(LazyGroup):
    package = "amqptasks.cli.commands.topology"
    summaries = COMMANDS


HELP = """\b
Examples:
  amqptasks topology graph shop.yaml -o shop.html
  amqptasks topology route shop.yaml shop.email.reset
  amqptasks topology validate shop.yaml --release 3.10 --strict
  amqptasks topology simulate shop.yaml shop.payment.charge 7 --fail 3

\b
Exit status: 0 done; 1 a file is wrong; 2 wrong use, and of `validate`: warnings; 3 no broker (`export`,
             `graph --live`).
"""


@click.command(cls=TopologyCommands, epilog=HELP)
def command() -> None:
    """Look at a topology, ask it questions, hand it on."""
