"""Which exchanges and queues are missing on the broker: passive declares on a channel that lives only for that.

All are written at once, without a wish for an answer to each; the answer to the last says that all are there. Where one
is missing the broker closes the channel and names it, and another channel asks for the rest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from pika import exceptions
from pika.channel import Channel

from amqptasks.amqp.connection import Connection
from amqptasks.amqp.wire.pika_internals import WireChannel
from amqptasks.errors import BrokerError, BrokerUnreachable
from amqptasks.transport import Looked, Missing

Kind = Literal["exchange", "queue"]

#: `NOT_FOUND - no queue 'q' in vhost '/'`, `ACCESS_REFUSED - ... access to exchange 'e' in vhost '/' refused ...`; the
#: same words from 3.10 to 4.3.
_NAMED = re.compile(r"(?P<kind>queue|exchange) '(?P<name>[^']*)'")


class Looking:
    """See `transport.Link.look_for`. Lives on the link's loop."""

    def __init__(self, connection: Connection, exchanges: Sequence[str], queues: Sequence[str], done: Looked) -> None:
        self._connection = connection
        self._left: list[tuple[Kind, str]] = [
            *(("exchange", name) for name in exchanges),
            *(("queue", name) for name in queues),
        ]
        self._done: Looked | None = done
        self._missing: list[tuple[Kind, str]] = []
        self._messages: int | None = None
        self._channel: WireChannel | None = None

    @property
    def is_over(self) -> bool:
        """It has answered."""
        return self._done is None

    def start(self) -> None:
        """Ask for what is left to be asked for."""
        if not self._left:
            self._end()
        elif self._connection.is_open:
            self._connection.channel(self._on_channel)
        else:
            self._fail(BrokerUnreachable("there is no connection to the broker now"))

    def connection_closed(self, error: BrokerError) -> None:
        """Whoever asked asks again in time."""
        self._fail(error)

    def _on_channel(self, channel: WireChannel) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._on_channel_closed)
        for kind, name in self._left[:-1]:
            if kind == "exchange":
                channel.exchange_declare(name, passive=True)
            else:
                channel.queue_declare(name, passive=True)
        kind, name = self._left[-1]
        if kind == "exchange":
            channel.exchange_declare(name, passive=True, callback=self._on_last)
        else:
            channel.queue_declare(name, passive=True, callback=self._on_last)

    def _on_last(self, frame: Any) -> None:
        self._messages = getattr(frame.method, "message_count", None)
        channel, self._channel = self._channel, None
        if channel is not None and channel.is_open:
            channel.close()
        self._end()

    def _on_channel_closed(self, channel: Channel, reason: Exception) -> None:
        if channel is not self._channel:
            return
        self._channel = None
        named = self._named(reason)
        if named is None:
            self._fail(BrokerError(str(reason)))
            return
        kind, name = self._left[named]
        text = reason.reply_text if isinstance(reason, exceptions.ChannelClosedByBroker) else ""
        if f"no {kind} '" in text:  # not one whose node is down, nor one that this user may not look at
            self._missing.append((kind, name))
        del self._left[: named + 1]  # the broker answers in order: those before it are there
        if self._connection.is_open:
            self.start()
        else:
            self._fail(BrokerUnreachable("the connection broke"))

    def _named(self, reason: Exception) -> int | None:
        """The place in what is left of the one that the broker speaks of."""
        if isinstance(reason, exceptions.ChannelClosedByBroker):
            found = _NAMED.search(reason.reply_text)
            if found is not None:
                for place, (kind, name) in enumerate(self._left):
                    if kind == found["kind"] and name == found["name"]:
                        return place
        return None

    def _end(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            gone: dict[Kind, list[str]] = {"exchange": [], "queue": []}
            for kind, name in self._missing:
                gone[kind].append(name)
            done(Missing(tuple(gone["exchange"]), tuple(gone["queue"]), self._messages), None)

    def _fail(self, error: BrokerError) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(None, error)
