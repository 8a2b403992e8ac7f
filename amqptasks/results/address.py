"""Where results go: `App(backend=)`, the environment's address, and what stands behind its `?`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from amqptasks.errors import ConfigurationError
from amqptasks.messages import compression as compressions
from amqptasks.options import environment
from amqptasks.untrusted import bounds

#: The environment's say in it; it beats what an app was written with, so that one image serves every stage.
ENVIRONMENT = environment.RESULT_BACKEND

#: Set beside it by a command with `--backend`, for itself and its children: the address replaces `memory://` too.
REPLACES = "AMQPTASKS_RESULT_BACKEND_REPLACES"

#: Results are pushed to the callers, and kept nowhere.
RPC = "rpc"

MEMORY = "memory"

#: Results are in streams of the app's broker.
STREAM = "stream"

#: Options that every store has, behind the `?` of its address. The others are the store's own.
OPTIONS = ("expires", "failure_expires", "compression")


@dataclass(frozen=True, slots=True)
class BackendAddress:
    """`url` is the store's address, without the options that every store has. `expires` and `failure_expires` are
    seconds that a result, or that of a task that failed, is kept; None: as the app says. `compression` is how results
    are compressed; None: not at all."""

    url: str
    expires: float | None = None
    failure_expires: float | None = None
    compression: str | None = None

    @property
    def scheme(self) -> str:
        return self.url.partition("://")[0]

    @property
    def keeps(self) -> bool:
        """False for `rpc://`, which keeps nothing."""
        return self.scheme != RPC


@dataclass(frozen=True, slots=True)
class Streams:
    """How many streams hold results; None: as many as the release needs."""

    count: int | None


def chosen(given: str | None) -> BackendAddress:
    """The environment's address, else the one given, else `rpc://`. `memory://` that is given in code stays, unless a
    command has `--backend`. Raises `ConfigurationError`."""
    named = environment.variable(ENVIRONMENT)
    if named and (given is None or not given.startswith(f"{MEMORY}://") or os.environ.get(REPLACES)):
        return read(named)
    return read(given or f"{RPC}://")


def refuse_streams_in_memory(address: BackendAddress, *, in_memory: bool) -> None:
    """Raise `ConfigurationError` for streams on a broker that has none."""
    if in_memory and address.scheme == STREAM:
        raise ConfigurationError(
            'backend stream:// needs RabbitMQ, and this broker is memory://: use backend="memory://"'
        )


def result_streams(address: BackendAddress) -> Streams | None:
    """What is to be declared on the broker for this store; None: nothing. Raises `ConfigurationError`."""
    if address.scheme != STREAM:
        return None
    from amqptasks.results.stores.stream import partitions_of

    return Streams(partitions_of(address.url))


def read(text: str) -> BackendAddress:
    """The address that this text is. Raises `ConfigurationError`, which does not show it: it may hold a password."""
    if not isinstance(text, str) or "://" not in text:
        raise ConfigurationError(
            "backend: give an address, as rpc://, stream://, sqlite:///results.db or memory://, with its scheme"
        )
    place, _, query = text.strip().partition("?")
    scheme, _, rest = place.partition("://")
    options = dict(parse_qsl(query, keep_blank_values=True))
    own = {name: options.pop(name) for name in OPTIONS if name in options}
    compression = own.get("compression")
    if compression is not None:
        compressions.find(compression)
    if scheme.lower() == RPC and (rest.strip("/") or query):
        raise ConfigurationError("backend: rpc:// has no host and no options: results go to the caller's connection")
    left = f"?{urlencode(options)}" if options else ""
    return BackendAddress(
        f"{scheme.lower()}://{rest}{left}",
        _seconds("expires", own.get("expires")),
        _seconds("failure_expires", own.get("failure_expires")),
        compression,
    )


def _seconds(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return bounds.seconds(float(text), bounds.LONGEST_DURATION, 1.0)
    except (ValueError, bounds.OutOfBounds):
        raise ConfigurationError(
            f"backend: {name}= is a number of seconds from 1 to {bounds.LONGEST_DURATION:,.0f}, as {name}=86400"
        ) from None
