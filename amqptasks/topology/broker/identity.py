"""What makes two objects of a broker the same one, and what people call them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from amqptasks.transport.entities import Binding

#: What the management API writes for a void.
UNDEFINED = "undefined"

#: A binding's place among others: source, destination, its type, routing key and the arguments in one spelling.
BindingKey = tuple[str, str, str, str, str]


def binding_key(binding: Binding) -> BindingKey:
    """Two bindings with the same key are one to people. To the broker they are two where the types of numbers differ,
    and where one has a void and the other the text "undefined", which the management API does not tell apart."""
    return (
        binding.source,
        binding.destination,
        binding.destination_type,
        binding.routing_key,
        spelled(without_undefined(binding.arguments)),
    )


def without_undefined(value: Any) -> Any:
    """The management API writes `undefined`, as a text, for a value that is void; nobody means that text."""
    if isinstance(value, Mapping):
        return {key: without_undefined(one) for key, one in value.items()} if value else value
    if isinstance(value, list | tuple):
        return [without_undefined(one) for one in value]
    return None if value == UNDEFINED else value


#: Made once: `json.dumps` makes a new one for each value, of which a large plan has tens of thousands.
_SPELLER = json.JSONEncoder(sort_keys=True, default=str, ensure_ascii=False)


def spelled(value: object) -> str:
    """One text for equal values; unlike `==`, it keeps true and 1 apart, and it does not mind the order of keys."""
    if isinstance(value, Mapping) and not value:
        return ""
    return _SPELLER.encode(value)


def binding_name(binding: Binding) -> str:
    """`tasks -> emails [email.#]`; an exchange as the destination is said to be one."""
    to = "exchange " if binding.destination_type == "exchange" else ""
    key = f" [{binding.routing_key}]" if binding.routing_key else ""
    arguments = f" {spelled(binding.arguments)}" if binding.arguments else ""
    return f"{binding.source} -> {to}{binding.destination}{key}{arguments}"


def limit_name(name: str, user: str | None) -> str:
    """`max-queues` of the virtual host, `max-channels of ann`."""
    return name if user is None else f"{name} of {user}"


def topic_permission_name(user: str, exchange: str) -> str:
    return f"{user} on {exchange}"
