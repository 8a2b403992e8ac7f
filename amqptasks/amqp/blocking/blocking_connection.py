"""A blocking connection that waits only so long, and what else leans on private parts of pika's blocking side; those of
its other side are in `amqp/wire/pika_internals.py`. `tests/unit/amqp/test_pika_internals.py` fails when pika changes
one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pika import BlockingConnection, ConnectionParameters, spec
from pika.adapters.blocking_connection import BlockingChannel
from pika.amqp_object import Method
from pika.channel import Channel

from amqptasks.amqp.wire.pika_internals import TolerantConnection, watched_descriptors
from amqptasks.runtime import forks
from amqptasks.runtime.clock import monotonic

#: What the broker answers to the requests of `ask_all`.
_ANSWERS = (
    spec.Exchange.DeclareOk,
    spec.Exchange.BindOk,
    spec.Queue.DeclareOk,
    spec.Queue.BindOk,
    spec.Queue.UnbindOk,
)


class TimedOut(Exception):
    """The broker did not answer in time."""


class BoundedConnection(BlockingConnection):
    """Waits at most `seconds` for an answer, then raises `TimedOut`; pika waits for ever, and has no call to limit it.

    All waiting for answers goes through `_flush_output`: it returns when one of `waiters` is true.
    """

    seconds = 10.0

    def __init__(self, wanted: ConnectionParameters) -> None:
        super().__init__(wanted, _impl_class=TolerantConnection)  # type: ignore[arg-type]
        forks.in_child(self._let_go)

    def abandon(self) -> None:
        """Disconnect without a goodbye, from a broker that does not answer one, and free the sockets."""
        if self._impl._transport is not None:
            self._impl._terminate_stream(TimedOut("no answer to the goodbye"))
            while not self._closed_result.ready:  # needs no answer: the loop only has to turn
                self._impl.ioloop.poll()
                self._impl.ioloop.process_timeouts()
        self._cleanup()

    def _let_go(self) -> None:
        """In a forked child. Its copy would keep the connection of a dead parent."""
        forks.let_go(watched_descriptors(self._impl.ioloop))

    def _flush_output(self, *waiters: Callable[[], bool]) -> None:
        deadline = monotonic() + self.seconds
        timer = self.call_later(self.seconds, _wake)
        try:
            super()._flush_output(*waiters, lambda: monotonic() >= deadline)
        finally:
            if self.is_open:
                self.remove_timeout(timer)
        if waiters and not any(ready() for ready in waiters):
            raise TimedOut


def server_properties(connection: BlockingConnection) -> dict[str, object]:
    """What the broker said of itself when we connected."""
    return dict(connection._impl.server_properties or {})


def channel_below(channel: BlockingChannel) -> Channel:
    """The channel that does not wait for answers, and hears why the broker closed it."""
    below: Channel = channel._impl
    return below


def ask_all(channel: BlockingChannel, requests: Sequence[Method]) -> None:
    """Send all of these, of which the broker answers each in turn, then wait until it has; pika waits for one answer
    before it sends the next request. Raises `ChannelClosedByBroker`, and `TimedOut`."""
    below = channel_below(channel)
    left = len(requests)

    def answered(_frame: object) -> None:
        nonlocal left
        left -= 1

    for answer in _ANSWERS:
        below.callbacks.add(below.channel_number, answer, answered, one_shot=False)
    try:
        for request in requests:
            below._send_method(request)
        channel._flush_output(lambda: left <= 0)
    finally:
        for answer in _ANSWERS:
            below.callbacks.remove(below.channel_number, answer, answered)


def _wake() -> None:
    """A timer's callback: that the loop turned is all that was wanted."""
