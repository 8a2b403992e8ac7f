"""From an address to a transport: `memory://` is served in this process, `amqp://` and `amqps://` by RabbitMQ."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterable, Sequence

from amqptasks.errors import ConfigurationError
from amqptasks.options import environment
from amqptasks.runtime import forks
from amqptasks.runtime.clock import command_start
from amqptasks.transport import Link, Session

#: Where a broker is looked for when nobody names one: RabbitMQ's own defaults.
LOCALHOST = "amqp://guest:guest@localhost:5672/"

#: The environment's say in it; it beats what an app was written with, so that one image serves every stage.
ENVIRONMENT = environment.BROKER_URL

#: Set beside it by a command with `--broker`, for itself and its child processes: the address replaces `memory://` too.
REPLACES = "AMQPTASKS_BROKER_REPLACES"

MEMORY = "memory://"

#: A host with a port, a virtual host, or neither, and no scheme before it.
_BARE = re.compile(r"[A-Za-z0-9.-]+(:[0-9]+)?(/[^@]*)?")

#: Seconds for a connection: a broker across the network answers in one, a busy one that has just begun in several.
TIMEOUT = 10.0

#: Seconds until it is told that nobody answers at an address. One that is there takes a connection in a tenth of that,
#: across an ocean in a quarter; whoever has just begun shall not wait longer for the advice to start a broker.
CONNECT_TIMEOUT = 2.0


def addresses(given: str | Sequence[str] | None) -> list[str]:
    """The broker's addresses: the environment's, else those given, else localhost. `;` separates several.

    `memory://` that is given in code stays: a test in one process must not reach for a broker that somebody's
    environment names. Only `--broker` replaces it.
    """
    own = listed(given or ())
    urls = listed(environment.variable(ENVIRONMENT) or ())
    if not urls or (own and is_memory(own) and not os.environ.get(REPLACES)):
        urls = own or [LOCALHOST]
    if not urls:
        raise ConfigurationError(f"no broker address: set broker= or {ENVIRONMENT}, for example {LOCALHOST}")
    if any(url.startswith(MEMORY) for url in urls) and len(urls) > 1:
        raise ConfigurationError(f"{MEMORY} cannot stand beside other addresses: it is a broker of its own")
    return urls


def listed(given: str | Iterable[str]) -> list[str]:
    """One address, several with `;` between them, or a list, as a list of addresses in the usual form."""
    named = given.split(";") if isinstance(given, str) else [part for url in given for part in url.split(";")]
    return [usual(url.strip()) for url in named if url.strip()]


def usual(url: str) -> str:
    """The address as RabbitMQ's specification has it, of one that people write: with a scheme of Celery's (`pyamqp://`),
    with `//` for the virtual host `/`, or without a scheme (`localhost:5672`)."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return f"amqp://{url}" if _BARE.fullmatch(url) else url
    scheme = environment.SCHEMES.get(scheme.lower(), scheme)
    place, question, query = rest.partition("?")
    if place.endswith("//"):
        place = f"{place[:-1]}%2F"
    return f"{scheme}://{place}{question}{query}"


def is_memory(urls: Sequence[str]) -> bool:
    return urls[0].startswith(MEMORY)


def within(urls: Sequence[str], vhost: str | None) -> list[str]:
    """The addresses with the virtual host that a topology names, if it names one. Raises `ConfigurationError` where an
    address names another."""
    if vhost is None or is_memory(urls):
        return list(urls)
    from amqptasks.amqp.address import with_vhost

    return [with_vhost(url, vhost) for url in urls]


def load(urls: Sequence[str]) -> None:
    """Import what `link` and `session` need."""
    if is_memory(urls):
        modules = ["amqptasks.memory.link", "amqptasks.memory.session"]
    else:
        modules = [
            "amqptasks.amqp.link",
            "amqptasks.amqp.blocking.session",
            "encodings.idna",
        ]  # the last for names of hosts
    for module in modules:
        forks.load(module)


def link(
    urls: Sequence[str], tls: ssl.SSLContext | None = None, connect_timeout: float | None = CONNECT_TIMEOUT
) -> Link:
    """A link, not started yet. `connect_timeout` is in seconds, for the TCP connections to all addresses together,
    until one has worked."""
    load(urls)
    if is_memory(urls):
        from amqptasks.memory.link import MemoryLink

        return MemoryLink(urls[0])
    from amqptasks.amqp.link import Link as AmqpLink

    return AmqpLink(urls, tls=tls, connect_timeout=connect_timeout)


def session(
    urls: Sequence[str],
    tls: ssl.SSLContext | None = None,
    timeout: float = TIMEOUT,
    connect_timeout: float | None = None,
) -> Session:
    """A session, which connects with its first question. That raises `BrokerUnreachable` after `timeout` seconds, or
    after `connect_timeout` where nobody has answered (None: `CONNECT_TIMEOUT`, from the start of a command on), and at
    once what does not mend itself."""
    load(urls)
    if is_memory(urls):
        from amqptasks.memory.session import MemorySession

        return MemorySession(urls[0])
    from amqptasks.amqp.blocking.session import Session as AmqpSession

    first = command_start.left_of(CONNECT_TIMEOUT) if connect_timeout is None else connect_timeout
    return AmqpSession(urls, timeout=timeout, ssl=tls, connect_timeout=first)
