"""What is around queues, as the file says it: exchanges, policies, users, the virtual host."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from amqptasks.topology import durations
from amqptasks.topology.broker.identity import without_undefined
from amqptasks.topology.broker.observed import Observed, ObservedUser
from amqptasks.topology.export.queue import bindings_of
from amqptasks.topology.model.exchange import ARGUMENTS
from amqptasks.topology.model.policy import TIMES, DefinitionPart, rabbitmq_name
from amqptasks.topology.topology import Role
from amqptasks.transport.entities import Binding, Exchange, Limit, Permission, Policy, TopicPermission

#: RabbitMQ's names in a policy, and the key of the file for each.
_POLICY_KEYS = {rabbitmq_name(key): key for key in DefinitionPart.model_fields if key != "arguments"}

#: The same for the arguments of special exchange types.
_EXCHANGE_KEYS = {argument: key for key, (argument, _) in ARGUMENTS.items()}

#: What a virtual host is of where nobody said so.
_USUAL_TYPE = "classic"


def exchange(found: Exchange, bindings: Iterable[Binding], types: Mapping[str, str]) -> dict[str, Any]:
    """`bindings` are those that lead to it, `types` those of the exchanges."""
    keys: dict[str, Any] = {} if found.type == "direct" else {"type": found.type}
    keys |= {} if found.durable else {"durable": False}
    keys |= {"auto_delete": True} if found.auto_delete else {}
    keys |= {"internal": True} if found.internal else {}
    arguments = without_undefined(dict(found.arguments))
    if "alternate-exchange" in arguments:
        keys["alternate_exchange"] = arguments.pop("alternate-exchange")
    for name in [name for name in arguments if name in _EXCHANGE_KEYS]:
        keys[_EXCHANGE_KEYS[name]] = arguments.pop(name)
    keys |= {"arguments": arguments} if arguments else {}
    return keys | bindings_of(bindings, found.name, types)


def policy(found: Policy) -> dict[str, Any]:
    keys: dict[str, Any] = {"pattern": found.pattern}
    if found.apply_to != ("queues" if found.operator else "all"):
        keys["apply_to"] = found.apply_to
    if found.priority:
        keys["priority"] = found.priority
    definition: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for name, value in found.definition.items():
        key = _POLICY_KEYS.get(name)
        if key is None:
            rest[name] = value
        elif key in TIMES and isinstance(value, int):
            definition[key] = durations.exact(value / 1000)
        else:
            definition[key] = value
    return keys | {"definition": definition | ({"arguments": rest} if rest else {})}


def user(
    found: ObservedUser,
    password: str,
    role: Role | None,
    permission: Permission | None,
    topics: Iterable[TopicPermission],
    limits: Iterable[Limit],
) -> dict[str, Any]:
    """`role` in place of the permissions, where it gives just these; `password` is the variable for it."""
    keys: dict[str, Any] = {"password_from": password} if found.password_hash else {}
    if role is not None:
        keys["role"] = role
    elif permission is not None:
        rights = {"configure": permission.configure, "write": permission.write, "read": permission.read}
        keys["permissions"] = {key: expression for key, expression in rights.items() if expression}
    if found.user.tags:
        keys["tags"] = list(found.user.tags)
    on = {one.exchange: {"write": one.write, "read": one.read} for one in topics}
    if on and role is None:
        keys["topic_permissions"] = {
            name: {key: text for key, text in rights.items() if text} for name, rights in on.items()
        }
    bounds = {limit.name.replace("-", "_"): limit.value for limit in limits}
    return keys | ({"limits": bounds} if bounds else {})


def variables(users: Iterable[str]) -> dict[str, str]:
    """By user, the environment variable for its password: none for two of them."""
    found: dict[str, str] = {}
    for user in sorted(users):
        name = f"{re.sub('[^A-Z0-9]+', '_', user.upper()).strip('_') or 'USER'}_PASSWORD".lstrip("0123456789")
        number = 2
        variable = name
        while variable in found.values():
            variable, number = f"{name}_{number}", number + 1
        found[user] = variable
    return found


def virtual_host(observed: Observed) -> dict[str, Any]:
    """Without its name."""
    settings = observed.settings
    keys: dict[str, Any] = {}
    if settings is not None:
        keys |= {"description": settings.description} if settings.description else {}
        keys |= {"tags": list(settings.tags)} if settings.tags else {}
        if settings.default_queue_type not in (None, _USUAL_TYPE):
            keys["default_queue_type"] = settings.default_queue_type
    limits = {limit.name.replace("-", "_"): limit.value for limit in observed.limits if limit.user is None}
    return keys | ({"limits": limits} if limits else {})
