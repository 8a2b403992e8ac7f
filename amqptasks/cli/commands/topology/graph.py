"""`amqptasks topology graph FILE...`: a picture of a topology."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amqptasks.cli.commands.topology.files import release_option, title_of, topology_of
from amqptasks.cli.support.management import management_option
from amqptasks.cli.support.output import write
from amqptasks.cli.support.target import Target, pass_target
from amqptasks.errors import BrokerUnreachable, ConfigurationError
from amqptasks.untrusted.numbers import counted
from amqptasks.untrusted.printable import printable

if TYPE_CHECKING:
    from amqptasks.topology.graphs.graph import Figures, Graph
    from amqptasks.topology.topology import Topology
    from amqptasks.transport.capabilities import Capabilities

#: The formats, and how the names of their files end.
FORMATS: Mapping[str, tuple[str, ...]] = {
    "mermaid": (".mmd", ".mermaid", ".md"),
    "dot": (".dot", ".gv"),
    "svg": (".svg",),
    "html": (".html", ".htm"),
    "json": (".json",),
}

HELP = """\b
html is one page that needs no network: point at something to see the way of its messages, click for its
properties, type a task's name to see where it goes. #TASK behind its address does that at once.

\b
Examples:
  amqptasks topology graph shop.yaml -o shop.html
  amqptasks topology graph shop.yaml --live --broker amqp://guest:guest@localhost/ -o now.html
  amqptasks topology graph shop.yaml --format mermaid >> README.md
  amqptasks -A shop topology graph --format dot | dot -Tpng > shop.png

\b
Exit status: 0 drawn, 1 a file is wrong, 3 no broker answers (--live).
"""


@click.command("graph", epilog=HELP)
@click.argument("files", nargs=-1, metavar="FILE...", type=click.Path())
@click.option("--format", "form", type=click.Choice(list(FORMATS)), help="[default: by the ending of -o, else mermaid]")
@click.option("-o", "--output", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write it there.")
@click.option("--live", is_flag=True, help="With what each queue holds and does now, from the management API.")
@management_option
@release_option
@pass_target
def command(
    target: Target,
    files: tuple[str, ...],
    form: str | None,
    output: Path | None,
    live: bool,
    management_url: str | None,
    capabilities: Capabilities,
) -> None:
    """Draw a topology: where tasks go, how they wait, and where they end.

    Without FILE, the topology of the app (-A).
    """
    from amqptasks.topology.graphs.build import build

    topology = topology_of(target, files)
    figures: dict[str, Figures] = {}
    if live:
        capabilities, figures = _live(target, topology, management_url)
    chosen = form or _form_of(output)
    text = _written(build(topology, capabilities, figures), chosen, title_of(target, files))
    if output is None:
        click.echo(text, nl=False)
        return
    write(output, text)
    drawn = f"{counted(len(topology.exchanges), 'exchange')}, {counted(len(topology.queues), 'queue')}"
    look = ": open it in a browser" if chosen in ("html", "svg") else ""
    click.echo(f"{printable(str(output))}: {drawn}, drawn as {chosen}{look}", err=True)


def _form_of(output: Path | None) -> str:
    forms = {suffix: form for form, suffixes in FORMATS.items() for suffix in suffixes}
    if output is None:
        return "mermaid"
    if output.suffix not in forms:
        raise click.UsageError(f"{output.name!r} says not which format: give --format, or another ending")
    return forms[output.suffix]


def _written(graph: Graph, form: str, title: str) -> str:
    match form:
        case "mermaid":
            from amqptasks.topology.graphs.mermaid import mermaid

            return mermaid(graph)
        case "dot":
            from amqptasks.topology.graphs.dot import dot

            return dot(graph)
        case "svg":
            from amqptasks.topology.graphs.svg import svg

            return svg(graph, title)
        case "html":
            from amqptasks.topology.graphs.page import page

            return page(graph, title)
        case _:
            import json

            from amqptasks.topology.graphs.records import records

            return json.dumps(records(graph), indent=2) + "\n"


def _live(target: Target, topology: Topology, named: str | None) -> tuple[Capabilities, dict[str, Figures]]:
    """The broker's release, and what its queues hold."""
    from amqptasks import dial
    from amqptasks.cli.support.management import Nowhere, find, reach
    from amqptasks.management.client import Unanswered
    from amqptasks.topology.broker.observed import capabilities_of
    from amqptasks.topology.graphs.live import figures

    if dial.is_memory(target.broker_urls()):
        raise ConfigurationError("memory:// lives within one process, and this is another: there is nothing to look at")
    management = find(target, named, topology.vhost)
    if isinstance(management, Nowhere):
        reach(target)
        raise BrokerUnreachable(str(management))
    try:
        return capabilities_of(management), figures(management)
    except Unanswered as unanswered:
        raise BrokerUnreachable(f"the management API does not tell: {unanswered}") from None
