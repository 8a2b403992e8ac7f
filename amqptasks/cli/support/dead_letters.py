"""What the commands of `amqptasks dead` share: which queue is meant, and which of its letters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from amqptasks import dial
from amqptasks.cli.support import parameters
from amqptasks.cli.support.management import need
from amqptasks.cli.support.target import Target
from amqptasks.dead_letters.place import Place, place
from amqptasks.dead_letters.selection import Selection
from amqptasks.errors import ConfigurationError
from amqptasks.messages.codec import PLAIN, Codec
from amqptasks.messages.middleware import NO_MIDDLEWARE, Middlewares
from amqptasks.topology.delays import LOST
from amqptasks.topology.topology import DEAD

if TYPE_CHECKING:
    from amqptasks.transport import Session

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def filters(decorated: Decorated) -> Decorated:
    """The options that say which letters."""
    for option in reversed(
        [
            click.option("--task", metavar="GLOB", help="Task name: 'shop.email.*'."),
            click.option("--exception", metavar="GLOB", help="Exception, with its module or without."),
            click.option("--reason", metavar="GLOB", help="failed, malformed, expired, delivery_limit, ..."),
            click.option(
                "--since",
                metavar="WHEN",
                type=parameters.seconds_since_1970,
                help="2h (ago), or 2026-05-01T12:00 (UTC).",
            ),
            click.option("--until", metavar="WHEN", type=parameters.seconds_since_1970, help="As --since."),
        ]
    ):
        decorated = option(decorated)
    return decorated


def unmasked_option(decorated: Decorated) -> Decorated:
    """`--unmasked`, as `unmasked`."""
    shown = "Show secrets too, which `***` stands for, and bodies that may hold some."
    return click.option("--unmasked", is_flag=True, help=shown)(decorated)


def chosen(ids: tuple[str, ...], every: bool, wanted: dict[str, Any]) -> Selection:
    """Of a command that changes something: nothing is meant that was not named."""
    if not ids and not every:
        raise click.UsageError("which letters? Name their IDs, or say --all, which filters may narrow")
    if ids and every:
        raise click.UsageError("IDs and --all contradict each other: give one of them")
    return Selection(frozenset(ids), **wanted)


def within(selection: Selection, where: Place) -> Selection:
    """Of that place."""
    return replace(selection, queue=where.source)


def all_queues(target: Target, management_url: str | None) -> list[str]:
    """The queues of dead letters that are on the broker, by name: those that are called so, those that the app's
    topology has, and the one for delayed tasks whose target was gone. Raises `ConfigurationError` where the management
    API, which alone lists queues, cannot be had."""
    management = need(target, management_url, target.load_app().topology.vhost if target.app else None)
    rows = management.request("GET", "queues", management.vhost, query={"disable_stats": "true", "columns": "name"})
    ends = target.load_app().topology.ends if target.app else {}
    names = (str(row["name"]) for row in rows)
    return sorted(name for name in names if name.endswith(DEAD) or name == LOST or name in ends)


@contextmanager
def opened(target: Target, queue: str) -> Iterator[tuple[Session, Place, Codec, Middlewares]]:
    """A session, the place of the dead letters once it is known to be there, how the app reads what is in it, and its
    middleware."""
    app = target.load_app() if target.app else None
    urls = target.broker_urls()
    if dial.is_memory(urls):
        raise ConfigurationError("memory:// lives within one process, and this is another: there is nothing to look at")
    if app is not None:
        urls = dial.within(urls, app.topology.vhost)
    session = dial.session(urls, app.tls if app is not None else None)
    try:
        where = place(session, queue, app.topology if app is not None else None)
        yield session, where, *((app.codec, app.middleware) if app is not None else (PLAIN, NO_MIDDLEWARE))
    finally:
        session.close()
