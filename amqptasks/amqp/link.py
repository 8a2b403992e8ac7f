"""The link to RabbitMQ: one thread, one loop, up to three connections, each opened when it is first needed.

Publishing and consuming never share a connection: RabbitMQ stops reading from a connection that publishes when it is
short of memory or disk, and acks must still get through then. Listening (remote control, live events, streams) has one
of its own: a node that was cut off from its cluster closes the connection over a queue or binding that it cannot write,
and over a consumer of a stream whose coordinator does not answer (541). With the consuming connection would go whatever
the worker runs.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Sequence

from amqptasks.amqp.announcing import Announcing
from amqptasks.amqp.blocking.basic_get import BasicGet
from amqptasks.amqp.blocking.consumer_priority import PrioritySubscription
from amqptasks.amqp.blocking.looking import Looking
from amqptasks.amqp.confirmed_publisher import ConfirmedPublisher
from amqptasks.amqp.connection import Connection
from amqptasks.amqp.exclusive_queue import ExclusiveSubscription
from amqptasks.amqp.failures.pika_logs import quietly
from amqptasks.amqp.loop import Loop, Timer
from amqptasks.amqp.pending_publish import PendingPublish
from amqptasks.amqp.refused_routes import RefusedRoutes
from amqptasks.amqp.stream import StreamSubscription
from amqptasks.amqp.subscription import Subscription
from amqptasks.errors import BrokerError, BrokerUnreachable, is_lasting
from amqptasks.messages.delivery import Delivery
from amqptasks.messages.outgoing import Outgoing
from amqptasks.runtime import forks
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger, never_wait
from amqptasks.transport import STOPPED, Done, Got, Heard, Listener, Looked, Publishing, StreamOffset
from amqptasks.transport.capabilities import Capabilities
from amqptasks.transport.guard import described

logger = get_logger(__name__)

#: Seconds between two looks whether everything is closed while stopping.
STOP_POLL = 0.02


class Link:
    """See `transport.Link`. `urls` are tried in turn; `tls` is the context for `amqps` addresses. `connect_timeout` is
    in seconds, for the TCP connections to all of them together, until one has worked."""

    def __init__(
        self, urls: Sequence[str], *, tls: ssl.SSLContext | None = None, connect_timeout: float | None = None
    ) -> None:
        self._loop = Loop()
        #: See `transport.Link`.
        self.call_soon: Callable[[Callable[[], object]], bool] = self._loop.call_soon
        self._thread = threading.Thread(target=self._run, name="amqptasks-link", daemon=True)
        self._closing = False
        self._closed = False
        self._broken: str | None = None
        self._tell: Callable[[str], None] | None = None
        self._subscriptions: list[Subscription] = []
        self._connecting: list[Heard] = []
        self._told: Heard | None = None
        self._urls, self._tls = urls, tls
        self._publishing = Connection(
            self._loop,
            urls,
            role="publish",
            tls=tls,
            opened=self._publishing_opened,
            closed=self._publishing_closed,
            connect_timeout=connect_timeout,
        )
        self._consuming = Connection(
            self._loop,
            urls,
            role="consume",
            tls=tls,
            opened=self._consuming_opened,
            closed=self._consuming_closed,
            connect_timeout=connect_timeout,
        )
        self._listening = Connection(
            self._loop,
            urls,
            role="listen",
            tls=tls,
            opened=self._listening_opened,
            closed=self._listening_closed,
            connect_timeout=connect_timeout,
        )
        self._listeners: list[Subscription] = []
        self._refused = RefusedRoutes(self._loop, self._publishing)
        self._publisher = ConfirmedPublisher(self._loop, self._publishing, self._refused.refused)
        self._getting: dict[str, BasicGet] = {}
        self._looking: list[Looking] = []
        forks.in_child(self._let_go)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float) -> None:
        deadline = monotonic() + timeout
        if self._thread.is_alive():
            self.call_soon(lambda: self._drain(deadline))
            self._thread.join(timeout + 1.0)

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        return self._loop.call_later(delay, callback)

    def when_broken(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    @property
    def broken(self) -> str | None:
        return self._broken

    def connect(self, heard: Heard) -> None:
        if self._closing:
            heard(BrokerUnreachable(self._broken or STOPPED))
        elif self._publishing.is_open:
            heard(None)
        else:
            self._connecting.append(heard)
            self._publishing.open()

    def watch_alarms(self, told: Callable[[str | None], None]) -> None:
        self._publisher.told_blocked = self._loop.guard.wrapped(told)

    def announce(self, messages: Sequence[Outgoing]) -> None:
        for message in messages:
            Announcing(self._loop, self._urls, self._tls, message).start()

    def watch_trouble(self, told: Heard) -> None:
        self._told = told

    def publish(self, outgoing: Outgoing, done: Done, timeout: float) -> Publishing:
        if not self._closing:
            if self._refused.routes and outgoing in self._refused:
                return self._refused.publish(outgoing, done, timeout, self._publisher.blocked)
            return self._publisher.publish(outgoing, done, timeout)
        entry = PendingPublish(outgoing, done, 0.0)
        entry.finish(BrokerUnreachable(self._broken or STOPPED))
        return entry

    def subscribe(
        self, queue: str, prefetch: int, listener: Listener, *, consumer_timeout: float | None = None
    ) -> Subscription:
        return self._consume(Subscription(self._loop, self._consuming, queue, prefetch, listener, consumer_timeout))

    def subscribe_first(self, queue: str, prefetch: int, listener: Listener) -> Subscription:
        """As `subscribe`, and the broker gives to us what it can before it gives anything to others."""
        return self._consume(PrioritySubscription(self._loop, self._consuming, queue, prefetch, listener))

    def get(self, queue: str, done: Got) -> None:
        self._consuming.open()
        getting = self._getting.get(queue)
        if getting is None:
            getting = self._getting[queue] = BasicGet(self._loop, self._consuming, queue)
        getting.get(done)

    def look_for(self, exchanges: Sequence[str], queues: Sequence[str], done: Looked) -> None:
        self._consuming.open()
        connection = self._consuming if self._consuming.is_open else self._listening
        looking = Looking(connection, exchanges, queues, done)
        self._looking = [one for one in self._looking if not one.is_over]
        self._looking.append(looking)
        self._loop.call_later(0, looking.start)

    def listen(self, prefix: str, bindings: Sequence[tuple[str, str]], listener: Listener) -> Subscription:
        return self._listen(ExclusiveSubscription(self._loop, self._listening, prefix, bindings, listener))

    def _listen(self, subscription: Subscription) -> Subscription:
        self._listeners = [one for one in self._listeners if not one.is_closed]
        self._listeners.append(subscription)
        self._listening.open()
        subscription.start()
        return subscription

    def read_stream(
        self, queue: str, offset: StreamOffset, prefetch: int, listener: Listener, filters: Sequence[str] = ()
    ) -> Subscription:
        return self._listen(StreamSubscription(self._loop, self._listening, queue, offset, prefetch, listener, filters))

    def read_elsewhere(self) -> bool:
        return self._listening.move()

    def watch(self, descriptor: int, readable: Callable[[], None]) -> None:
        """See `transport.Watching`."""

        self._loop.add_handler(descriptor, lambda _descriptor, _events: readable(), Loop.READ)

    def unwatch(self, descriptor: int) -> None:
        """See `transport.Watching`."""
        self._loop.remove_handler(descriptor)

    def receive_replies(self, reply: Callable[[Delivery], None], lost: Callable[[str], None]) -> None:
        self.call_soon(lambda: self._publisher.replies(reply, lost))

    @property
    def capabilities(self) -> Capabilities | None:
        return self._publishing.capabilities or self._consuming.capabilities

    @property
    def blocked(self) -> str | None:
        return self._publisher.blocked

    @property
    def trying_since(self) -> float | None:
        return self._publishing.tried_at

    @property
    def is_answered(self) -> bool:
        return self._publishing.is_answered

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
        forks.let_go(self._loop.descriptors)

    def _run(self) -> None:
        never_wait()
        try:
            with quietly():
                self._loop.start()
            why = None if self._closed else "its loop was stopped"
        except BaseException as error:  # only what keeps the loop itself from going on comes here
            why = described(error)
        if why is not None:
            self._break(why)
        self._loop.finish()
        self._publisher.take(self._refused.connection_closed())
        self._publisher.fail(BrokerUnreachable(self._broken or STOPPED))
        self._loop.close()

    def _break(self, why: str) -> None:
        """Nobody reads and writes any more: the broker is to have its messages at once."""
        self._closing = True
        self._broken = f"the thread of the broker's connections has ended: {why}"
        if self._tell is not None:
            self._loop.guard.call(self._tell, self._broken)
        else:
            self._loop.guard.call(logger.error, "%s", self._broken)
        for connection in (self._consuming, self._listening, self._publishing):
            self._loop.guard.call(connection.cut)
        self._loop.guard.call(self._consuming_closed, BrokerUnreachable(self._broken))

    def _publishing_opened(self) -> None:
        self._publisher.connection_opened()
        self._refused.connection_opened()
        heard, self._connecting = self._connecting, []
        for hear in heard:
            self._loop.guard.wrapped(hear)(None)
        self._tell_trouble(None)

    def _publishing_closed(self, error: BrokerError) -> None:
        self._publisher.take(self._refused.connection_closed())
        self._publisher.connection_closed(error)
        logger.debug("publishing connection: %s", error)
        heard = list(self._connecting)
        if is_lasting(error):
            self._connecting = []
        for hear in heard:
            self._loop.guard.wrapped(hear)(error)
        if is_lasting(error) and self._publisher.is_empty and not self._connecting:
            self._publishing.rest()  # a broker that refuses a password counts how often it is asked
        self._tell_trouble(error)

    def _tell_trouble(self, error: BrokerError | None) -> None:
        """Of both connections one state: there is trouble until neither has any."""
        if self._told is not None:
            self._loop.guard.wrapped(self._told)(error or self._consuming.trouble or self._publishing.trouble)

    def _consuming_opened(self) -> None:
        self._tell_trouble(None)
        for subscription in self._subscriptions:
            self._loop.guard.wrapped(subscription.start)()

    def _consuming_closed(self, error: BrokerError) -> None:
        wrapped = self._loop.guard.wrapped
        for subscription in self._subscriptions:
            wrapped(subscription.connection_closed)()
        for getting in self._getting.values():
            wrapped(getting.connection_closed)(error)
        for looking in self._looking:
            wrapped(looking.connection_closed)(error)
        logger.debug("consuming connection: %s", error)
        self._tell_trouble(error)

    def _listening_opened(self) -> None:
        for subscription in self._listeners:
            self._loop.guard.wrapped(subscription.start)()

    def _listening_closed(self, error: BrokerError) -> None:
        for subscription in self._listeners:
            self._loop.guard.wrapped(subscription.connection_closed)()
        if not self._consuming.is_open:
            for looking in self._looking:
                self._loop.guard.wrapped(looking.connection_closed)(error)
        logger.debug("listening connection: %s", error)

    def _drain(self, deadline: float) -> None:
        """First everything is published, then the channels close, then the connections, then the loop ends."""
        if not (self._publisher.is_empty and self._refused.is_empty) and monotonic() < deadline:
            self._loop.call_later(STOP_POLL, lambda: self._drain(deadline))
        else:
            # Not at once: what the last confirm allowed to be acked is written at the end of this turn.
            self._loop.call_later(STOP_POLL, lambda: self._abandon(deadline))

    def _abandon(self, deadline: float) -> None:
        self._closing = True
        for subscription in (*self._subscriptions, *self._listeners):
            subscription.abandon()
        self._close(deadline)

    def _close(self, deadline: float) -> None:
        connections = (self._consuming, self._listening, self._publishing)
        for connection in connections:
            connection.close()
        if not all(connection.is_gone for connection in connections) and monotonic() < deadline:
            self._loop.call_later(STOP_POLL, lambda: self._close(deadline))
            return
        for connection in connections:
            connection.abort()
        self._loop.call_later(STOP_POLL, self._end)  # a socket is closed a turn later

    def _end(self) -> None:
        self._closed = True
        self._loop.stop()
