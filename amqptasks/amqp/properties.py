"""Our message properties to pika's and back. All fourteen are one header frame on the wire (AMQP 0-9-1, 4.2.6.1)."""

from __future__ import annotations

from pika import BasicProperties

from amqptasks.amqp.tables import encode_properties
from amqptasks.transport import Properties


class EncodedProperties(BasicProperties):
    """Properties for pika's `basic_publish`, encoded by us: of a header frame's properties pika calls only this."""

    def __init__(self, properties: Properties) -> None:  # nothing of the base's attributes is ever read
        self._encoded = encode_properties(properties)

    def encode(self) -> list[bytes]:
        return [self._encoded]


def from_pika(properties: BasicProperties) -> Properties:
    return Properties(
        properties.content_type,
        properties.content_encoding,
        properties.headers,
        properties.delivery_mode,
        properties.priority,
        properties.correlation_id,
        properties.reply_to,
        properties.expiration,
        properties.message_id,
        properties.timestamp,
        properties.type,
        properties.user_id,
        properties.app_id,
    )
