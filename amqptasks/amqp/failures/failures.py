"""What pika reports when a connection cannot be had or breaks, as one of our errors with a sentence that helps."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

from pika import exceptions
from pika.adapters.utils.connection_workflow import AMQPConnectorException, AMQPConnectorStackTimeout

from amqptasks.amqp.failures.tls_failures import tls_failure
from amqptasks.errors import AccessRefused, BrokerError, BrokerUnreachable

#: What pika raises where it cannot connect. The workflow's errors are no `AMQPError`: a broker that accepts the TCP
#: connection and then says nothing is one of them.
CONNECTING_FAILED = (exceptions.AMQPError, AMQPConnectorException, OSError)

#: AMQP's access-refused, and not-allowed, which RabbitMQ also answers for a virtual host that is not there.
_REFUSALS = frozenset({403, 530})

#: How pika prints the broker's reason to close a connection: `ConnectionClosedByBroker: (403) 'ACCESS_REFUSED - ...'`.
_CLOSED_BY_BROKER = re.compile(r"ConnectionClosedByBroker: \((\d+)\) (['\"])(.*)\2", re.DOTALL)

#: A refusal that passes by itself: a limit of connections, of a node, a virtual host or a user. RabbitMQ 3.10 to 4.3
#: say `... connection limit (10) is reached`.
_LIMIT = re.compile(r"connection limit \(\d+\) is reached")


def explain(error: BaseException, where: str) -> BrokerError:
    """`where` is the address without its password. The result's message never holds one either."""
    for cause in _causes(error):
        found = _explained(cause, where) or tls_failure(cause, where)
        if found is not None:
            return found
    innermost = list(_causes(error))[-1]
    return BrokerUnreachable(f"{where}: {str(innermost) or type(innermost).__name__}")


def is_cut_before_amqp(error: BaseException) -> bool:
    """True where the other side took the connection, and closed it before it said anything of AMQP."""
    return any(isinstance(cause, exceptions.IncompatibleProtocolError) for cause in _causes(error))


def _explained(cause: BaseException, where: str) -> BrokerError | None:
    match cause:
        case exceptions.ProbableAuthenticationError() | exceptions.ProbableAccessDeniedError():
            return _refusal(cause, where)
        case exceptions.ConnectionClosedByBroker():
            if _LIMIT.search(cause.reply_text):
                return _limited(where, cause.reply_text)
            kind = AccessRefused if cause.reply_code in _REFUSALS else BrokerUnreachable
            return kind(f"{where} closed the connection: {cause.reply_code} {cause.reply_text}")
        case exceptions.IncompatibleProtocolError():
            return tls_failure(cause, where) or BrokerUnreachable(
                f"{where}: the connection was closed before the broker spoke AMQP"
            )
        case socket.gaierror():
            return BrokerUnreachable(f"{where}: the host name is not known")
        case ConnectionRefusedError():
            return BrokerUnreachable(f"{where}: nothing listens there")
        case AMQPConnectorStackTimeout() | exceptions.ConnectionOpenAborted():  # nobody but its timer closes it then
            return BrokerUnreachable(f"{where}: somebody listens there, and says nothing")
        case TimeoutError():
            return BrokerUnreachable(f"{where}: nobody answers there")
        case exceptions.AMQPHeartbeatTimeout():
            return BrokerUnreachable(f"{where}: no heartbeat came")
    return None


def _refusal(error: BaseException, where: str) -> BrokerError:
    """pika calls every end of a connection that was being opened a probable refusal, and keeps what it was as text. A
    broker that refuses says so with a code; a cut wire or a broker that is just stopping is no refusal."""
    closed = _CLOSED_BY_BROKER.search(str(error))
    if closed is None or int(closed[1]) not in _REFUSALS:
        return tls_failure(error, where) or BrokerUnreachable(
            f"{where}: the connection broke while it was being opened ({error})"
        )
    said = closed[3]
    if _LIMIT.search(said):
        return _limited(where, said)
    if isinstance(error, exceptions.ProbableAuthenticationError):
        return AccessRefused(f"{where} refused the user or the password ({said})")
    return AccessRefused(f"{where}: no such virtual host, or the user has no permission on it ({said})")


def _limited(where: str, said: str) -> BrokerUnreachable:
    error = BrokerUnreachable(f"{where} refused the connection: {said}")
    error.is_answer = True
    return error


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what is wrapped in it; pika keeps the wrapped ones in `args` or in `exceptions`."""
    yield error
    wrapped = [*getattr(error, "exceptions", ()), *error.args, getattr(error, "exception", None)]
    for inner in wrapped:
        if isinstance(inner, BaseException):
            yield from _causes(inner)
