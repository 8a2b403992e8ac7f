"""A message on its way to the broker, and what is said of it in the end."""

from __future__ import annotations

from amqptasks.errors import BrokerError, Nacked, Unroutable
from amqptasks.messages.outgoing import QUEUES_EXCHANGE, Outgoing
from amqptasks.runtime.log_queue import get_logger
from amqptasks.transport import Done

logger = get_logger(__name__)

#: Exchanges that lead a message to one queue. Where that queue refuses a message, no queue has it; a refusal behind any
#: other exchange may be that of one queue among several.
TO_ONE_QUEUE = frozenset({"", QUEUES_EXCHANGE})


class PendingPublish:
    """One message, until its `done` was called. `deadline` is on the monotonic clock; `returned` says why the broker
    sent it back. `written` is True while a copy is on the wire that the broker has not answered. `in_doubt` is True
    once such an answer cannot come any more: the broker may have the message, whatever becomes of later copies."""

    __slots__ = ("deadline", "done", "in_doubt", "outgoing", "returned", "written")

    def __init__(self, outgoing: Outgoing, done: Done, deadline: float) -> None:
        self.outgoing = outgoing
        self.done: Done | None = done
        self.deadline = deadline
        self.returned: str | None = None
        self.in_doubt = False
        self.written = False

    @property
    def name(self) -> str | None:
        return self.outgoing.properties.correlation_id

    def confirm(self, acked: bool) -> None:
        """The broker has dealt with it."""
        self.written = False
        if acked and self.returned is None:
            self.finish(None)
        elif acked:
            outgoing = self.outgoing
            self.finish(
                Unroutable(
                    f"no queue takes routing key {outgoing.routing_key!r} of exchange {outgoing.exchange!r}"
                    f" ({self.returned}): declare the topology, or mend the route",
                    self.name,
                )
            )
        else:
            outgoing = self.outgoing
            self.in_doubt |= outgoing.exchange not in TO_ONE_QUEUE
            self.finish(
                Nacked(
                    f"a queue behind routing key {outgoing.routing_key!r} of exchange {outgoing.exchange!r} refused the"
                    " message: it is full, or has no leader now",
                    self.name,
                )
            )

    def lose_channel(self) -> None:
        """The channel is gone that the copy was written to: its answer will not come."""
        self.in_doubt |= self.written
        self.written = False

    def withdraw(self) -> bool:
        """Publish it no more; `done` is not called any more. True where no byte of it was written."""
        self.done = None
        return not self.in_doubt and not self.written

    def finish(self, error: BaseException | None) -> None:
        """With None, or with why it is not stored, as an error of this message alone."""
        done, self.done = self.done, None
        if done is not None:
            if isinstance(error, BrokerError):
                error = error.of_call(self.name or "", maybe_published=self.in_doubt or self.written)
            try:
                done(error)
            except Exception:  # within pika's loop it would end the connection, for everybody
                logger.exception("what followed the publishing of %s failed; going on", self.name)
