"""Consuming one queue of the broker in memory, again whenever the queue is back or the connection was broken."""

from __future__ import annotations

from collections.abc import Callable

from amqptasks.memory.broker import Broker
from amqptasks.memory.consumers import Consumer
from amqptasks.messages.delivery import Delivery
from amqptasks.transport import Listener


class MemorySubscription:
    """See `transport.Subscription`. Link thread only, but for what the broker calls while it holds its lock."""

    def __init__(
        self,
        broker: Broker,
        call_soon: Callable[[Callable[[], None]], bool],
        queue: str,
        prefetch: int,
        listener: Listener,
    ) -> None:
        self._broker = broker
        self._call_soon = call_soon
        self._queue = queue
        self._prefetch = prefetch
        self._listener = listener
        self._consumer: Consumer | None = None
        self._batch: list[Delivery] = []
        self._paused = False
        self._closed = False

    @property
    def queue(self) -> str:
        return self._queue

    @property
    def unsettled(self) -> int:
        return 0 if self._consumer is None else self._consumer.unsettled

    @property
    def is_closed(self) -> bool:
        return self._closed

    @property
    def consuming(self) -> bool:
        return self._consumer is not None and self._consumer.alive and not self._paused and not self._closed

    @property
    def is_quiet(self) -> bool:
        return (self._paused or self._closed) and not self._batch

    @property
    def is_over(self) -> bool:
        """Closed, and nothing is held any more."""
        return self._closed and (self._consumer is None or self._consumer.is_empty)

    def start(self) -> None:
        """Consume as soon as the queue is there."""
        with self._broker.lock:
            queue = self._broker.find_queue(self._queue)
            if queue is None:
                self._broker.when_declared(self._queue, self._begin_soon)
                self._call_soon(lambda: self._listener.unavailable(self._queue, f"404 no queue {self._queue!r}"))
                return
            consumer = Consumer(
                queue,
                self._broker.lock,
                self._prefetch,
                self._receive,
                lambda reason: self._cancelled(consumer, reason),
            )
            self._consumer = consumer
            if not self._paused:
                self._attach(consumer)

    def pause(self) -> None:
        self._paused = True
        self._detach()

    def resume(self) -> None:
        if self._paused and not self._closed:
            self._paused = False
            with self._broker.lock:
                if self._consumer is None or not self._consumer.alive:
                    return
                if self._consumer.is_orphaned:
                    self._consumer.cancel(f"queue '{self._queue}' was deleted")
                else:
                    self._attach(self._consumer)

    def resize(self, prefetch: int) -> None:
        self._prefetch = prefetch
        with self._broker.lock:
            consumer = self._consumer
            if consumer is not None and consumer.alive and not (self._paused or self._closed):
                consumer.detach()
                consumer.resize(prefetch)
                consumer.attach()  # and it gets what there is room for
            elif consumer is not None:
                consumer.resize(prefetch)

    def close(self) -> None:
        self._closed = True
        self._detach()

    def end(self, reason: str) -> None:
        """The link stops: what is held goes back."""
        self._closed = True
        self.break_off(reason)

    def break_off(self, reason: str) -> None:
        """The connection broke: what is held goes back; consume again, unless closed."""
        with self._broker.lock:
            if self._consumer is not None and self._consumer.alive:
                self._consumer.cancel(reason)

    def _begin_soon(self) -> None:
        self._call_soon(self._begin)

    def _begin(self) -> None:
        if self._consumer is None and not self._closed:
            self.start()

    def _attach(self, consumer: Consumer) -> None:
        self._call_soon(lambda: self._listener.consuming(consumer))  # before the first delivery
        consumer.attach()

    def _detach(self) -> None:
        with self._broker.lock:
            if self._consumer is not None:
                self._consumer.detach()

    def _receive(self, delivery: Delivery) -> None:
        if not self._batch:
            self._call_soon(self._hand_over)
        self._batch.append(delivery)

    def _hand_over(self) -> None:
        with self._broker.lock:
            batch, self._batch = self._batch, []
        if batch:
            self._listener.deliveries(batch)

    def _cancelled(self, consumer: Consumer, reason: str) -> None:
        self._batch.clear()  # not handed over yet, and already the broker's again
        self._call_soon(lambda: self._lost(consumer, reason))

    def _lost(self, consumer: Consumer, reason: str) -> None:
        self._consumer = None
        self._listener.lost(consumer, reason)
        self._begin()
