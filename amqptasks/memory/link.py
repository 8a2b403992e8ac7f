"""The link to a broker in this process: one thread, which sleeps until something happens."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from amqptasks.errors import BrokerError, BrokerUnreachable
from amqptasks.memory.broker import CAPABILITIES
from amqptasks.memory.clock import Alarm, Alarms
from amqptasks.memory.consumers import Consumer
from amqptasks.memory.listening import MemoryListening
from amqptasks.memory.messages import Message, copied
from amqptasks.memory.registry import broker_of
from amqptasks.memory.subscription import MemorySubscription
from amqptasks.messages.delivery import SETTLED, Delivery
from amqptasks.messages.outgoing import Outgoing
from amqptasks.messages.properties import REPLY_TO
from amqptasks.runtime.clock import monotonic
from amqptasks.runtime.log_queue import get_logger, never_wait
from amqptasks.transport import (
    STOPPED,
    Done,
    Got,
    Heard,
    Listener,
    Looked,
    Missing,
    Publishing,
    StreamOffset,
    is_taken,
)
from amqptasks.transport.capabilities import Capabilities
from amqptasks.transport.guard import Guard, described

logger = get_logger(__name__)


class _Published:
    """See `transport.Publishing`."""

    __slots__ = ("_done", "_outgoing", "is_stored")

    def __init__(self, done: Done, outgoing: Outgoing) -> None:
        self._done: Done | None = done
        self._outgoing = outgoing
        self.is_stored = False

    def end(self, error: BrokerError | None) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(error and error.of_call(self._outgoing.properties.correlation_id or ""))

    def withdraw(self) -> bool:
        self._done = None
        return not self.is_stored


class MemoryLink:
    """See `transport.Link`. `url` is `memory://` or `memory://NAME`."""

    def __init__(self, url: str) -> None:
        self._broker = broker_of(url)
        self._thread = threading.Thread(target=self._run, name="amqptasks-link", daemon=True)
        self._calls: deque[Callable[[], object]] = deque()
        self._guard = Guard()
        self._why: str | None = None
        self._tell: Callable[[str], None] | None = None
        self._wake = threading.Event()
        self._alarms = Alarms()
        self._stopped = False
        self._over = False
        self._subscriptions: list[MemorySubscription] = []
        self._getting: list[Consumer] = []  # one a message that was got
        self._reply: Callable[[Delivery], None] | None = None
        self._replies_lost: Callable[[str], None] | None = None
        self._reply_address: str | None = None

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    @property
    def trouble(self) -> None:
        return None

    def when_broken(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    @property
    def broken(self) -> str | None:
        return self._why

    @property
    def blocked(self) -> None:
        return None

    @property
    def trying_since(self) -> None:
        return None

    @property
    def is_answered(self) -> bool:
        return True

    def connect(self, heard: Heard) -> None:
        heard(BrokerUnreachable(STOPPED) if self._over else None)

    def watch_alarms(self, told: Callable[[str | None], None]) -> None:
        """There are none."""

    def announce(self, messages: Sequence[Outgoing]) -> None:
        for message in messages:
            self.publish(message, lambda _error: None, 0.0)

    def watch_trouble(self, told: Heard) -> None:
        """There is none to tell of."""

    def start(self) -> None:
        self._broker.connect(self._break)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        if self._thread.is_alive():
            self.call_soon(self._finish)
            self._thread.join(timeout)

    def call_soon(self, callback: Callable[[], object]) -> bool:
        self._calls.append(callback)
        if not self._wake.is_set():
            self._wake.set()
        return not self._over or is_taken(self._calls, callback)

    def call_later(self, delay: float, callback: Callable[[], object]) -> Alarm:
        return self._alarms.set(monotonic() + delay, callback)

    def publish(self, outgoing: Outgoing, done: Done, timeout: float) -> Publishing:  # noqa: ARG002 - nothing takes time
        """The outcome is there at once; `done` gets it later all the same, as from a broker."""
        published = _Published(done, outgoing)
        if self._over:
            published.end(BrokerUnreachable(self._why or STOPPED))
            return published
        try:
            self._broker.publish(outgoing, self._reply_address)
        except BrokerError as error:
            self.call_soon(partial(published.end, error))
        else:
            published.is_stored = True
            self.call_soon(partial(published.end, None))
        return published

    def subscribe(
        self,
        queue: str,
        prefetch: int,
        listener: Listener,
        *,
        consumer_timeout: float | None = None,  # noqa: ARG002 - this broker waits for ever
    ) -> MemorySubscription:
        return self._consume(MemorySubscription(self._broker, self.call_soon, queue, prefetch, listener))

    def get(self, queue: str, done: Got) -> None:
        """A consumer that takes one message and stops."""
        got: list[Delivery] = []
        with self._broker.lock:
            found = self._broker.find_queue(queue)
            if found is None:
                self.call_soon(partial(done, None, BrokerError(f"404 no queue {queue!r}")))
                return
            consumer = Consumer(found, self._broker.lock, 1, got.append, lambda _reason: None)
            consumer.attach()
            consumer.detach()
        self._getting = [one for one in self._getting if one.alive and not one.is_empty]
        self._getting.append(consumer)
        self.call_soon(partial(done, got[0] if got else None, None))

    def look_for(self, exchanges: Sequence[str], queues: Sequence[str], done: Looked) -> None:
        broker = self._broker
        gone = tuple(name for name in exchanges if not broker.exchange_exists(name))
        found = {name: broker.find_queue(name) for name in queues}
        last = found[queues[-1]] if queues else None
        messages = None if last is None else last.state.messages
        missing = Missing(gone, tuple(name for name, queue in found.items() if queue is None), messages)
        self.call_soon(partial(done, missing, None))

    def listen(self, prefix: str, bindings: Sequence[tuple[str, str]], listener: Listener) -> MemorySubscription:
        return self._consume(MemoryListening(self._broker, self.call_soon, prefix, bindings, listener))

    def read_stream(
        self,
        queue: str,
        offset: StreamOffset,  # noqa: ARG002 - there are none
        prefetch: int,  # noqa: ARG002 - as above
        listener: Listener,  # noqa: ARG002 - as above
        filters: Sequence[str] = (),  # noqa: ARG002 - as above
    ) -> MemorySubscription:
        raise BrokerError(f"queue {queue!r}: memory:// has no streams; use RabbitMQ where one is needed")

    def read_elsewhere(self) -> bool:
        return False

    def receive_replies(self, reply: Callable[[Delivery], None], lost: Callable[[str], None]) -> None:
        with self._broker.lock:
            self._reply, self._replies_lost = reply, lost
            if self._reply_address is None:
                self._reply_address = self._broker.open_replies(self._on_reply)

    def _consume(self, subscription: MemorySubscription) -> MemorySubscription:
        self._subscriptions = [kept for kept in self._subscriptions if not kept.is_over]
        self._subscriptions.append(subscription)
        subscription.start()
        return subscription

    def _run(self) -> None:
        never_wait()
        try:
            self._turn()
        except BaseException as error:  # only what keeps the loop itself from going on comes here
            self._why = f"the thread of the broker's connections has ended: {described(error)}"
        self._over = True  # and only then what was handed over before: what comes now is told that it does not run
        if self._why is not None:
            if self._tell is not None:
                self._guard.call(self._tell, self._why)
            else:
                self._guard.call(logger.error, "%s", self._why)
            self._guard.call(self._finish)
        with contextlib.suppress(IndexError):  # the last one was just taken back by who handed it over
            while self._calls:
                self._guard.call(self._calls.popleft())

    def _turn(self) -> None:
        call = self._guard.call
        while not self._stopped:  # what was handed over until then is left to `_run`, however fast more comes
            due = self._alarms.next_due
            self._wake.wait(None if due is None else max(0.0, due - monotonic()))
            self._wake.clear()
            for alarm in self._alarms.take_due(monotonic()):
                if alarm.action is not None:
                    call(alarm.action)
            for _ in range(len(self._calls)):
                call(self._calls.popleft())
            self._guard.check()

    def _on_reply(self, message: Message) -> None:
        delivery = Delivery(
            REPLY_TO, 0, message.exchange, message.routing_key, False, copied(message.properties), message.body, SETTLED
        )
        self.call_soon(lambda: self._reply(delivery) if self._reply is not None else None)

    def _break(self, reason: str) -> None:
        self.call_soon(lambda: self._broken(reason))

    def _broken(self, reason: str) -> None:
        for subscription in self._subscriptions:
            subscription.break_off(reason)
        self._give_back_got(reason)
        self._lose_replies(reason)
        if self._reply is not None:
            self._reply_address = self._broker.open_replies(self._on_reply)

    def _finish(self) -> None:
        reason = STOPPED
        self._broker.disconnect(self._break)
        for subscription in self._subscriptions:
            subscription.end(reason)
        self._give_back_got(reason)
        self._lose_replies(reason)
        self._stopped = True

    def _give_back_got(self, reason: str) -> None:
        with self._broker.lock:
            for consumer in self._getting:
                if consumer.alive:
                    consumer.cancel(reason)
        self._getting = []

    def _lose_replies(self, reason: str) -> None:
        address, self._reply_address = self._reply_address, None
        if address is not None:
            self._broker.close_replies(address)
            if self._replies_lost is not None:
                self._replies_lost(reason)
