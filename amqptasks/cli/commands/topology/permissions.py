"""`amqptasks topology permissions FILE...`: the least rights of each role."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any, get_args

import click

from amqptasks.cli.commands.topology.files import topology_of
from amqptasks.cli.support.target import Target, pass_target

if TYPE_CHECKING:
    from amqptasks.topology.expand.permissions import Rights

#: `topology.Role`, spelled out: importing it would make `--help` slow. A test compares them.
ROLES = ("publisher", "worker", "beat", "viewer", "operator", "declarer")

HELP = """\b
publisher   sends tasks, also delayed ones, and waits for their results
worker      runs tasks of all queues, retries and dead-letters them, answers control, sends events and further tasks
beat        sends tasks when they are due, and keeps the table of schedules
viewer      follows events, looks up results, and looks through the management API
operator    tells workers what to do, revokes tasks, looks into dead letters and replays them
declarer    `amqptasks declare` and `plan`

In a topology file `role: worker` at a user gives it these rights, and `amqptasks declare` sets them.

\b
Examples:
  amqptasks topology permissions shop.yaml
  amqptasks topology permissions shop.yaml --role worker --user shop-worker
  amqptasks topology permissions shop.yaml --json | jq .publisher.write

\b
Exit status: 0 told; 1 a file is wrong; 2 wrong use.
"""


@click.command("permissions", epilog=HELP)
@click.argument("files", nargs=-1, metavar="FILE...", type=click.Path())
@click.option("--role", "roles", type=click.Choice(ROLES), multiple=True, help="Only this one; may be given again.")
@click.option("--user", metavar="NAME", help="Print the rabbitmqctl lines for a user of this name; with one --role.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@pass_target
def command(target: Target, files: tuple[str, ...], roles: tuple[Any, ...], user: str | None, as_json: bool) -> None:
    """Say what each kind of user must be allowed on the broker, and no more. No broker needed.

    Without FILE, the topology of the app (-A).
    """
    from amqptasks.topology.expand.permissions import permissions_for
    from amqptasks.topology.topology import Role

    assert get_args(Role) == ROLES
    if user is not None and len(roles) != 1:
        raise click.UsageError("--user needs one --role: what is that user there for?")
    topology = topology_of(target, files)
    rights = {role: permissions_for(topology, role) for role in roles or ROLES}
    if as_json:
        click.echo(json.dumps({role: _record(one) for role, one in rights.items()}, indent=2))
    elif user is not None:
        click.echo("\n".join(_lines(user, topology.vhost or "/", rights[roles[0]])))
    else:
        click.echo("\n\n".join(_shown(role, one) for role, one in rights.items()))


def _record(rights: Rights) -> dict[str, object]:
    return {
        "configure": rights.configure,
        "write": rights.write,
        "read": rights.read,
        "topic_permissions": {exchange: {"write": write, "read": read} for exchange, write, read in rights.topics},
        "tags": list(rights.tags),
    }


def _shown(role: str, rights: Rights) -> str:
    lines = [
        role,
        f"  configure  {rights.configure}",
        f"  write      {rights.write}",
        f"  read       {rights.read}",
    ]
    lines += [f"  topic      {exchange}: write {write}  read {read}" for exchange, write, read in rights.topics]
    lines += [f"  tags       {', '.join(rights.tags)}"] if rights.tags else []
    return "\n".join(lines)


def _lines(user: str, vhost: str, rights: Rights) -> list[str]:
    """For a shell."""
    where = ["rabbitmqctl", "set_permissions", "-p", vhost, user, rights.configure, rights.write, rights.read]
    lines = [shlex.join(where)]
    for exchange, write, read in rights.topics:
        lines.append(shlex.join(["rabbitmqctl", "set_topic_permissions", "-p", vhost, user, exchange, write, read]))
    if rights.tags:
        lines.append(shlex.join(["rabbitmqctl", "set_user_tags", user, *rights.tags]))
    return lines
