"""Our message properties as pika takes them. All fourteen are one header frame on the wire (AMQP 0-9-1, 4.2.6.1)."""

from __future__ import annotations

from pika import BasicProperties

from amqptasks.amqp.wire.tables import encode_properties
from amqptasks.messages.properties import Properties


class EncodedProperties(BasicProperties):
    """Properties for pika's `basic_publish`, encoded by us: of a header frame's properties pika calls only this."""

    def __init__(self, properties: Properties) -> None:  # nothing of the base's attributes is ever read
        self._encoded = encode_properties(properties)

    def encode(self) -> list[bytes]:
        return [self._encoded]


class ReceivedProperties(BasicProperties):
    """`ours` as pika carries them to us: it asks only that their class be this one's base."""

    def __init__(self, ours: Properties) -> None:
        self.ours = ours
