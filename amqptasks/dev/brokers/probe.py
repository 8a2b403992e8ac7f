"""Asking a port whether it speaks AMQP 0-9-1, and a broker whether it lets us in."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from socket import create_connection

from amqptasks.amqp.address import parameters
from amqptasks.management.client import Management, Unanswered
from amqptasks.transport.capabilities import from_server_properties

#: A server on the same machine answers within milliseconds, a busy one still within this many seconds.
ANSWER_WITHIN = 5.0

#: The first bytes of a client: AMQP, then protocol 0-9-1 (specification, section 4.2.2).
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"

#: The management plugin's own default ports: https://www.rabbitmq.com/docs/management#usage
MANAGEMENT_PORTS: Mapping[str, int] = {"http": 15672, "https": 15671}


def greeting_version(host: str, port: int, timeout: float = ANSWER_WITHIN) -> str | None:
    """The version in the server's greeting (`4.3.0`); None when nothing listens there, or it is not AMQP 0-9-1."""
    from pika import exceptions, frame

    received, greeting = b"", None
    try:
        with create_connection((host, port), timeout) as connection:
            connection.settimeout(timeout)
            connection.sendall(PROTOCOL_HEADER)
            while greeting is None and (chunk := connection.recv(4096)):
                received += chunk
                _, greeting = frame.decode_frame(received)
    except (OSError, exceptions.AMQPError):
        return None
    properties = getattr(getattr(greeting, "method", None), "server_properties", None)
    return None if properties is None else _version(properties)


def answers(url: str, timeout: float = ANSWER_WITHIN / 10) -> bool:
    """Whether AMQP 0-9-1 is spoken at the address."""
    wanted = parameters(url)
    return greeting_version(str(wanted.host), int(wanted.port), timeout) is not None


def version(url: str, timeout: float = ANSWER_WITHIN) -> str:
    """Log in once, and tell the server's version.

    Raises `ConfigurationError` where `url` is no address, `ConnectionError` with the reason where it does not work.
    """
    import pika
    from pika import exceptions

    from amqptasks.amqp.blocking.blocking_connection import server_properties

    wanted = parameters(url)
    wanted.socket_timeout = wanted.blocked_connection_timeout = timeout
    wanted.stack_timeout = 2 * timeout
    try:
        connection = pika.BlockingConnection(wanted)
    except (OSError, exceptions.AMQPError) as error:
        raise ConnectionError(_in_words(error)) from error
    properties = server_properties(connection)
    connection.close()
    return _version(properties)


def management_refusal(base: str, url: str, tls: ssl.SSLContext | None = None) -> str | None:
    """Why RabbitMQ's management API is not at `base`, or does not let in the user of the broker's address `url`, in
    words that begin with `base`; None where it does."""
    try:
        Management(base, url, tls, ANSWER_WITHIN).version()
    except Unanswered as unanswered:
        words = str(unanswered)
        return words if words.startswith(base) else f"{base}: {words}"
    return None


def usual_management(url: str) -> str:
    """Where the management API of the broker at `url` is by default. Nobody asked for the password to be sent there,
    so it goes encrypted to a broker that is spoken to encrypted, or not at all."""
    wanted = parameters(url)
    scheme = "http" if wanted.ssl_options is None else "https"
    host = f"[{wanted.host}]" if ":" in wanted.host else wanted.host
    return f"{scheme}://{host}:{MANAGEMENT_PORTS[scheme]}"


def management_url(url: str) -> str | None:
    """The management API of the broker at `url`, where it is at its usual port; else None."""
    candidate = usual_management(url)
    return candidate if management_refusal(candidate, url) is None else None


def _version(properties: dict[str, object]) -> str:
    return ".".join(str(number) for number in from_server_properties(properties).version)


def _in_words(error: BaseException) -> str:
    from pika import exceptions

    while isinstance(error, exceptions.AMQPConnectionError) and error.args and isinstance(error.args[0], Exception):
        error = error.args[0]
    if isinstance(error, exceptions.ProbableAuthenticationError):
        return "wrong user or password"
    if isinstance(error, exceptions.ProbableAccessDeniedError):
        return "the virtual host does not exist, or this user has no right to it"
    return str(error) or type(error).__name__
