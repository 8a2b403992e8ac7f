"""Asking a port whether it speaks AMQP 0-9-1, and a broker whether it lets us in."""

from __future__ import annotations

import json
import urllib.request
from base64 import b64encode
from socket import create_connection

from amqptasks.amqp.address import parameters
from amqptasks.capabilities import from_server_properties

#: A server on the same machine answers within milliseconds, a busy one still within this many seconds.
ANSWER_WITHIN = 5.0

#: The first bytes of a client: AMQP, then protocol 0-9-1 (specification, section 4.2.2).
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"

#: The management plugin's own default port: https://www.rabbitmq.com/docs/management#usage
MANAGEMENT_PORT = 15672


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


def version(url: str, timeout: float = ANSWER_WITHIN) -> str:
    """Log in once, and tell the server's version.

    Raises `ConfigurationError` where `url` is no address, `ConnectionError` with the reason where it does not work.
    """
    import pika
    from pika import exceptions

    wanted = parameters(url)
    wanted.socket_timeout = wanted.blocked_connection_timeout = timeout
    wanted.stack_timeout = 2 * timeout
    try:
        connection = pika.BlockingConnection(wanted)
    except (OSError, exceptions.AMQPError) as error:
        raise ConnectionError(_in_words(error)) from error
    properties = connection._impl.server_properties or {}  # no public door in pika 1.4
    connection.close()
    return _version(properties)


def management_answers(url: str, user: str, password: str, timeout: float = ANSWER_WITHIN) -> bool:
    """Whether RabbitMQ's management API is at `url` and lets this user in."""
    credentials = b64encode(f"{user}:{password}".encode()).decode()
    request = urllib.request.Request(f"{url}/api/overview", headers={"Authorization": f"Basic {credentials}"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310
            return "rabbitmq_version" in json.load(response)
    except (OSError, ValueError):  # nobody there, or somebody else
        return False


def management_url(url: str) -> str | None:
    """The management API of the broker at `url`, where it is at its usual port; else None."""
    wanted = parameters(url)
    candidate = f"http://{wanted.host}:{MANAGEMENT_PORT}"
    user, password = (str(getattr(wanted.credentials, name)) for name in ("username", "password"))
    return candidate if management_answers(candidate, user, password) else None


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
