"""`amqptasks topology simulate`: what becomes of a task, told hop by hop, in no time and without a broker."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from amqptasks.cli.commands.topology.files import split, topology_of
from amqptasks.cli.support import parameters
from amqptasks.cli.support.tables import print_sentences
from amqptasks.cli.support.target import Target, pass_target

if TYPE_CHECKING:
    from amqptasks.dev.simulation.hop import Hop
    from amqptasks.options import TaskOptions

HELP = """\b
FILEs are the words that end with .yaml or .yml; without one, the app's topology (-A) is meant. ARGS are JSON where they
can be, else text. The task itself is not run: a stand-in is, by the worker's own code, on the broker in memory, which
behaves as RabbitMQ 4.3. With -A, the stand-in has the task's own options, its retries among them.

\b
Examples:
  amqptasks topology simulate shop.yaml shop.email.reset --fail 3
  amqptasks topology simulate shop.yaml shop.payment.charge 7 --kill 2
  amqptasks topology simulate shop.yaml shop.report.monthly --expire --json
  amqptasks -A shop topology simulate shop.email.send --fail 1 --countdown 10m

\b
Exit status: 0 it was told; 1 no route takes the task, a file is wrong, or it has exchanges of a type beyond direct,
fanout, headers and topic.
"""

#: Of what ends a way, or holds it up.
COLOURS = {"dead-lettered": "red", "returned": "red", "waits": "yellow", "rests": "cyan"}


@click.command("simulate", epilog=HELP)
@click.argument("words", nargs=-1, metavar="[FILE]... TASK [ARGS]...", required=True)
@click.option("--kwargs", metavar="JSON", type=parameters.json_object, help="Keyword arguments: '{\"amount\": 5}'.")
@click.option("--fail", type=click.IntRange(0), default=0, help="The task fails so many times.")
@click.option("--kill", type=click.IntRange(0), default=0, help="So many workers are killed while they run it.")
@click.option("--expire", is_flag=True, help="No worker takes it: see what its time to live leads to.")
@click.option("--countdown", metavar="DURATION", type=parameters.seconds_or_moment, help="Due after 10m, 1h 30m, ...")
@click.option("--priority", type=click.IntRange(0, 255), help="Its priority, in place of the route's.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@pass_target
def command(
    target: Target,
    words: tuple[str, ...],
    kwargs: dict[str, Any] | None,
    fail: int,
    kill: int,
    expire: bool,
    countdown: float | datetime | None,
    priority: int | None,
    as_json: bool,
) -> None:
    """Tell what becomes of a task, hop by hop, with retries and dead letters: in no time, without a broker."""
    from amqptasks.dev.simulation.script import Script
    from amqptasks.dev.simulation.simulation import simulate

    files, rest = split(words)
    if not rest:
        raise click.UsageError("Name the TASK.")
    if isinstance(countdown, datetime):
        raise click.BadParameter("write a duration: 10m, 1h 30m", param_hint="--countdown")
    hops = simulate(
        topology_of(target, files),
        rest[0],
        tuple(parameters.json_or_text(word) for word in rest[1:]),
        kwargs,
        script=Script(fail, kill, expire),
        options=_options(target, rest[0]),
        countdown=countdown or 0.0,
        priority=priority,
    )
    if as_json:
        _print_json(hops)
    else:
        _print(hops)


def _options(target: Target, task: str) -> TaskOptions:
    known = target.load_app().tasks.get(task) if target.app is not None else None
    return known.options if known is not None else {}


def _print(hops: list[Hop]) -> None:
    from amqptasks.topology import durations

    rows, styles = [], []
    last = ""
    for hop in hops:
        at = durations.written(hop.at)
        rows.append((f"{'' if at == last else at:>12}", f"{hop.what:<13}", hop.place, hop.detail))
        styles.append(COLOURS.get(hop.what))
        last = at
    print_sentences(rows, styles=styles)


def _print_json(hops: list[Hop]) -> None:
    import dataclasses
    import json

    click.echo(json.dumps([dataclasses.asdict(hop) for hop in hops], indent=2))
