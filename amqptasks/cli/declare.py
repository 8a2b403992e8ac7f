"""`amqptasks declare FILE...`: bring a topology to the broker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from amqptasks.cli.target import Target, pass_target

if TYPE_CHECKING:
    from amqptasks.topology.declare import Change
    from amqptasks.topology.expand import Objects
    from amqptasks.topology.topology import Topology
    from amqptasks.transport import Session

#: What each state of a change is called in the table.
WORDS = {
    "created": "created",
    "present": "was there",
    "bound": "bound",
    "older": "was there (declared on an older RabbitMQ)",
    "unchecked": "not checked",
}


@click.command("declare")
@click.argument("files", nargs=-1, metavar="FILE...", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
@click.option("--no-delays", is_flag=True, help="Leave out the ladder of delay queues.")
@pass_target
def command(target: Target, files: tuple[str, ...], as_json: bool, no_delays: bool) -> None:
    """Create on the broker what the topology FILEs say and it does not have; change nothing that is there.

    Without FILE, the topology of the app (-A). Running it again does no harm. An object that exists with other
    properties is reported, with both values, and left alone (exit status 4).
    """
    from amqptasks.amqp.address import with_vhost
    from amqptasks.dial import is_memory, session

    topology = _topology(target, files)
    urls = target.broker_urls()
    if not is_memory(urls):
        urls = [with_vhost(url, topology.vhost) for url in urls]
    broker = session(urls)
    try:
        changes = _declare(topology, broker, no_delays, as_json)
    finally:
        broker.close()
    if as_json:
        _print_json(changes)
    else:
        _print_table(changes)


def _topology(target: Target, files: Sequence[str]) -> Topology:
    if not files:
        if target.app is None:
            raise click.UsageError("Name one or more topology FILEs, or an app with -A.")
        return target.load_app().topology
    from amqptasks.topology.loader import load

    return load(*files)


def _declare(topology: Topology, broker: Session, no_delays: bool, quiet: bool) -> list[Change]:
    from rich.console import Console
    from rich.progress import Progress

    from amqptasks.topology.declare import declare
    from amqptasks.topology.expand import expand
    from amqptasks.topology.ladder import ladder_objects

    objects: Objects = expand(topology, broker.capabilities)
    if not no_delays:
        objects += ladder_objects(topology, broker.capabilities)
    console = Console(stderr=True)
    # Gone when done: the table is what stays.
    with Progress(console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task("declaring", total=len(objects))
        return declare(objects, broker, lambda _: progress.advance(task))


def _print_json(changes: Sequence[Change]) -> None:
    import orjson

    rows = [{"kind": change.kind, "name": change.name, "state": change.state} for change in changes]
    click.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())


def _print_table(changes: Sequence[Change]) -> None:
    """The topology's own objects one by one; the ladder, which is always alike, as a line."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    own = [change for change in changes if not _of_ladder(change)]
    ladder = [change for change in changes if _of_ladder(change)]
    table = Table("", "name", "", box=None, pad_edge=False, header_style="dim")
    for change in own:
        style = None if change.state == "created" else "dim"
        table.add_row(change.kind, Text(change.name), WORDS[change.state], style=style)  # [ ] in names are no markup
    if ladder:
        table.add_row("delays", f"amqptasks.delay.*, amqptasks.due.* ({len(ladder)} objects)", _counted(ladder))
    console = Console(soft_wrap=True)
    console.print(table)
    console.print(f"{len(changes)} objects: {_counted(changes)}", highlight=False)


def _of_ladder(change: Change) -> bool:
    return change.name.startswith(("amqptasks.delay.", "amqptasks.due."))


def _counted(changes: Sequence[Change]) -> str:
    counts = {word: sum(change.state == state for change in changes) for state, word in WORDS.items()}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)
