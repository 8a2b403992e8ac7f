"""The broker's address: `amqp[s]://USER:PASSWORD@HOST:PORT/VHOST?OPTION=VALUE`, as in RabbitMQ's URI specification.

https://www.rabbitmq.com/docs/uri-spec and https://www.rabbitmq.com/docs/uri-query-parameters. A password is never
part of a message or a log line: show an address through `masked_address` only.
"""

from __future__ import annotations

import os
import re
import socket
import ssl as tls
from difflib import get_close_matches
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

import pika

from amqptasks.errors import ConfigurationError, UnknownOption
from amqptasks.untrusted.masks import masked_address

#: Seconds between two heartbeats. Half the server's default of 60: a dead peer is noticed within a minute, and the
#: traffic (8 bytes) is nothing. Our I/O threads run no user code, so they always answer in time.
HEARTBEAT = 30

#: Seconds to open the TCP connection. A host that drops packets must not eat a whole deadline of several URLs.
CONNECT_TIMEOUT = 5.0

#: The largest number in AMQP's 16-bit fields (heartbeat, channel_max).
SHORT = 65535

#: The ports that IANA registered for AMQP without and with TLS.
PORTS = {"amqp": 5672, "amqps": 5671}

#: Query parameters understood here; numbers first, then those of TLS.
OPTIONS = (
    "heartbeat",
    "connection_timeout",
    "channel_max",
    "frame_max",
    "cacertfile",
    "certfile",
    "keyfile",
    "verify",
    "server_name_indication",
)

_ENCODING_HINT = "Write special characters of user, password and virtual host percent-encoded (`/` is %2F, `@` is %40)"


def parameters(url: str, ssl: tls.SSLContext | None = None) -> pika.ConnectionParameters:
    """Connection parameters of one address.

    Without user, password, host, port or virtual host: guest, guest, localhost, 5672 (5671 with TLS), `/`.
    `ssl` is the TLS context of an `amqps` address; by default one that verifies the server against the system's
    authorities, or against what `cacertfile`, `certfile`, `keyfile` and `verify` in the query say.
    `heartbeat` is in seconds (default 30, 0 turns it off), `connection_timeout` in milliseconds (default 5000).

    Raises `ConfigurationError` for an address that is none, `UnknownOption` for an unknown query parameter.
    """
    parts, port = _split(url)
    options = _options(parts.query, url)
    secure = parts.scheme == "amqps"
    if ssl is not None and not secure:
        raise ConfigurationError(f"a TLS context was given, but {masked_address(url)} is not encrypted: write amqps://")
    host = unquote(parts.hostname or "localhost")
    ssl_options = None
    if secure:
        name = options.get("server_name_indication", host)
        ssl_options = pika.SSLOptions(ssl or _context(options, url), name)
    timeout = _number(options, "connection_timeout", url, int(CONNECT_TIMEOUT * 1000), 600_000) / 1000
    try:
        found = pika.ConnectionParameters(
            host=host,
            port=port or PORTS[parts.scheme],
            virtual_host=unquote(parts.path[1:]) or "/",
            credentials=pika.PlainCredentials(
                unquote(parts.username or "guest"), unquote(parts.password or "guest"), erase_on_connect=False
            ),
            heartbeat=_number(options, "heartbeat", url, HEARTBEAT),
            ssl_options=ssl_options,
            socket_timeout=timeout,
            stack_timeout=2 * timeout,  # name look-up, TCP, TLS and the AMQP handshake together
            blocked_connection_timeout=None,
            client_properties={
                "product": "amqptasks",
                "version": f"pika {pika.__version__}",
                "connection_name": f"amqptasks@{socket.gethostname()}:{os.getpid()}",
            },
        )
        found.channel_max = _number(options, "channel_max", url, found.channel_max)
        found.frame_max = _number(options, "frame_max", url, found.frame_max, found.frame_max)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"the broker's address {masked_address(url)} cannot be used: {error}") from None
    return found


def reads_files(url: str) -> bool:
    """True when `parameters(url)` reads certificates from the disk, which takes its time."""
    return url.lower().startswith("amqps:")


def with_vhost(url: str, vhost: str | None) -> str:
    """The address with the virtual host that a topology file names, if it names one.

    Raises `ConfigurationError` where the address names another one itself: declaring in the wrong place is worse.
    """
    if vhost is None:
        return url
    parts, _ = _split(url)
    named = unquote(parts.path[1:]) or "/"
    if named not in ("/", vhost):
        raise ConfigurationError(
            f"the topology is for the virtual host {vhost!r}, the broker's address"
            f" {masked_address(url)} names {named!r}: remove one of them"
        )
    return parts._replace(path=f"/{quote(vhost, safe='')}").geturl()


def _split(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # its text may hold a piece of the password
        raise ConfigurationError(f"the broker's address {masked_address(url)} is malformed. {_ENCODING_HINT}") from None
    if parts.scheme not in PORTS:
        raise ConfigurationError(f"the broker's address {masked_address(url)} must begin with amqp:// or amqps://")
    if parts.fragment or "/" in parts.path[1:] or ("@" in parts.path or "@" in parts.query):
        raise ConfigurationError(f"the broker's address {masked_address(url)} is malformed. {_ENCODING_HINT}")
    return parts, port


def _options(query: str, url: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in OPTIONS:
            close = get_close_matches(name, OPTIONS, 1)
            hint = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(OPTIONS)}"
            raise UnknownOption(f"the broker's address {masked_address(url)} has an unknown option `{name}`: {hint}")
    return options


def _number(options: dict[str, str], name: str, url: str, default: int, largest: int = SHORT) -> int:
    text = options.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) > largest:
        raise ConfigurationError(
            f"the broker's address {masked_address(url)}: `{name}` must be a whole number up to {largest}, not {text!r}"
        )
    return int(text)


def _context(options: dict[str, str], url: str) -> tls.SSLContext:
    try:
        context = tls.create_default_context(cafile=options.get("cacertfile"))
        if "certfile" in options:
            context.load_cert_chain(options["certfile"], options.get("keyfile"))
    except OSError as error:  # ssl.SSLError too
        raise ConfigurationError(
            f"the broker's address {masked_address(url)}: a TLS file cannot be read: {error}"
        ) from error
    verify = options.get("verify", "verify_peer")
    if verify not in ("verify_peer", "verify_none"):
        raise ConfigurationError(f"the broker's address {masked_address(url)}: `verify` is verify_peer or verify_none")
    if verify == "verify_none":
        context.check_hostname = False
        context.verify_mode = tls.CERT_NONE
    return context
