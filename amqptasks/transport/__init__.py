"""What a transport must offer, as protocols. The values that cross it are in `outgoing` and `incoming`.

Two implementations, `amqptasks.amqp` (RabbitMQ by pika) and `amqptasks.memory` (one process), pass the same
conformance suite, so everything above this file knows neither.

    Link      event-driven, with a thread of its own: publishing with confirms, subscriptions, replies
    Session   blocking, for rare things: declare, look, move, purge
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from amqptasks.errors import BrokerError
    from amqptasks.messages.delivery import Delivery, Lease
    from amqptasks.messages.outgoing import Outgoing
    from amqptasks.transport.capabilities import Capabilities
    from amqptasks.transport.entities import Binding, Exchange, Queue, QueueState

#: Where to start reading a stream: at its first message, at the last chunk, after the end, at a number, or with what
#: was written at that time (a chunk earlier at most). https://www.rabbitmq.com/docs/streams#consuming
StreamOffset = Literal["first", "last", "next"] | int | datetime

#: Why nothing is published through a link any more.
STOPPED = "the link was stopped"

#: Header with a stream message's number.
STREAM_OFFSET = "x-stream-offset"

#: Argument with the filter values that a consumer of a stream asks for.
#: https://www.rabbitmq.com/docs/streams#filtering
STREAM_FILTER = "x-stream-filter"


@dataclass(frozen=True, slots=True)
class Missing:
    """Exchanges and queues that are not on the broker. `messages` are ready in the last queue that was asked for, None
    where that is not known."""

    exchanges: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    messages: int | None = None

    def __bool__(self) -> bool:
        return bool(self.exchanges or self.queues)


class Listener(Protocol):
    """Who subscribes hears through this; always called on the link's thread."""

    def deliveries(self, batch: list[Delivery]) -> None:
        """Messages that came in one turn of the loop, in the broker's order."""

    def lost(self, lease: Lease, reason: str) -> None:
        """The channel is gone: what it delivered and is not settled will be delivered again, to anybody."""

    def consuming(self, lease: Lease) -> None:
        """The broker confirmed the consumer: from now on deliveries come, under this lease."""

    def unavailable(self, queue: str, reason: str) -> None:
        """The queue cannot be consumed now (not there, no right); the subscription tries again by itself."""


class Subscription(Protocol):
    """Consuming one queue, until cancelled, through every kind of break. Link thread only."""

    @property
    def queue(self) -> str: ...

    @property
    def consuming(self) -> bool:
        """True while the broker has confirmed our consumer and the channel is open."""

    @property
    def unsettled(self) -> int:
        """Deliveries that it holds: given under its present lease, and not settled."""

    @property
    def is_closed(self) -> bool:
        """True once it was closed, nothing more comes, and all that it held is settled."""

    @property
    def is_quiet(self) -> bool:
        """True once no delivery can come any more: it is paused or closed, and the broker has said so."""

    def pause(self) -> None:
        """No new deliveries; what is held stays held and can be settled."""

    def resume(self) -> None:
        """Undo `pause`."""

    def resize(self, prefetch: int) -> None:
        """At most so many unsettled deliveries from now on. What is held stays held, and may count besides."""

    def close(self) -> None:
        """Cancel the consumer and, once all it held is settled, its channel. Unsettled messages go back."""


class Timer(Protocol):
    def cancel(self) -> None: ...


Done = Callable[[BaseException | None], None]

#: What `Link.look_for` answers: what is missing, and the ready messages of the last queue, or why it could not be seen.
Looked = Callable[["Missing | None", "BaseException | None"], None]
#: What hears of a connection: None once it stands, an error for each try that failed.
Heard = Callable[["BrokerError | None"], None]

#: What `Link.get` answers: a delivery, or none and no error where there is none ready, or an error.
Got = Callable[["Delivery | None", "BaseException | None"], None]


class Publishing(Protocol):
    """A message that was handed to `Link.publish`."""

    def withdraw(self) -> bool:
        """Publish it no more, and never call its `done`. True where no byte of it was sent. Link thread only."""


class Link(Protocol):
    """A thread that owns the connections. Nothing of the user's runs in it."""

    def start(self) -> None:
        """Start the thread; connections open when first needed, in the background."""

    def stop(self, timeout: float) -> None:
        """Write what is buffered, close the connections and end the thread, within `timeout` seconds."""

    def call_soon(self, callback: Callable[[], object]) -> bool:
        """Run `callback` on the link's thread; from any thread. Many calls cost one wake-up. False where the link was
        stopped, and it will not run."""

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Run `callback` in `delay` seconds. Link thread only."""

    def connect(self, heard: Heard) -> None:
        """Open the connection that publishes, at once where it waits for its next try. `heard` is called once it
        stands, or with each error until then; after one that does not mend itself (`errors.is_lasting`), no more.
        Link thread only."""

    def watch_trouble(self, told: Heard) -> None:
        """Tell `told` of each failed try of any connection, and None once all stand again. On the link's thread."""

    def watch_alarms(self, told: Callable[[str | None], None]) -> None:
        """Tell `told` when the broker begins to block publishers, with its reason, and None when it ends. On the link's
        thread."""

    def announce(self, messages: Sequence[Outgoing]) -> None:
        """Send messages without a body in an alarm, too, each over a connection of its own, soon and unconfirmed. Link
        thread only."""

    def publish(self, outgoing: Outgoing, done: Done, timeout: float) -> Publishing:
        """Publish with a confirm. Link thread only. `done(None)` once the broker has it, else `done(error)` with a
        `BrokerError` of this call; always called exactly once, within about `timeout` seconds (infinite: however long
        it takes), on the link's thread, unless it is withdrawn. A message that was in flight when the connection broke
        is published again."""

    def subscribe(
        self, queue: str, prefetch: int, listener: Listener, *, consumer_timeout: float | None = None
    ) -> Subscription:
        """Consume `queue` with at most `prefetch` unsettled deliveries. Each is settled within `consumer_timeout`
        seconds; RabbitMQ 4.3 takes a consumer's word for that, in quorum queues. Link thread only."""

    def get(self, queue: str, done: Got) -> None:
        """Take one message, if one is ready now. Link thread only; `done` is called there, exactly once, later. The
        lease is that of the connection, for as long as that lives: settle with `nack` to give it back, or `ack`."""

    def look_for(self, exchanges: Sequence[str], queues: Sequence[str], done: Looked) -> None:
        """Which of these are not on the broker? One round trip while all are there. What this user may not look at is
        left out. Link thread only; `done` is called there, exactly once, later."""

    def listen(self, prefix: str, bindings: Sequence[tuple[str, str]], listener: Listener) -> Subscription:
        """Consume a queue of our own that lives as long as its connection, bound to each (exchange, routing key); it
        gets a new name, `PREFIX.` and something unique, each time it is made. What is published while there is none is
        missed. Deliveries are settled by nobody: their lease is over. Link thread only."""

    def read_stream(
        self, queue: str, offset: StreamOffset, prefetch: int, listener: Listener, filters: Sequence[str] = ()
    ) -> Subscription:
        """Read a stream from `offset` on, without end; after a break it goes on behind what it has delivered. With
        `filters`, records with another filter value may be left out, where the broker can do that.
        Deliveries are acked to get more, nothing is taken out; never nack one. Link thread only. Raises `BrokerError`
        where the transport has no streams."""

    def read_elsewhere(self) -> bool:
        """Read all streams, and listen, over the next of the broker's addresses. False where there is no other one, or
        no connection now. Link thread only."""

    def receive_replies(self, reply: Callable[[Delivery], None], lost: Callable[[str], None]) -> None:
        """Consume `REPLY_TO` on the publishing channel, so that messages may ask for an answer to it. From any
        thread, before publishing such a message. `lost(reason)` when the channel broke: what was asked before will
        not be answered. Both are called on the link's thread."""

    @property
    def capabilities(self) -> Capabilities | None:
        """What the broker can do; None before the first connection."""

    def when_broken(self, tell: Callable[[str], None]) -> None:
        """Call `tell(why)` when the link's thread ends though nobody stopped it, on that thread. Nothing is published
        and nothing comes any more, and the broker has its messages back. Before `start`."""

    @property
    def broken(self) -> str | None:
        """Why the link's thread has ended though nobody stopped it; None otherwise."""

    @property
    def blocked(self) -> str | None:
        """Why the broker takes nothing from publishers now, in its words; None where it does, or has not said it. A
        broker says so to a connection with the first message that it publishes in the alarm."""

    @property
    def trying_since(self) -> float | None:
        """When the last try of the connection that publishes began, on the monotonic clock; None before the first."""

    @property
    def is_answered(self) -> bool:
        """True while somebody at the broker's address has taken the connection that publishes."""

    @property
    def trouble(self) -> str | None:
        """Why there is no connection now, in words without secrets; None when there is one, or none was needed."""


class Watching(Link, Protocol):
    """A link that looks at other files, too, while it waits for the broker. Link thread only."""

    def watch(self, descriptor: int, readable: Callable[[], None]) -> None:
        """Call `readable` whenever there is something to read."""

    def unwatch(self, descriptor: int) -> None:
        """Undo `watch`, before the file is closed."""


class Session(Protocol):
    """A blocking connection for rare things. One thread at a time. Errors are `BrokerError`s."""

    @property
    def capabilities(self) -> Capabilities: ...

    timeout: float
    """Seconds that a connection, and each answer of the broker, is waited for. May be set at any time."""

    def exchange_exists(self, name: str) -> bool: ...

    def queue_state(self, name: str) -> QueueState | None:
        """None where there is no such queue."""

    def declare_exchange(self, exchange: Exchange) -> None:
        """Idempotent; `DeclarationConflict` where it exists otherwise, `AccessRefused` without the right."""

    def declare_queue(self, queue: Queue) -> None:
        """As `declare_exchange`."""

    def bind(self, binding: Binding) -> None: ...

    def declare_in_order(self, objects: Iterable[Exchange | Queue | Binding], retired: Iterable[Binding] = ()) -> bool:
        """Make them all, one after the other, and remove the bindings `retired` of queues, in a few round trips. False
        where one was refused: those before it are made, and asking for each by itself tells which it was, and why."""

    def unbind(self, binding: Binding) -> None: ...

    def delete_exchange(self, name: str) -> None: ...

    def delete_queue(self, name: str) -> int:
        """With whatever is in it; how many ready messages that were."""

    def delete_empty_queue(self, name: str) -> bool:
        """Only if nothing is ready in it, in one step with the look; whether it is gone. For classic queues: the broker
        cannot do this for others, and raises `BrokerError`."""

    def purge_queue(self, name: str, within: float | None = None) -> int:
        """Drop the ready messages; how many they were. `within` seconds, where that is to be shorter than usual. It is
        no use of the queue that would prolong its `x-expires`, as a passive declare is."""

    def publish(self, outgoing: Outgoing) -> None:
        """Confirmed, and mandatory where `outgoing` says so; raises `PublishError`."""

    def take(self, queue: str, limit: int) -> Iterator[Delivery]:
        """Consume up to `limit` messages, until none is ready; each stays unacked until settled or given back."""

    def ack(self, delivery: Delivery) -> None: ...

    def give_back(self) -> None:
        """Return all that `take` holds and that is not acked to its queue, in its place."""

    def close(self) -> None: ...


def is_taken(calls: deque[Callable[[], object]], callback: Callable[[], object]) -> bool:
    """Of a link that was stopped: whether its thread has taken `callback` out of `calls`, and runs it. Where not, it
    never will, and is taken back."""
    try:
        calls.remove(callback)
    except ValueError:
        return True
    return False
