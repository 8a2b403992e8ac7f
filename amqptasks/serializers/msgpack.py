"""MessagePack (https://msgpack.org), as kombu writes it: small, and bytes stay bytes. Plain data only: what it does not
have (datetime, Decimal, UUID) is refused where it is sent."""

from __future__ import annotations

from enum import Enum
from typing import Any

import msgpack

from amqptasks.serializers import Serializer, Undecodable
from amqptasks.untrusted.bounds import MOST_VALUES


def encode(value: object) -> bytes:
    data: bytes = msgpack.packb(value, use_bin_type=True, default=_value)
    return data


def _value(value: object) -> object:
    """What msgpack asks for a type that it does not have."""
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"a {type(value).__qualname__} cannot be sent as MessagePack")


def decode(data: bytes) -> Any:
    # Keys that are no text: a Python producer may send them, and they do no harm.
    if len(data) <= MOST_VALUES:  # a value has a byte at least
        return msgpack.unpackb(data, raw=False, strict_map_key=False)
    count = 0

    def counted(value: Any) -> Any:
        nonlocal count
        count += len(value) * (2 if isinstance(value, dict) else 1) + 1
        if count > MOST_VALUES:
            raise Undecodable(f"has more than {MOST_VALUES} values")
        return value

    return msgpack.unpackb(
        data,
        raw=False,
        strict_map_key=False,
        list_hook=counted,
        object_hook=counted,
        max_array_len=MOST_VALUES,
        max_map_len=MOST_VALUES // 2,
    )


SERIALIZER = Serializer("msgpack", encode, decode, "application/x-msgpack", "binary")
