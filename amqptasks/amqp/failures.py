"""What pika reports when a connection cannot be had or breaks, as one of our errors with a sentence that helps."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator

from pika import exceptions
from pika.adapters.utils.connection_workflow import AMQPConnectorException, AMQPConnectorStackTimeout

from amqptasks.errors import AccessRefused, BrokerError, BrokerUnreachable

#: What pika raises where it cannot connect. The workflow's errors are no `AMQPError`: a broker that accepts the TCP
#: connection and then says nothing is one of them.
CONNECTING_FAILED = (exceptions.AMQPError, AMQPConnectorException, OSError)

#: AMQP's access-refused, and not-allowed, which RabbitMQ also answers for a virtual host that is not there.
_REFUSALS = frozenset({403, 530})

#: How pika prints the broker's reason to close a connection: `ConnectionClosedByBroker: (403) 'ACCESS_REFUSED - ...'`.
_CLOSED_BY_BROKER = re.compile(r"ConnectionClosedByBroker: \((\d+)\)")


def explain(error: BaseException, where: str) -> BrokerError:
    """`where` is the address without its password. The result's message never holds one either."""
    for cause in _causes(error):
        if isinstance(cause, exceptions.ProbableAuthenticationError | exceptions.ProbableAccessDeniedError):
            return _refusal(cause, where)
        if isinstance(cause, exceptions.ConnectionClosedByBroker):
            kind = AccessRefused if cause.reply_code in _REFUSALS else BrokerUnreachable
            return kind(f"{where} closed the connection: {cause.reply_code} {cause.reply_text}")
        if isinstance(cause, socket.gaierror):
            return BrokerUnreachable(f"{where}: the host name is not known")
        if isinstance(cause, ssl.SSLError):
            return BrokerUnreachable(f"{where}: TLS failed: {cause.reason or cause}")
        if isinstance(cause, ConnectionRefusedError):
            return BrokerUnreachable(f"{where}: nothing listens there")
        if isinstance(cause, AMQPConnectorStackTimeout):
            return BrokerUnreachable(f"{where}: somebody listens there, and says nothing")
        if isinstance(cause, exceptions.AMQPHeartbeatTimeout):
            return BrokerUnreachable(f"{where}: no heartbeat came")
    innermost = list(_causes(error))[-1]
    return BrokerUnreachable(f"{where}: {str(innermost) or type(innermost).__name__}")


def _refusal(error: BaseException, where: str) -> BrokerError:
    """pika calls every end of a connection that was being opened a probable refusal, and keeps what it was as text. A
    broker that refuses says so with a code; a cut wire or a broker that is just stopping is no refusal."""
    closed = _CLOSED_BY_BROKER.search(str(error))
    if closed is None or int(closed[1]) not in _REFUSALS:
        return BrokerUnreachable(f"{where}: the connection broke while it was being opened ({error})")
    if isinstance(error, exceptions.ProbableAuthenticationError):
        return AccessRefused(f"{where} refused the user or the password")
    return AccessRefused(f"{where}: no such virtual host, or the user has no permission on it")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what is wrapped in it; pika keeps the wrapped ones in `args` or in `exceptions`."""
    yield error
    wrapped = [*getattr(error, "exceptions", ()), *error.args, getattr(error, "exception", None)]
    for inner in wrapped:
        if isinstance(inner, BaseException):
            yield from _causes(inner)
