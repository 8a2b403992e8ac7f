"""A blocking connection that waits only so long. Leans on a private method of pika, as `pika_internals.py` does."""

from __future__ import annotations

import time
from collections.abc import Callable

from pika import BlockingConnection, ConnectionParameters

from amqptasks.amqp.pika_internals import TolerantConnection


class TimedOut(Exception):
    """The broker did not answer in time."""


class BoundedConnection(BlockingConnection):
    """Waits at most `seconds` for an answer, then raises `TimedOut`; pika waits for ever, and has no call to limit it.

    All waiting for answers goes through `_flush_output`: it returns when one of `waiters` is true.
    """

    seconds = 10.0

    def __init__(self, wanted: ConnectionParameters) -> None:
        super().__init__(wanted, _impl_class=TolerantConnection)  # type: ignore[arg-type]

    @property
    def server_properties(self) -> dict[str, object]:
        """What the broker said of itself when we connected."""
        return dict(self._impl.server_properties or {})

    def abandon(self) -> None:
        """Disconnect without a goodbye, from a broker that does not answer one, and free the sockets."""
        if self._impl._transport is not None:
            self._impl._terminate_stream(TimedOut("no answer to the goodbye"))
            while not self._closed_result.ready:  # needs no answer: the loop only has to turn
                self._impl.ioloop.poll()
                self._impl.ioloop.process_timeouts()
        self._cleanup()

    def _flush_output(self, *waiters: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self.seconds
        timer = self.call_later(self.seconds, _wake)
        try:
            super()._flush_output(*waiters, lambda: time.monotonic() >= deadline)
        finally:
            if self.is_open:
                self.remove_timeout(timer)
        if waiters and not any(ready() for ready in waiters):
            raise TimedOut


def _wake() -> None:
    """A timer's callback: that the loop turned is all that was wanted."""
