"""`amqptasks topology route`: which queues a task goes to, by which rule, and why not elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from amqptasks.cli.commands.topology.files import release_option, split, topology_of
from amqptasks.cli.support import parameters
from amqptasks.cli.support.failures import FAILED
from amqptasks.cli.support.tables import print_sentences
from amqptasks.cli.support.target import Target, pass_target

if TYPE_CHECKING:
    from amqptasks.messages.routing import Route
    from amqptasks.topology.ask.explanation import Explanation
    from amqptasks.topology.ask.reach import Hop, Passage
    from amqptasks.topology.read.source_map import Places
    from amqptasks.topology.topology import Topology
    from amqptasks.transport.capabilities import Capabilities

HELP = """\b
FILEs are the words that end with .yaml or .yml; without one, the app's topology (-A) is meant.

\b
Examples:
  amqptasks topology route shop.yaml shop.email.reset
  amqptasks topology route shop.yaml --exchange tasks --routing-key payment.refund
  amqptasks topology route shop.yaml --routing-key payment.refund
  amqptasks topology route shop.yaml --exchange formats --headers '{"format": "pdf"}' --json
  amqptasks -A shop topology route shop.stock.count --release 3.10

\b
--routing-key alone means the declared exchange that compares keys (direct, topic, x-delayed-message of one of these
types) where there is exactly one, else all declared exchanges, one after the other; internal ones are left out.

\b
Exit status: 0 it reaches a queue, 1 it reaches none or a file is wrong.
"""


@click.command("route", epilog=HELP)
@click.argument("words", nargs=-1, metavar="[FILE]... [TASK]")
@click.option("--exchange", metavar="NAME", help="A message to this exchange instead of a task.")
@click.option("--routing-key", metavar="KEY", help="With this routing key.  [default with --exchange: the empty one]")
@click.option("--headers", metavar="JSON", type=parameters.json_object, help="With these headers.")
@click.option("--priority", type=click.IntRange(0, 255), help="With this priority, in place of the route's.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object; with --routing-key alone, a list.")
@release_option
@pass_target
def command(
    target: Target,
    words: tuple[str, ...],
    exchange: str | None,
    routing_key: str | None,
    headers: dict[str, Any] | None,
    priority: int | None,
    as_json: bool,
    capabilities: Capabilities,
) -> None:
    """Say which queues a task goes to, by which rule, at what priority, and why not elsewhere."""
    from amqptasks.topology.read.source_map import Places, places

    files, rest = split(words)
    if len(rest) != (1 if exchange is None and routing_key is None else 0):
        raise click.UsageError("Name one TASK, or --exchange and --routing-key.")
    topology = topology_of(target, files)
    if rest:
        explained = {rest[0]: _of_task(topology, rest[0], headers, priority, capabilities)}
    else:
        key = routing_key or ""
        names = _meant_by_key(topology) if exchange is None else [exchange]
        explained = {
            f"{name} {key}": _of_message(topology, name, key, headers, priority, capabilities) for name in names
        }
    if as_json:
        records = [_record(found) for found in explained.values()]
        _print_json(records[0] if rest or exchange is not None else records)
    else:
        lines = places(files) if files else Places()
        for number, (subject, found) in enumerate(explained.items()):
            if number:
                click.echo()
            _print(found, subject, lines, headers)
    if not any(found.arrivals for found in explained.values()):
        raise click.exceptions.Exit(FAILED)


def _meant_by_key(topology: Topology) -> list[str]:
    """The exchanges that a routing key alone can be for; not the internal ones, which nobody publishes to."""
    names = [name for name, one in topology.exchanges.items() if not one.internal]
    by_key = [name for name in names if topology.compares_keys(name)]
    if not names:
        raise click.UsageError("No exchange is declared that --routing-key could be for: name one with --exchange.")
    return by_key if len(by_key) == 1 else names


def _of_message(
    topology: Topology,
    exchange: str,
    routing_key: str,
    headers: Mapping[str, object] | None,
    priority: int | None,
    capabilities: Capabilities,
) -> Explanation:
    from amqptasks.messages.routing import Destination
    from amqptasks.topology.ask.explanation import explain

    return explain(topology, Destination(exchange, routing_key, None, priority), capabilities, headers or {})


def _of_task(
    topology: Topology,
    task: str,
    headers: Mapping[str, object] | None,
    priority: int | None,
    capabilities: Capabilities,
) -> Explanation:
    from dataclasses import replace

    from amqptasks.topology.ask.explanation import explain, explain_task

    found = explain_task(topology, task, capabilities, headers)
    if priority is None or found.destination is None:
        return found
    destination = replace(found.destination, priority=priority)
    return explain(topology, destination, capabilities, headers, found.route, found.passed_over)


def _print(found: Explanation, subject: str, places: Places, headers: Mapping[str, object] | None) -> None:
    rows = [("message", subject), *_about_route(found, places)]
    if found.destination is not None:
        rows.append(("published", _published(found)))
    for passage in found.passages:
        rows += [(passage.exchange, words) for words in _about_passage(passage, headers)]
    rows += [("queue", f"{one.queue} ({one.type}; {one.priority})") for one in found.arrivals]
    if not found.arrivals:
        rows.append(("queue", "none: it would come back to the publisher as unroutable"))
        if found.nearest:
            rows.append(("nearest", ", ".join(found.nearest)))
    last = None
    shown = []
    for name, words in rows:
        shown.append(("" if name == last else name, words))
        last = name
    print_sentences(shown)


def _about_route(found: Explanation, places: Places) -> list[tuple[str, str]]:
    rows = []
    if found.route is not None:
        rows.append(("route", _route(found.route, places)))
    elif found.destination is None:
        rows.append(("route", "none fits, and there is no default queue"))
    elif found.destination.queue is not None:
        rows.append(("route", "none fits: the default queue"))
    return rows + [("not by", f"{_route(one, places)}: it fits, and comes later") for one in found.passed_over]


def _route(route: Route, places: Places) -> str:
    from amqptasks.topology.graphs.build import written

    name = written(route)
    where = places.of(("routes", name))
    return f"{name} ({route.kind}{f', {where}' if where else ''})"


def _published(found: Explanation) -> str:
    destination = found.destination
    assert destination is not None
    priority = "" if destination.priority is None else f", priority {destination.priority}"
    if destination.queue is not None:
        return f"to the queue {destination.queue} by its name{priority}"
    return f"to exchange {destination.exchange} with routing key {destination.routing_key!r}{priority}"


def _about_passage(passage: Passage, headers: Mapping[str, object] | None) -> list[str]:
    if passage.type is None:
        return ["no such exchange in this topology"]
    fitting = [_hop(hop, passage) for hop in passage.hops if hop.fits]
    others = [_hop(hop, passage) for hop in passage.hops if not hop.fits]
    unknown = passage.type == "headers" and headers is None and fitting
    rows = [f"{words}{' (if its headers fit: try --headers)' if unknown else ''}" for words in fitting]
    rows += [f"not {words}" for words in others]
    if passage.alternate is not None:
        rows.append(f"nothing fits, so on to {passage.alternate}")
    return rows or ["nothing is bound here"]


def _hop(hop: Hop, passage: Passage) -> str:
    from amqptasks.topology.graphs.build import headers_words

    target = hop.target if hop.kind == "queue" else f"exchange {hop.target}"
    match passage.type:
        case "fanout":
            rule = "to everybody"
        case "headers":
            rule = headers_words(hop.binding.arguments)
        case _:
            rule = repr(hop.binding.routing_key)
    return f"{rule} -> {target}"


def _record(found: Explanation) -> dict[str, Any]:
    import dataclasses

    return dataclasses.asdict(found)


def _print_json(found: object) -> None:
    import json

    click.echo(json.dumps(found, indent=2, default=dict))
