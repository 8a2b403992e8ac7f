"""Finding the management API of the broker that a command aims at."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from amqptasks.amqp.management import Management

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def management_option(decorated: Decorated) -> Decorated:
    """Add `--management URL`; its value goes to `find`."""
    text = "The management API.  [default: the broker's host, port 15672]"
    return click.option("--management", "management_url", metavar="URL", help=text)(decorated)


def find(named: str | None, url: str) -> Management | None:
    """The API at `named`, else where the broker at `url` usually has it; None where nobody answers there."""
    from amqptasks.amqp.management import Management
    from amqptasks.brokers import probe, search

    if named is None:
        ours = search.current()
        base = ours.management_url if ours is not None and _same_server(ours.url, url) else probe.management_url(url)
    else:
        base = named
    return None if base is None else Management(base, url)


def _same_server(one: str, other: str) -> bool:
    from amqptasks.amqp.address import parameters

    first, second = parameters(one), parameters(other)
    return (first.host, first.port) == (second.host, second.port)
