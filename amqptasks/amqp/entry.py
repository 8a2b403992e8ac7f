"""A message on its way to the broker, and what is said of it in the end."""

from __future__ import annotations

from amqptasks.errors import Nacked, Unroutable
from amqptasks.log_queue import get_logger
from amqptasks.outgoing import Outgoing
from amqptasks.transport import Done

logger = get_logger(__name__)


class Entry:
    """One message, until its `done` was called. `deadline` is on the monotonic clock; `returned` says why the broker
    sent it back."""

    __slots__ = ("deadline", "done", "outgoing", "returned")

    def __init__(self, outgoing: Outgoing, done: Done, deadline: float) -> None:
        self.outgoing = outgoing
        self.done: Done | None = done
        self.deadline = deadline
        self.returned: str | None = None

    @property
    def name(self) -> str | None:
        return self.outgoing.properties.correlation_id

    def confirm(self, acked: bool) -> None:
        """The broker has dealt with it."""
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
            self.finish(
                Nacked(
                    f"a queue behind routing key {outgoing.routing_key!r} of exchange {outgoing.exchange!r} refused the"
                    " message: it is full, or has no leader now",
                    self.name,
                )
            )

    def finish(self, error: BaseException | None) -> None:
        """With None, or with why it is not stored."""
        done, self.done = self.done, None
        if done is not None:
            try:
                done(error)
            except Exception:  # within pika's loop it would end the connection, for everybody
                logger.exception("what followed the publishing of %s failed; going on", self.name)
