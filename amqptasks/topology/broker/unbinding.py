"""Removing a binding for certain.

AMQP keeps 32-bit and 64-bit integers apart, and so does a broker that looks for a binding to remove: an argument with
another type is another binding, and RabbitMQ answers "ok" without removing anything. Everything that was made over HTTP
has 64-bit integers. Only the management API knows the arguments as they are stored: it removes a binding by its
`properties_key`. https://www.rabbitmq.com/docs/http-api-reference
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from amqptasks.errors import BrokerError
from amqptasks.management.client import Management
from amqptasks.topology.broker.identity import binding_key, binding_name
from amqptasks.topology.broker.observed import binding_of
from amqptasks.transport import Session
from amqptasks.transport.entities import Binding


def unbind(binding: Binding, session: Session, management: Management) -> None:
    """Remove it, in every spelling in which the broker has it.

    Raises `BrokerError` where it is still there afterwards, `Unanswered` where the API cannot be had. A binding that is
    not there is removed already.
    """
    if not binding.arguments:  # only arguments have types that AMQP and HTTP spell differently
        session.unbind(binding)
        return
    path = _path(binding, management)
    for row in _rows(binding, management, path):
        management.delete(*path, str(row["properties_key"]))
    if any(_rows(binding, management, path)):
        raise BrokerError(
            f"the binding {binding_name(binding)} is still there after the broker was told to remove it."
            " Remove it in the management UI, and run this again"
        )


def _path(binding: Binding, management: Management) -> tuple[str, ...]:
    kind = "q" if binding.destination_type == "queue" else "e"
    return ("bindings", management.vhost, "e", binding.source, kind, binding.destination)


def _rows(binding: Binding, management: Management, path: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The bindings that are this one to people, whatever the types of their arguments."""
    wanted = binding_key(binding)
    for row in management.find(*path) or []:
        if binding_key(binding_of(row)) == wanted:
            yield row
