"""How far pika is with a connection that it opens, by the private state of its connector.

`tests/unit/amqp/test_pika_internals.py` fails when a pika release changes it.
"""

from __future__ import annotations

from typing import Any

from pika.adapters.utils.connection_workflow import AMQPConnector

#: TCP stands, and TLS or AMQP is being agreed on.
BEYOND_TCP = (AMQPConnector._STATE_TRANSPORT, AMQPConnector._STATE_AMQP)


def is_beyond_tcp(workflow: Any) -> bool:
    """True once the TCP connection stands."""
    return getattr(_connector(workflow), "_state", None) in BEYOND_TCP


def has_no_socket(workflow: Any) -> bool:
    """True where the process had no descriptor for a socket. pika's connector raises then, and tells nobody: such a
    connection neither opens nor closes."""
    connector = _connector(workflow)
    return connector is not None and connector._state == AMQPConnector._STATE_TCP and connector._sock is None


def _connector(workflow: Any) -> Any:
    return getattr(workflow, "_connector", None)
