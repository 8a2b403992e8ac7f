"""From an address to a transport: `memory://` is served in this process, `amqp://` and `amqps://` by RabbitMQ."""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence

from amqptasks import forks
from amqptasks.errors import ConfigurationError
from amqptasks.transport import Link, Session

#: Where a broker is looked for when nobody names one: RabbitMQ's own defaults.
LOCALHOST = "amqp://guest:guest@localhost:5672/"

#: The environment's say in it; it beats what an app was written with, so that one image serves every stage.
ENVIRONMENT = "AMQPTASKS_BROKER_URL"

MEMORY = "memory://"

#: Seconds for a connection: a broker across the network answers in one, a busy one that has just begun in several.
TIMEOUT = 10.0


def addresses(given: str | Sequence[str] | None) -> list[str]:
    """The broker's addresses: the environment's, else those given, else localhost. `;` separates several."""
    named = os.environ.get(ENVIRONMENT) or given or LOCALHOST
    urls = named.split(";") if isinstance(named, str) else list(named)
    urls = [url.strip() for url in urls if url.strip()]
    if not urls:
        raise ConfigurationError(f"no broker address: set broker= or {ENVIRONMENT}, for example {LOCALHOST}")
    if any(url.startswith(MEMORY) for url in urls) and len(urls) > 1:
        raise ConfigurationError(f"{MEMORY} cannot stand beside other addresses: it is a broker of its own")
    return urls


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
        modules = ["amqptasks.amqp.link", "amqptasks.amqp.session", "encodings.idna"]  # the last for names of hosts
    for module in modules:
        forks.load(module)


def link(urls: Sequence[str], tls: ssl.SSLContext | None = None) -> Link:
    """A link, not started yet."""
    load(urls)
    if is_memory(urls):
        from amqptasks.memory.link import MemoryLink

        return MemoryLink(urls[0])
    from amqptasks.amqp.link import Link as AmqpLink

    return AmqpLink(urls, tls=tls)


def session(urls: Sequence[str], tls: ssl.SSLContext | None = None, timeout: float = TIMEOUT) -> Session:
    """A session, connected. Raises `BrokerUnreachable` after `timeout` seconds, `AccessRefused` at once."""
    load(urls)
    if is_memory(urls):
        from amqptasks.memory.session import MemorySession

        return MemorySession(urls[0])
    from amqptasks.amqp.session import Session as AmqpSession

    return AmqpSession(urls, timeout=timeout, ssl=tls)
