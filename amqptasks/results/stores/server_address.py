"""The address of a server, in its parts. A password in it is never shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from amqptasks.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """`path` is what stands behind the first slash: a database, a bucket's folder. User and password may be empty."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    path: str
    options: Mapping[str, str]

    @classmethod
    def read(cls, url: str, port: int, options: Sequence[str]) -> ServerAddress:
        """The parts of `url`, where `port` is the usual one, and `options` are those that may stand behind its `?`.
        Raises `ConfigurationError`, which does not quote it."""
        try:
            parts = urlsplit(url)
            found = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
            address = cls(
                parts.hostname or "localhost",
                parts.port or port,
                unquote(parts.username or ""),
                unquote(parts.password or ""),
                unquote(parts.path.lstrip("/")),
                found,
            )
        except ValueError:
            raise ConfigurationError(
                f"backend: the address cannot be read: write {url.partition('://')[0]}://USER:PASSWORD@HOST:PORT/NAME,"
                " with @, : and / in a password as %40, %3A and %2F"
            ) from None
        unknown = sorted(set(found) - set(options))
        if unknown:
            known = ", ".join(f"{name}=" for name in options)
            raise ConfigurationError(
                f"backend: the address has an option that {url.partition('://')[0]}:// does not know; it knows {known}"
            )
        return address
