"""What pika reports while connecting, as our errors. The texts are those of pika's own `__repr__`."""

from __future__ import annotations

import pytest
from pika import exceptions

from amqptasks.amqp.failures.failures import explain
from amqptasks.errors import AccessRefused, BrokerUnreachable


def closed(code: int, text: str) -> str:
    return repr(exceptions.ConnectionClosedByBroker(code, text))


LOST = repr(exceptions.StreamLostError("Stream connection lost: ConnectionResetError(104, 'Connection reset by peer')"))


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ProbableAuthenticationError(closed(403, "ACCESS_REFUSED - Login was refused")),
        exceptions.ProbableAccessDeniedError(closed(530, "NOT_ALLOWED - vhost x not found")),
        exceptions.ProbableAccessDeniedError(closed(403, "ACCESS_REFUSED - access refused")),
    ],
)
def test_a_broker_that_says_no_refuses(error: Exception) -> None:
    assert type(explain(error, "amqp://h/")) is AccessRefused


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ProbableAuthenticationError(LOST),
        exceptions.ProbableAccessDeniedError(LOST),
        exceptions.ProbableAccessDeniedError(closed(320, "CONNECTION_FORCED - broker forced connection closure")),
        exceptions.ProbableAccessDeniedError(closed(541, "INTERNAL_ERROR - vhost '/' is down")),
    ],
)
def test_a_wire_that_is_cut_while_connecting_is_no_refusal(error: Exception) -> None:
    """pika guesses one; a publisher that believed it would fail all its messages instead of trying again."""
    found = explain(error, "amqp://h/")
    assert type(found) is BrokerUnreachable
    assert "while it was being opened" in str(found)
