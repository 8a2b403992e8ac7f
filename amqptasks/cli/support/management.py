"""Where RabbitMQ's management API is: `--management URL`, the environment, or the usual place beside the broker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from amqptasks import dial
from amqptasks.cli.support.target import Target
from amqptasks.errors import BrokerError, BrokerUnreachable, ConfigurationError
from amqptasks.options import environment

if TYPE_CHECKING:
    from amqptasks.management.client import Management

#: The environment's word for it.
ENVIRONMENT = environment.MANAGEMENT_URL


@dataclass(frozen=True, slots=True)
class Nowhere:
    """It was not found; `tried` says of each place why not there, and as text what to do."""

    tried: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"RabbitMQ's management API is needed for this, and was not found ({'; '.join(self.tried)}). Where the"
            " broker runs without it: `rabbitmq-plugins enable rabbitmq_management`. Where it is not at its usual port:"
            f" name it with --management http://HOST:15672 (or {ENVIRONMENT})"
        )


def _checked(_context: click.Context, _option: click.Parameter, named: str | None) -> str | None:
    if named is None:
        named = environment.variable(ENVIRONMENT)
    if named is not None and (not named.startswith(("http://", "https://")) or "@" in named):
        raise ConfigurationError(
            "the management API's address begins with http:// or https://, and holds no user or password: those of the"
            " broker's address are used"
        )
    return named


#: Decorator: adds the option; its value goes to `find` or `need`.
management_option = click.option(
    "--management",
    "management_url",
    metavar="URL",
    callback=_checked,
    help=f"The management API; also {ENVIRONMENT}.  [default: the broker's host, port 15672; of amqps:// 15671, https]",
)


def find(target: Target, named: str | None, vhost: str | None = None) -> Management | Nowhere:
    """The API at `named`, else of the first of the broker's addresses that has one which lets the user in: that of a
    broker that `amqptasks broker` started there, else the one at the host's usual port.

    `vhost` is the virtual host that a topology names, if it names one. What the app trusts (`App(tls=)`) is trusted,
    else what the broker's address says. Raises `ConfigurationError` where one is no address.
    """
    from amqptasks.dev.brokers import probe, search
    from amqptasks.management.client import Management

    urls = dial.within(target.broker_urls(), vhost)
    if dial.is_memory(urls):
        return Nowhere(("memory:// has none",))
    if named is not None:
        return Management(named, urls[0], target.tls)
    ours = search.current()
    tried = []
    for url in urls:
        base = ours.management_url if ours is not None and _same_server(ours.url, url) else None
        base = base or probe.usual_management(url)
        refusal = probe.management_refusal(base, url, target.tls)
        if refusal is None:
            return Management(base, url, target.tls)
        tried.append(refusal)
    return Nowhere(tuple(tried))


def need(target: Target, named: str | None, vhost: str | None = None) -> Management:
    """The same; raises `ConfigurationError` where there is none, `BrokerUnreachable` where there is no broker either:
    then that is what is to be mended first."""
    found = find(target, named, vhost)
    if isinstance(found, Nowhere):
        reach(target)
        raise ConfigurationError(str(found))
    return found


def reach(target: Target) -> None:
    """Raises `BrokerUnreachable` where nobody answers at the address of the broker."""
    urls = target.broker_urls()
    if dial.is_memory(urls):
        return
    session = dial.session(urls, target.tls)
    try:
        _ = session.capabilities
    except BrokerUnreachable:
        raise
    except BrokerError:
        return  # it is there, and its management API said the same of user and virtual host
    finally:
        session.close()


def _same_server(one: str, other: str) -> bool:
    """Encrypted or not counts too: what is told to one of our own brokers is not encrypted."""
    from amqptasks.amqp.address import parameters

    first, second = parameters(one), parameters(other)
    return (first.host, first.port, first.ssl_options is None) == (second.host, second.port, second.ssl_options is None)
