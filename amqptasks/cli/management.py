"""Where RabbitMQ's management API is: `--management URL`, the environment, or the usual place beside the broker."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import click

from amqptasks.errors import ConfigurationError

if TYPE_CHECKING:
    from amqptasks.amqp.management import Management

#: The environment's word for it.
ENVIRONMENT = "AMQPTASKS_MANAGEMENT_URL"

#: What to do where it is needed and not there.
NEEDED = (
    "RabbitMQ's management API is needed for this, and it is not at its usual port: run `rabbitmq-plugins enable"
    f" rabbitmq_management` there, and name it with --management http://HOST:15672 (or {ENVIRONMENT})"
)

#: Decorator: adds the option; its value goes to `find` or `need`.
management_option = click.option(
    "--management",
    "management_url",
    metavar="URL",
    envvar=ENVIRONMENT,
    help=f"The management API; also {ENVIRONMENT}.  [default: the broker's host, port 15672]",
)


def find(named: str | None, url: str, tls: ssl.SSLContext | None = None) -> Management | None:
    """The API at `named`, else that of a broker that `amqptasks broker` started at `url`, else the one at the usual
    port of the broker's host; None where nothing is there, or it does not let this user in."""
    from amqptasks.amqp.management import Management
    from amqptasks.brokers import probe, search

    if named is None:
        ours = search.current()
        base = ours.management_url if ours is not None and _same_server(ours.url, url) else probe.management_url(url)
    else:
        base = _checked(named)
    return None if base is None else Management(base, url, tls)


def need(named: str | None, url: str, tls: ssl.SSLContext | None = None) -> Management:
    """The same; raises `ConfigurationError` where there is none."""
    found = find(named, url, tls)
    if found is None:
        raise ConfigurationError(NEEDED)
    return found


def _checked(named: str) -> str:
    if not named.startswith(("http://", "https://")) or "@" in named:
        raise ConfigurationError(
            "the management API's address begins with http:// or https://, and holds no user or password: those of the"
            " broker's address are used"
        )
    return named


def _same_server(one: str, other: str) -> bool:
    from amqptasks.amqp.address import parameters

    first, second = parameters(one), parameters(other)
    return (first.host, first.port) == (second.host, second.port)
