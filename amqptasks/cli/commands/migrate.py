"""`amqptasks migrate QUEUE`: replace a queue whose arguments cannot be changed in place."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from amqptasks.cli.support import parameters
from amqptasks.cli.support.management import management_option, need
from amqptasks.cli.support.tables import print_sentence, print_table
from amqptasks.cli.support.target import Target, pass_target
from amqptasks.cli.support.wanted import topology_of
from amqptasks.untrusted.printable import printable

if TYPE_CHECKING:
    from amqptasks.topology.migrate.migration import Counts, Event, Migration

HELP = """\b
Publishers and workers stay up. New messages wait in QUEUE.moving while the queue is emptied, deleted, declared anew
and filled again; workers get nothing new meanwhile, and finish what they have. Interrupted at any moment, it goes on
when it is run again. To go back, run it with the topology as it was.

\b
Examples:
  amqptasks migrate emails topology.yaml --dry-run
  amqptasks migrate emails topology.yaml --broker amqp://guest:guest@localhost/shop
  amqptasks -A shop migrate emails --wait 2h           some tasks run that long
  amqptasks migrate emails topology.yaml --json | tail -1 | jq .paused

\b
Exit status: 0 the queue is as wanted, 1 it cannot be migrated, 3 the broker cannot be reached, refused, or a worker
held messages for too long.
"""

#: What each stage does, for `--dry-run`; {queue} is filled in.
STAGES = {
    "prepare": "declare {queue}.moving, where messages wait, and the exchanges around it",
    "redirect": "lead everything that is bound to {queue} through the exchange {queue}.moving",
    "take_over": "move what waits in {queue} to {queue}.moving; from here on workers get nothing new",
    "turn_aside": "send new messages to {queue}.moving, by one binding",
    "drain": "wait until workers have settled what they hold, and nothing is left in {queue}",
    "remove": "delete {queue}",
    "remake": "declare {queue} as wanted",
    "fill": "move the messages back; workers go on",
    "turn_back": "send new messages to {queue}, by one binding",
    "restore": "bind {queue} as it was bound",
    "empty": "move the last messages back",
    "clear": "delete {queue}.moving and its exchanges",
}

#: What the table of a finished migration says of each count.
WORDS = {
    "waited": "waited in QUEUE.moving at the beginning",
    "out": "moved out",
    "meanwhile": "published meanwhile",
    "home": "moved back",
    "missing": "expired on the way",
    "twice": "in twice (a connection broke before an ack)",
    "lost": "lost, published past every exchange",
}


@click.command(epilog=HELP)
@click.argument("queue")
@click.argument("files", nargs=-1, metavar="[FILE...]", type=click.Path())
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each step, the counts as the last.")
@click.option(
    "--wait", type=parameters.duration, default="30m", show_default=True, help="How long workers may hold messages."
)
@click.option(
    "--figures-every",
    type=parameters.duration,
    default="5s",
    show_default=True,
    help="How old the broker's figures of a quorum queue can be: its `quorum_tick_interval`.",
)
@management_option
@pass_target
def command(
    target: Target,
    queue: str,
    files: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    wait: float,
    figures_every: float,
    management_url: str | None,
) -> None:
    """Replace QUEUE by one as the topology FILEs say, under its name, with its messages and bindings.

    Without FILE, the topology of the app (-A). For what cannot be changed in place: a queue's type, its priorities, its
    dead-lettering, its ttl.
    """
    from amqptasks import dial
    from amqptasks.topology.migrate.opening import opened
    from amqptasks.topology.migrate.run import migrate

    topology = topology_of(target, files)
    urls = dial.within(target.broker_urls(), topology.vhost)
    management = need(target, management_url, topology.vhost)  # which alone counts what workers hold
    tls = target.tls
    told = contextlib.nullcontext(_untold) if dry_run else _lines() if as_json else _bar()
    with (
        told as tell,
        opened(topology, queue, urls, management, tls=tls, every=figures_every, patience=wait, tell=tell) as migration,
    ):
        say = _plan(migration, as_json) if dry_run else _done(queue, migrate(migration), as_json)
    say()  # once the bar is gone


def _untold(_: Event) -> None:
    """Nothing happens in a dry run."""


def _plan(migration: Migration, as_json: bool) -> Callable[[], None]:
    from amqptasks.topology.migrate.migration import differences
    from amqptasks.topology.migrate.run import remaining

    left = [stage.__name__ for stage in remaining(migration)]
    observed = migration.observed()
    found = differences(observed, migration.wanted) if observed is not None else {}
    if as_json:
        changes = {name: {"is": has, "wanted": wants} for name, (has, wants) in found.items()}
        line = _json({"queue": migration.queue, "differences": changes, "stages": left})
        return lambda: click.echo(line)
    lines = [f"{name}: {_shown(has)} -> {_shown(wants)}" for name, (has, wants) in found.items()]
    for number, stage in enumerate(left, 1):
        lines.append(f"{number:2}. {stage.replace('_', ' ')}: {STAGES[stage].format(queue=migration.queue)}")
    text = "\n".join(lines) or f"Nothing to do: {migration.queue} is as wanted."
    return lambda: click.echo(text)


def _done(queue: str, counts: Counts, as_json: bool) -> Callable[[], None]:
    if as_json:
        return lambda: click.echo(_json({"queue": queue, "done": True, **_numbers(counts)}))
    return lambda: _print_table(queue, counts)


def _print_table(queue: str, counts: Counts) -> None:
    if not counts.stages:
        click.echo(f"Nothing to do: {printable(queue)} is as wanted.")
        return
    numbers = _numbers(counts)
    told = [name for name in WORDS if numbers[name] or name in ("out", "meanwhile", "home")]
    rows = [(WORDS[name].replace("QUEUE", queue), f"{numbers[name]:,}") for name in told]
    print_table(("messages", ""), rows, styles=["red" if name == "lost" else None for name in told])
    times = [
        f"{counts.seconds:.1f} s in all",
        *([f"workers got nothing new for {counts.paused:.1f} s"] if counts.paused is not None else []),
        *([f"no queue of this name for {counts.absent * 1000:.0f} ms"] if counts.absent is not None else []),
    ]
    print_sentence(f"{queue} is as wanted: {', '.join(times)}.")


def _numbers(counts: Counts) -> dict[str, int | float | None]:
    return {**dataclasses.asdict(counts), "meanwhile": counts.meanwhile, "missing": counts.missing}


@contextlib.contextmanager
def _lines() -> Iterator[Callable[[Event], None]]:
    """Each step as a line of JSON; the moving of messages, which is told many times a second, is left out."""
    yield lambda event: None if event.moved is not None else click.echo(_json(dataclasses.asdict(event)))


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[Event], None]]:
    """A line for the stage under way, with a bar where messages are moved; only on a terminal, and gone in the end."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("looking", total=None)

        def show(event: Event) -> None:
            total = None if event.moved is None or event.left is None else event.moved + event.left
            stage = event.stage.replace("_", " ")
            progress.update(task, description=f"{stage}: {event.detail}", completed=event.moved or 0, total=total)

        yield show


def _json(found: object) -> str:
    import orjson

    return orjson.dumps(found).decode()


def _shown(value: object) -> str:
    return "not set" if value is None else str(value)
