"""`amqptasks plan FILE...`: what `declare` would do, what it cannot do, and what is on the broker besides."""

from __future__ import annotations

from typing import Any

import click

from amqptasks.cli.support.failures import FAILED, tell
from amqptasks.cli.support.management import management_option, need
from amqptasks.cli.support.target import Target, pass_target
from amqptasks.cli.support.wanted import CommandLine, planned, topology_of
from amqptasks.errors import AmqptasksError, ConfigurationError

#: Exit status where there is something to do; `terraform plan -detailed-exitcode` has made this a custom.
CHANGES = 2

HELP = """\b
Signs:
  +  is created       ~  is changed in place     !  differs, and cannot be changed in place
  -  is on the broker, but not in the file (`declare --prune` deletes it)
  x  is removed: an earlier release made it, and it gives somebody a right too many

\b
Examples:
  amqptasks plan topology.yaml --broker amqp://guest:guest@localhost/shop
  amqptasks plan base.yaml production.yaml --keep 'legacy.*'
  amqptasks plan topology.yaml --prune || exit        in CI: fails when the broker is not just as the file says
  amqptasks plan topology.yaml --json | jq '.steps[] | select(.action == "conflict")'

\b
Exit status: 0 nothing to do, 2 something to do (with --prune also: something to delete), 1 an error of any kind.
"""


class WrongUse(click.UsageError):
    exit_code = FAILED


class PlanCommand(click.Command):
    """Every error is exit status 1 here, wrong use too: click's 2 would say that there is something to do."""

    def make_context(self, *arguments: Any, **more: Any) -> click.Context:
        try:
            return super().make_context(*arguments, **more)
        except click.UsageError as error:
            raise WrongUse(error.message, error.ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise WrongUse(error.message, error.ctx) from None
        except AmqptasksError as error:
            tell(error)
            ctx.exit(FAILED)


@click.command("plan", cls=PlanCommand, epilog=HELP)
@click.argument("files", nargs=-1, metavar="FILE...", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--all", "everything", is_flag=True, help="Also what is as it should be, and why so; clients' own.")
@click.option("--prune", is_flag=True, help="What is on the broker but not in the file counts as something to do.")
@click.option("--keep", multiple=True, metavar="GLOB", help="Names that belong to others; may be given many times.")
@click.option("--no-delays", is_flag=True, help="Leave out the ladder of delay queues.")
@management_option
@pass_target
def command(
    target: Target,
    files: tuple[str, ...],
    as_json: bool,
    everything: bool,
    prune: bool,
    keep: tuple[str, ...],
    no_delays: bool,
    management_url: str | None,
) -> None:
    """Say what would change on the broker to be as the topology FILEs say. Nothing is changed.

    Without FILE, the topology of the app (-A). It is read through RabbitMQ's management API.
    """
    from amqptasks import dial
    from amqptasks.cli.support import plans
    from amqptasks.dev.brokers.running import shown

    topology = topology_of(target, files)
    if dial.is_memory(target.broker_urls()):
        raise ConfigurationError("memory:// lives within one process: there is nothing to plan for")
    api = need(target, management_url, topology.vhost)
    around = CommandLine(files, target.app, target.broker)
    found = planned(topology, api, keep, not no_delays, around, target.result_streams())
    plan = found.plan
    if as_json:
        click.echo(plans.as_json(found, shown(api.url), everything))
    else:
        plans.show(found, shown(api.url), everything, prune)
    if not plan.empty or (prune and plan.prunable):
        raise click.exceptions.Exit(CHANGES)
