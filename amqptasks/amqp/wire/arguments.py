"""The arguments of methods (queue.declare, queue.bind, basic.consume and the like), encoded as headers are.

pika's own encoder knows no floating-point numbers, which other clients use in bindings of headers exchanges.
"""

from __future__ import annotations

from typing import Any

from pika.amqp_object import Method

from amqptasks.amqp.wire.tables import table

#: The field table of no fields: how a method without arguments ends.
NO_ARGUMENTS = b"\x00\x00\x00\x00"


class WithArguments(Method):
    """A method of pika's whose `arguments`, its last field, are encoded here. Raises `ValueError` for what AMQP cannot
    carry, with the name of the argument."""

    def __init__(self, method: Any) -> None:
        self._arguments = dict(method.arguments)
        self.INDEX = method.INDEX
        self.NAME = method.NAME
        method.arguments = {}
        self._method = method

    def encode(self) -> list[bytes]:
        pieces: list[bytes] = self._method.encode()
        fields = b"".join(pieces)
        assert fields.endswith(NO_ARGUMENTS)
        return [fields.removesuffix(NO_ARGUMENTS), table(self._arguments)]


def with_arguments(method: Method) -> Method:
    """The method as it is sent: the same one where it has no arguments."""
    return WithArguments(method) if getattr(method, "arguments", None) else method
