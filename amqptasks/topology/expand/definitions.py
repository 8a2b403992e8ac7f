"""RabbitMQ's own file of definitions, as `rabbitmqctl import_definitions` and the management API take it.

https://www.rabbitmq.com/docs/definitions. An import adds what is missing and replaces policies and users; a queue or
exchange that exists stays as it is, without a word.
"""

from __future__ import annotations

import secrets
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from amqptasks.topology.expand.expand import Objects
from amqptasks.transport.capabilities import Capabilities
from amqptasks.transport.entities import Policy, User, VirtualHost

#: Bytes before the password that make two hashes of one password differ: https://www.rabbitmq.com/docs/passwords.
_SALT = 4


@dataclass(frozen=True, slots=True)
class Definitions:
    """`document` becomes the JSON; `without_password` names users whose variable is not set: nobody can log in as one
    of them until it has a password."""

    document: Mapping[str, Any]
    without_password: tuple[str, ...]


def definitions(
    objects: Objects, vhost: str, capabilities: Capabilities, environment: Mapping[str, str]
) -> Definitions:
    """The objects as definitions for the virtual host `vhost`, which is among them. Passwords come from `environment`,
    and are hashed."""
    unset = tuple(user.name for user in objects.users if user.password and user.password not in environment)
    of_users = [limit for limit in objects.limits if limit.user is not None]
    document = {
        "users": [
            _user(user, environment)
            | {"limits": {limit.name: limit.value for limit in of_users if limit.user == user.name}}
            for user in objects.users
        ],
        "vhosts": [_vhost(vhost, objects.vhost or VirtualHost(), capabilities)],
        "permissions": [
            {"user": one.user, "vhost": vhost, "configure": one.configure, "write": one.write, "read": one.read}
            for one in objects.permissions
        ],
        "topic_permissions": [
            {"user": one.user, "vhost": vhost, "exchange": one.exchange, "write": one.write, "read": one.read}
            for one in objects.topic_permissions
        ],
        "parameters": list(_parameters(objects, vhost)),
        "policies": [
            {"vhost": vhost, "name": one.name, **_policy(one)} for one in objects.policies if not one.operator
        ],
        "queues": [
            {
                "name": one.name,
                "vhost": vhost,
                "durable": one.durable,
                "auto_delete": one.auto_delete,
                "arguments": dict(one.arguments),
            }
            for one in objects.queues
        ],
        "exchanges": [
            {
                "name": one.name,
                "vhost": vhost,
                "type": one.type,
                "durable": one.durable,
                "auto_delete": one.auto_delete,
                "internal": one.internal,
                "arguments": dict(one.arguments),
            }
            for one in objects.exchanges
        ],
        "bindings": [
            {
                "source": one.source,
                "vhost": vhost,
                "destination": one.destination,
                "destination_type": one.destination_type,
                "routing_key": one.routing_key,
                "arguments": dict(one.arguments),
            }
            for one in objects.bindings
        ],
    }
    return Definitions(document, unset)


def hashed(password: str, salt: bytes | None = None) -> str:
    """As RabbitMQ keeps it with `rabbit_password_hashing_sha256`: base64 of the salt and the hash of both."""
    salt = secrets.token_bytes(_SALT) if salt is None else salt
    return b64encode(salt + sha256(salt + password.encode()).digest()).decode()


def _user(user: User, environment: Mapping[str, str]) -> dict[str, Any]:
    """An empty hash lets nobody in by password."""
    password = environment.get(user.password) if user.password is not None else None
    return {
        "name": user.name,
        "password_hash": "" if password is None else hashed(password),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": ",".join(user.tags),  # text, because 3.10 wants it; newer releases take both
    }


def _vhost(name: str, settings: VirtualHost, capabilities: Capabilities) -> dict[str, Any]:
    metadata: dict[str, Any] = {"description": settings.description or "", "tags": list(settings.tags)}
    if settings.default_queue_type is not None and capabilities.default_queue_types:
        metadata["default_queue_type"] = settings.default_queue_type
    return {"name": name, **metadata, "metadata": metadata}


def _parameters(objects: Objects, vhost: str) -> Iterator[dict[str, Any]]:
    """Limits of the virtual host, and operator policies, are kept as these."""
    limits = {limit.name: limit.value for limit in objects.limits if limit.user is None}
    if limits:
        yield {"component": "vhost-limits", "name": "limits", "vhost": vhost, "value": limits}
    for policy in objects.policies:
        if policy.operator:
            yield {"component": "operator_policy", "name": policy.name, "vhost": vhost, "value": _policy(policy)}


def _policy(policy: Policy) -> dict[str, Any]:
    return {
        "pattern": policy.pattern,
        "apply-to": policy.apply_to,
        "priority": policy.priority,
        "definition": dict(policy.definition),
    }
