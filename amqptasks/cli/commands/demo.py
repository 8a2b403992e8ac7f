"""`amqptasks demo`: see tasks flow, fail, come back and be dead-lettered."""

from __future__ import annotations

import logging
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amqptasks import dial
from amqptasks.cli.support.failures import FAILED, NO_BROKER
from amqptasks.cli.support.management import management_option
from amqptasks.cli.support.target import Target, pass_target

if TYPE_CHECKING:
    from amqptasks.dev.brokers.running import Absent, Running
    from amqptasks.dev.demo.place import Place
    from amqptasks.dev.demo.story import Figures

HELP = """\b
It uses the broker that `amqptasks broker start` would (see there), in a virtual host of its own where it may create
one, else in queues of its own; it removes them again, and stops a broker that it started. Without any broker it runs
on memory://, within this process, and says so.

\b
Examples:
  amqptasks demo
  amqptasks demo --install                     may install the package rabbitmq-server
  amqptasks demo --broker amqp://guest:guest@localhost/

\b
Exit status: 0 all figures are as they should be; 1 they are not; 3 the broker named does not answer.
"""


@click.command(epilog=HELP)
@click.option("--install", is_flag=True, help="May install the package rabbitmq-server.")
@management_option
@pass_target
def command(target: Target, install: bool, management_url: str | None) -> None:
    """See tasks flow, fail, come back and be dead-lettered."""
    signal.signal(signal.SIGTERM, _interrupt)
    named = target.broker or os.environ.get(dial.ENVIRONMENT)
    if named and dial.is_memory(dial.addresses(named)):
        figures = _in_memory()
    else:
        with _broker(named, install) as found:
            figures = _in_memory() if found is None else _on(found, management_url or found.management_url)
    _show(figures)
    problems = figures.problems()
    for problem in problems:
        click.secho(f"amqptasks: {problem}", fg="red", err=True)
    if problems:
        raise click.exceptions.Exit(FAILED)


def _interrupt(_signum: int, _frame: object) -> None:
    """A TERM clears up too, as Ctrl-C does."""
    raise KeyboardInterrupt


@contextmanager
def _broker(named: str | None, install: bool) -> Iterator[Running | None]:
    """A broker, stopped in the end where it was started for this; None where none can be had."""
    from amqptasks.dev.brokers import search, state
    from amqptasks.dev.brokers.running import Running, Wish, shown

    earlier = None if named else search.current()
    found = search.find(Wish(state.folder() / "node", named, install))
    if not isinstance(found, Running):
        if named:
            click.secho(f"amqptasks: {_reasons(found)}", fg="red", err=True)
            raise click.exceptions.Exit(NO_BROKER)
        click.echo(f"No broker can be had, so this runs on memory://, within this process:{_reasons(found)}")
        yield None
        return
    click.echo(f"RabbitMQ {found.version} at {shown(found.url)} ({found.kind})")
    try:
        yield found
    finally:
        if found.started and earlier is None:
            search.stop()
            click.echo("The broker that was started for this is stopped; amqptasks broker start brings it back.")


def _on(found: Running, management_url: str | None) -> Figures:
    from amqptasks.dev.demo import place

    where = place.make(found.url, management_url)
    click.echo(f"The demo is {where.words}; two worker processes, five threads.")
    with _surroundings(where):
        from amqptasks.dev.demo import shop, story, workers

        try:
            with tempfile.TemporaryDirectory(prefix="amqptasks-demo-") as folder:
                queues = {shop.queue("orders"): 4, shop.queue("letters"): 1}
                environment = place.environment(where, shop.PREFIX_VARIABLE)
                return story.tell(where.url, workers.processes(queues, environment, Path(folder), where.url))
        finally:
            stays = place.clear(where, shop.app.topology)
            if stays:
                click.echo(f"What stays: {stays}.")


def _in_memory() -> Figures:
    from amqptasks.dev.demo.place import Place

    where = Place("memory://amqptasks-demo", "demo", "in this process")
    with _surroundings(where):
        from amqptasks.dev.demo import shop, story, workers

        # What fails is in the table; a worker process would write it to its own log.
        logging.getLogger("amqptasks").addHandler(logging.NullHandler())
        queues = {shop.queue("orders"): 1, shop.queue("letters"): 1}
        return story.tell(where.url, workers.in_this_process(shop.app, queues))


@contextmanager
def _surroundings(where: Place) -> Iterator[None]:
    """The demo's app reads its broker and its prefix from the environment when it is imported, here as in a worker."""
    before = dict(os.environ)
    os.environ[dial.ENVIRONMENT] = where.url
    os.environ["AMQPTASKS_DEMO_PREFIX"] = where.prefix
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _show(figures: Figures) -> None:
    from amqptasks.dev.demo import shop, story

    dead = ", ".join(f"{count} {reason}" for reason, count in figures.dead.most_common())
    rows = {
        "published": (figures.published, "each confirmed by the broker"),
        "done": (figures.done, ""),
        "delayed": (len(figures.waits), _measured(figures.waits, story.COUNTDOWN)),
        "retried after a delay": (len(figures.retries), _measured(figures.retries, shop.RETRY_DELAY)),
        "dead-lettered": (figures.dead.total(), dead),
        "priorities obeyed": (
            "yes" if figures.urgent_first else "no",
            f"{story.URGENT} urgent letters before {story.ORDINARY} that were published earlier",
        ),
        "left in queues": (figures.left, ""),
        "seconds": (f"{figures.seconds:.1f}", ""),
    }
    click.echo()
    for name, (number, words) in rows.items():
        click.echo(f"  {name:<22}{number:>6}   {words}".rstrip())
    click.echo()


def _measured(times: list[float], wanted: float) -> str:
    if not times:
        return ""
    return f"asked for {wanted:.2f} s, took {min(times):.2f} to {max(times):.2f} s"


def _reasons(absent: list[Absent]) -> str:
    return "".join(f"\n  {one.kind}: {one.reason}" for one in absent)
