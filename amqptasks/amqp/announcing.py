"""One message without a body over a connection of its own, which is closed again: for an alarm.

RabbitMQ stops reading from a connection that publishes in an alarm, but only behind the header of its first message. So
a message without a body gets through. `tests/integration/test_alarms.py` fails when a release changes that.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence

from amqptasks.amqp.connection import Connection
from amqptasks.amqp.loop import Loop
from amqptasks.amqp.wire.pika_internals import WireChannel
from amqptasks.errors import BrokerError
from amqptasks.messages.outgoing import Outgoing

#: Seconds between the message and the goodbye: the broker has read it by then.
LINGER = 0.5


class Announcing:
    """Lives on the link's loop."""

    def __init__(self, loop: Loop, urls: Sequence[str], tls: ssl.SSLContext | None, message: Outgoing) -> None:
        self._loop = loop
        self._message = message
        self._connection = Connection(loop, urls, role="publish", tls=tls, opened=self._opened, closed=self._closed)

    def start(self) -> None:
        self._connection.open()

    def close(self) -> None:
        """Nobody waits for it any longer."""
        self._connection.close()
        self._connection.abort()  # in an alarm the broker does not read the goodbye

    def _opened(self) -> None:
        self._connection.channel(self._on_channel)

    def _closed(self, _error: BrokerError) -> None:
        self._connection.close()  # one try: whoever listens is not told, and waits

    def _on_channel(self, channel: WireChannel) -> None:
        channel.publish(self._message)
        self._loop.call_later(LINGER, self.close)
