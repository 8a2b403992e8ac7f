"""The properties of a message, the same for every transport."""

from __future__ import annotations

from dataclasses import dataclass

Headers = dict[str, object]

#: The pseudo queue of RabbitMQ's direct reply-to: a reply goes straight to the channel that asked.
#: https://www.rabbitmq.com/docs/direct-reply-to
REPLY_TO = "amq.rabbitmq.reply-to"

#: AMQP's delivery mode 2: the message survives a restart of the broker (in a durable queue).
PERSISTENT = 2


@dataclass(slots=True)
class Properties:
    """The properties of AMQP 0-9-1's basic class, names as in the specification. None means: not sent.

    `expiration` is a string of milliseconds, `timestamp` seconds since 1970.
    """

    content_type: str | None = None
    content_encoding: str | None = None
    headers: Headers | None = None
    delivery_mode: int | None = PERSISTENT
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    message_id: str | None = None
    timestamp: int | None = None
    type: str | None = None
    user_id: str | None = None
    app_id: str | None = None

    def identified(self, identity: str) -> Properties:
        """The same, with headers of their own, for a message with another id: header `id` and correlation id."""
        return Properties(
            self.content_type,
            self.content_encoding,
            {**(self.headers or {}), "id": identity},
            self.delivery_mode,
            self.priority,
            identity,
            self.reply_to,
            self.expiration,
            self.message_id,
            self.timestamp,
            self.type,
            self.user_id,
            self.app_id,
        )
