"""The link to RabbitMQ: one thread, one loop, two connections.

Publishing and consuming never share a connection: RabbitMQ stops reading from a connection that publishes when it is
short of memory or disk, and acks must still get through then.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections import deque
from collections.abc import Callable, Sequence

from pika.adapters.select_connection import IOLoop

from amqptasks import forks
from amqptasks.amqp.bell import Bell
from amqptasks.amqp.connection import Connection
from amqptasks.amqp.first import FirstSubscription
from amqptasks.amqp.getting import Getting
from amqptasks.amqp.outbox import Outbox
from amqptasks.amqp.pika_internals import new_loop, watched_descriptors
from amqptasks.amqp.quiet import quietly
from amqptasks.amqp.stream import StreamSubscription
from amqptasks.amqp.subscription import Subscription
from amqptasks.amqp.temporary import TemporarySubscription
from amqptasks.capabilities import Capabilities
from amqptasks.clock import monotonic
from amqptasks.errors import BrokerError, BrokerUnreachable
from amqptasks.incoming import Delivery
from amqptasks.log_queue import get_logger, never_wait
from amqptasks.outgoing import Outgoing
from amqptasks.transport import STOPPED, Done, Got, Listener, StreamOffset, is_taken

logger = get_logger(__name__)

#: Seconds between two looks whether everything is closed while stopping.
STOP_POLL = 0.02

RING = Bell.RING


class LoopTimer:
    """A pending `call_later`."""

    def __init__(self, loop: IOLoop, delay: float, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._handle = loop.call_later(delay, callback)

    def cancel(self) -> None:
        self._loop.remove_timeout(self._handle)


class Link:
    """See `transport.Link`. `urls` are tried in turn; `tls` is the context for `amqps` addresses."""

    def __init__(self, urls: Sequence[str], *, tls: ssl.SSLContext | None = None) -> None:
        self._loop = new_loop()
        self._thread = threading.Thread(target=self._run, name="amqptasks-link", daemon=True)
        self._calls: deque[Callable[[], None]] = deque()
        self._bell = Bell()
        self._ring = self._bell.ring
        self._awake = False
        self._closing = False
        self._over = False
        self._subscriptions: list[Subscription] = []
        self._publishing = Connection(
            self._loop, urls, role="publish", tls=tls, opened=self._publishing_opened, closed=self._publishing_closed
        )
        self._consuming = Connection(
            self._loop, urls, role="consume", tls=tls, opened=self._consuming_opened, closed=self._consuming_closed
        )
        self._outbox = Outbox(self._loop, self._publishing)
        self._getting: dict[str, Getting] = {}
        forks.in_child(self._let_go)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float) -> None:
        deadline = monotonic() + timeout
        if self._thread.is_alive():
            self.call_soon(lambda: self._drain(deadline))
            self._thread.join(timeout + 1.0)

    def call_soon(self, callback: Callable[[], None]) -> bool:
        self._calls.append(callback)
        if not self._awake:
            # Two steps of which the second follows for certain: between them no Python function begins, where the
            # handler of a signal could run, and raise.
            try:
                self._awake = True
                self._ring(RING)
            except OSError:  # it rings already, or the link was stopped
                pass
        return not self._over or is_taken(self._calls, callback)

    def call_later(self, delay: float, callback: Callable[[], None]) -> LoopTimer:
        return LoopTimer(self._loop, delay, callback)

    def publish(self, outgoing: Outgoing, done: Done, timeout: float) -> None:
        if self._closing:
            done(BrokerUnreachable(STOPPED))
        else:
            self._outbox.publish(outgoing, done, timeout)

    def subscribe(
        self, queue: str, prefetch: int, listener: Listener, *, patience: float | None = None
    ) -> Subscription:
        return self._consume(Subscription(self._loop, self._consuming, queue, prefetch, listener, patience))

    def subscribe_first(self, queue: str, prefetch: int, listener: Listener) -> Subscription:
        """As `subscribe`, and the broker gives to us what it can before it gives anything to others."""
        return self._consume(FirstSubscription(self._loop, self._consuming, queue, prefetch, listener))

    def get(self, queue: str, done: Got) -> None:
        self._consuming.open()
        getting = self._getting.get(queue)
        if getting is None:
            getting = self._getting[queue] = Getting(self._loop, self._consuming, queue)
        getting.get(done)

    def listen(self, prefix: str, bindings: Sequence[tuple[str, str]], listener: Listener) -> Subscription:
        return self._consume(TemporarySubscription(self._loop, self._consuming, prefix, bindings, listener))

    def read_stream(self, queue: str, offset: StreamOffset, prefetch: int, listener: Listener) -> Subscription:
        return self._consume(StreamSubscription(self._loop, self._consuming, queue, offset, prefetch, listener))

    def watch(self, descriptor: int, readable: Callable[[], None]) -> None:
        """See `transport.Watching`."""

        def call(_descriptor: int, _events: int) -> None:
            try:
                readable()
            except Exception:  # as in `_run_calls`
                logger.exception("a callback of the link failed; going on")

        self._loop.add_handler(descriptor, call, IOLoop.READ)

    def unwatch(self, descriptor: int) -> None:
        """See `transport.Watching`."""
        self._loop.remove_handler(descriptor)

    def receive_replies(self, reply: Callable[[Delivery], None], lost: Callable[[str], None]) -> None:
        self.call_soon(lambda: self._outbox.replies(reply, lost))

    @property
    def capabilities(self) -> Capabilities | None:
        return self._publishing.capabilities or self._consuming.capabilities

    @property
    def trouble(self) -> str | None:
        trouble = self._consuming.trouble or self._publishing.trouble
        return str(trouble) if trouble is not None else None

    def _consume(self, subscription: Subscription) -> Subscription:
        # Those of a caller who asks now and then would pile up.
        self._subscriptions = [one for one in self._subscriptions if not one.is_closed]
        self._subscriptions.append(subscription)
        self._consuming.open()
        subscription.start()
        return subscription

    def _let_go(self) -> None:
        """In a forked child, which has no thread for this. Its copies would keep the connections of a dead parent."""
        forks.let_go(watched_descriptors(self._loop))

    def _run(self) -> None:
        never_wait()
        self._loop.add_handler(self._bell.descriptor, self._rung, IOLoop.READ)
        while True:
            try:
                with quietly():
                    self._loop.start()
                break
            except Exception:  # one broken callback must not end every connection of the process
                logger.exception("a callback of the link failed; going on")
        self._over = True  # and only then what was handed over before: what comes now is told that it does not run
        while self._calls:
            with contextlib.suppress(IndexError):  # one was just taken back by who handed it over
                self._run_calls()
        self._outbox.fail(BrokerUnreachable(STOPPED))
        self._loop.close()
        self._bell.close()

    def _rung(self, _descriptor: int, _events: int) -> None:
        self._bell.hear()
        self._run_calls()

    def _run_calls(self) -> None:
        self._awake = False
        for _ in range(len(self._calls)):
            callback = self._calls.popleft()
            try:
                callback()
            except Exception:  # the others were asked for by somebody else
                logger.exception("a callback of the link failed; going on")

    def _publishing_opened(self) -> None:
        self._outbox.connection_opened()

    def _publishing_closed(self, error: BrokerError) -> None:
        self._outbox.connection_closed(error)
        logger.debug("publishing connection: %s", error)

    def _consuming_opened(self) -> None:
        for subscription in self._subscriptions:
            subscription.start()

    def _consuming_closed(self, error: BrokerError) -> None:
        for subscription in self._subscriptions:
            subscription.connection_closed()
        for getting in self._getting.values():
            getting.connection_closed(error)
        logger.debug("consuming connection: %s", error)

    def _drain(self, deadline: float) -> None:
        """First everything is published, then the channels close, then the connections, then the loop ends."""
        if not self._outbox.is_empty and monotonic() < deadline:
            self._loop.call_later(STOP_POLL, lambda: self._drain(deadline))
        else:
            # Not at once: what the last confirm allowed to be acked is written at the end of this turn.
            self._loop.call_later(STOP_POLL, lambda: self._abandon(deadline))

    def _abandon(self, deadline: float) -> None:
        self._closing = True
        for subscription in self._subscriptions:
            subscription.abandon()
        self._close(deadline)

    def _close(self, deadline: float) -> None:
        self._consuming.close()
        self._publishing.close()
        if not (self._consuming.is_gone and self._publishing.is_gone) and monotonic() < deadline:
            self._loop.call_later(STOP_POLL, lambda: self._close(deadline))
            return
        self._consuming.abort()
        self._publishing.abort()
        self._loop.call_later(STOP_POLL, self._loop.stop)  # a socket is closed a turn later
